"""Hypothesis measures no time, how many processes run tests, and when garbage is collected.

A shared machine may take longer over an example than hypothesis' default of 200 ms.
"""

import gc
import os

import pytest
from hypothesis import settings

from tests.support.thorough import examples

# What importing and collecting tests makes stays, and collecting garbage among it again and again takes a tenth of all.
gc.disable()

settings.register_profile("byline", examples(100), deadline=None)
settings.load_profile("byline")


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores, as some tests wait for processes of their own; each may take 1.5 GB."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_finish() -> None:
    """Leaves what there is out of collections from now on, and collects the small garbage of tests less often."""
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()
