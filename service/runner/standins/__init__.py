"""Modules that scripts of AWS's containers import, found where the real ones are not installed."""
