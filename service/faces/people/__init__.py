"""The pages that people and their tools read."""
