"""Bytes by address: s3://bucket/key as folders of this machine, file:// and plain paths."""
