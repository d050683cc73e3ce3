"""The builds that `make test-trainers` made, the examples as modules, and nothing that asks a network."""

import os
import sys
from pathlib import Path

import pytest

import byline
from tests.trainers.packings import PACKINGS

ROOT = Path(__file__).parents[2]
BUILDS = ROOT / "out/trainers"
# Each example is a script beside `tiny_model.py`.
sys.path.insert(0, str(ROOT / "examples/trainers"))
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    CUDA_VISIBLE_DEVICES="",
    # Threads only wait for each other in models this small.
    OMP_NUM_THREADS="1",
)


@pytest.fixture(params=PACKINGS)
def build(request: pytest.FixtureRequest) -> byline.Shards:
    """All rows of a build of each packing."""
    return byline.open(BUILDS / request.param)


@pytest.fixture
def shards(build: byline.Shards) -> byline.Shards:
    """The end of it: 64 rows of both phases."""
    return build[-64:]


@pytest.fixture
def concat() -> byline.Shards:
    """The same rows of the packing that has the most borders of documents inside of rows."""
    return byline.open(BUILDS / "concat")[-64:]
