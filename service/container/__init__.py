"""HTTP edge of the SageMaker container contract."""
