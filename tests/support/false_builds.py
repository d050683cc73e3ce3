"""What the tests of `byline verify` share."""

from collections.abc import Callable
from pathlib import Path

from tests.support.builds import Rows, manifest_of, verify

Make = Callable[..., Path]
Change = Callable[[Rows], object]


def assert_found(out: Path, *messages: str) -> None:
    """Asserts that the build does not verify, and that every message is among what is told."""
    status, text = verify(out)
    assert status == 1, text
    assert "not verified: " in text
    for message in messages:
        assert message in text, text


def shard_of(out: Path, phase: str, number: int) -> Path:
    """The file of a shard."""
    entry = next(item for item in manifest_of(out)["phases"] if item["name"] == phase)
    return out / entry["shards"][number]["path"]
