"""ECR's operations on repositories."""
