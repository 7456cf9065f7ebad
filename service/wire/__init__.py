"""AWS bytes to plain values and back: knows botocore's models, knows no endpoint and no web framework."""
