"""Mixture weights from the losses of a training run."""
