"""What turns an artifact into a model that answers."""
