"""Containers: processes that speak the container contract, each with one model's own code and variables."""
