"""The token store: runs, what is in them and where, reading ranges of them, merging them."""
