"""One small build, of numbered rows."""

from pathlib import Path

import pytest

import byline
from tests.support.shards import SHARDS, PackedRow, numbered_build


@pytest.fixture
def build(tmp_path: Path) -> tuple[Path, list[PackedRow]]:
    """Its folder and rows: 0 to 8 of conditioned, 9 to 11 of the cooldown."""
    return tmp_path, numbered_build(tmp_path, SHARDS)


@pytest.fixture
def shards(tmp_path: Path) -> byline.Shards:
    """Rows 0 to 8 of conditioned, 9 to 11 of the cooldown."""
    numbered_build(tmp_path, SHARDS)
    return byline.open(tmp_path)
