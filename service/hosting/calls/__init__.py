"""Calls of a model: joined, limited in time and number, measured."""
