"""Notices what happens and never decides: counts, and how they are shown."""
