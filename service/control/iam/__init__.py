"""The operations of IAM: roles and policies that programs name, kept and not enforced."""
