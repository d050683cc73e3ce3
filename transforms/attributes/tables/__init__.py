"""Tables from elsewhere, joined to documents by their rows, their URLs or a kept field."""
