"""Environments that models ask for: what each asks, which interpreters there are, and how one is made."""
