"""The edge of a SageMaker serving container."""
