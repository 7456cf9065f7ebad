"""Scripts for the files of other libraries by the handler contract, as a model's own script does."""
