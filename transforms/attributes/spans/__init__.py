"""Spans of characters from elsewhere, such as personal data: tokens that are not to be trained."""
