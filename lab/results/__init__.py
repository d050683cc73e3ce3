"""What came of a study: the table, figures, the page."""
