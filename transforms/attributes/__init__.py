"""Attributes: columns about documents, beside the runs of the token store."""
