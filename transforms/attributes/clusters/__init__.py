"""Clusters of documents by the words they share: labels without a teacher."""
