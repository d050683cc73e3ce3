"""What docs/trainers.md says trainers were held against by: versions that are installed, and tests that there are."""

import re

from tests.support.builds import ROOT

PAGE = (ROOT / "docs/trainers.md").read_text(encoding="utf-8")
LINES = PAGE.partition("| trainer | version |")[2].splitlines()
TABLE = [line.split(" | ") for line in LINES if "| `test_" in line]
PINNED = (ROOT / "requirements-trainers.txt").read_text(encoding="utf-8").split("\n\n")[0]


def test_versions_are_those_that_are_installed() -> None:
    """Of all but accelerate, which Trainer brings."""
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", PINNED, re.MULTILINE))
    named = {version for row in TABLE for version in re.findall(r"\d+\.\d+\.\d+", row[1])}
    assert named == {version for name, version in pinned.items() if name != "accelerate"}


def test_every_trainer_has_a_test() -> None:
    named = {test for row in TABLE for test in re.findall(r"`(test_\w+\.py)`", row[-1])}
    there = {path.name for path in (ROOT / "tests/trainers").glob("test_*.py")}
    # Examples are of trainers in the table, ranks and weights have their own sections, ways to read are a benchmark's.
    assert named == there - {"test_examples.py", "test_ranks.py", "test_reading_ways.py", "test_weights.py"}
