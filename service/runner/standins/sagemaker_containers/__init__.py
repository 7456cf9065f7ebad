"""Stands in for sagemaker-containers 2.8 where that is not installed: what scripts that serve use of it."""
