"""One file for each kind of model that sagebird can load by itself."""
