"""Hypothesis measures no time, and how many processes run tests.

A shared machine may take longer over an example than hypothesis' default of 200 ms.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("byline", deadline=None)
settings.load_profile("byline")


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores, as some tests wait for processes of their own; each may take 1.5 GB."""
    return min(4, (os.cpu_count() or 1) + 1)
