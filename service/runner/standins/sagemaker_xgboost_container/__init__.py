"""Stands in for AWS's XGBoost container where that is not installed: what scripts use of it."""
