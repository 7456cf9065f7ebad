"""Remembers: resources, facts, the revision that moves with every change, and who is serving."""
