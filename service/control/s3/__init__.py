"""The operations of S3, each a function of its members."""
