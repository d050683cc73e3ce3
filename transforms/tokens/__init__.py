"""Text to token ids, and which of them a loss counts."""
