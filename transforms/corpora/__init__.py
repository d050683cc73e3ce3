"""Raw corpora to document batches: listing, layouts, URLs, filters."""
