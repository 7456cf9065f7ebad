"""What SageMaker means: pure values and rules, without I/O, clock reads or async."""
