"""Runs a model's own code in processes of its own, as AWS's scikit-learn container does.

A program of its own, which knows nothing of the server but the sockets it is given: standard library, and
numpy where that is installed, for Python 3.9 to 3.13. Source: contract A.3, A.4, A.8, A.9.
"""
