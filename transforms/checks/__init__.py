"""Recounts of what a build wrote."""
