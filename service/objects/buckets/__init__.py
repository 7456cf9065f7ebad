"""Buckets as folders: what S3 has beside bytes, and what its clients may ask of them."""
