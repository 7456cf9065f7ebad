"""Objects that a real S3 server keeps; no other room names what is in here but by the seam."""
