"""Turn a model into answers: where its bytes lie, how it is loaded, and how requests reach it."""
