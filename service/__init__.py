"""sagebird: SageMaker hosting without SageMaker."""

__version__ = "0.1.0"
