"""Stands in for multi-model-server where that is not installed: the context that handlers are given."""
