"""The HTTP edges that clients meet."""
