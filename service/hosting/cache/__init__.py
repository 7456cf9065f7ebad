"""Which models are loaded, and what they may hold."""
