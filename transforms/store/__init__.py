"""The token store: its runs, their contents and locations, reading ranges of them, and merging them."""
