"""Text to token ids, and which of them count in the loss."""
