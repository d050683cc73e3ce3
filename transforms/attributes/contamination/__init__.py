"""Documents that have text of evaluation sets, and where."""
