"""A small trainer: the model, the loop, evaluations."""
