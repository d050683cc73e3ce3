"""fastText classifiers: scores and labels."""
