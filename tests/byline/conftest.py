"""One small build, of numbered rows."""

from pathlib import Path

import pytest

from tests.support.shards import SHARDS, PackedRow, numbered_build


@pytest.fixture
def build(tmp_path: Path) -> tuple[Path, list[PackedRow]]:
    """Its folder and rows: 0 to 8 of conditioned, 9 to 11 of the cooldown."""
    return tmp_path, numbered_build(tmp_path, SHARDS)
