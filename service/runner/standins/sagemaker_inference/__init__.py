"""Stands in for sagemaker-inference 1.10 where that is not installed: what scripts use of it."""
