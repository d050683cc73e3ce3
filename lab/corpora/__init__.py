"""Corpora and tokenizers that studies train on."""
