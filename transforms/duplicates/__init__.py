"""Duplicates: equal documents, similar ones, and which of them is kept."""
