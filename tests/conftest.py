"""Hypothesis measures no time: a shared machine may take longer over an example than its default of 200 ms."""

from hypothesis import settings

settings.register_profile("byline", deadline=None)
settings.load_profile("byline")
