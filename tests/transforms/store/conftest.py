"""Files that are read as if from an object store."""

from pathlib import Path
from typing import Any

import pytest

from byline.transforms.files import object_store
from byline.transforms.store import run_ranges
from tests.support.counted_ranges import Counted


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """Files that were opened as objects, by address; any local path is one."""
    opened: dict[str, Counted] = {}

    def open_ranges(uri: str) -> Any:
        if uri.startswith("s3://"):
            return object_store.open_ranges(uri)
        opened[uri] = Counted(Path(uri).read_bytes())
        return opened[uri]

    monkeypatch.setattr(run_ranges, "open_ranges", open_ranges)
    return opened
