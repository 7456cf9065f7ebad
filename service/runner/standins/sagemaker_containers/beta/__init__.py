"""As AWS names it."""
