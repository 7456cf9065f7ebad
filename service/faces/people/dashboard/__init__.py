"""The page that people keep open: what is served, how it does, and what can be done about it."""
