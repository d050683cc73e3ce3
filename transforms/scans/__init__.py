"""Counting over all runs of the token store."""
