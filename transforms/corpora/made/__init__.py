"""Corpora that are made, not read: additions, and the sample corpus."""
