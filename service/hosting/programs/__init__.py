"""Models compiled to programs that answer as scikit-learn does, bit by bit."""
