"""Duplicates among the documents of the token store, found by rounds of maps."""
