"""The edges that AWS clients speak to."""
