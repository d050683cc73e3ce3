"""The benchmark of reading: a small case from end to end, and that all ways read the same rows.

Those that need more than Byline does are in tests/trainers/test_reading_ways.py.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import byline
from benchmarks.loopback_store import BUCKET, loopback_store
from benchmarks.made_shards import write_made_build
from benchmarks.reading_ways import WAYS, Way
from tests.support.same_rows import same_rows
from tests.support.shards import numbered_build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 rows of 64 tokens in two shards."""
    directory = tmp_path_factory.mktemp("build")
    write_made_build(directory, 2, 600, 64)
    return directory


@pytest.mark.parametrize("way", [way for way in WAYS if not way.needs], ids=lambda way: way.name)
def test_every_way_that_needs_no_more_reads_the_same_rows(tmp_path: Path, way: Way) -> None:
    numbered_build(tmp_path, {"a": [5, 3], "b": [4]})
    shards = byline.open(tmp_path)
    same_rows(way.open(shards, tmp_path), shards)


def test_the_same_rows_of_many_pieces(build: Path, tmp_path: Path) -> None:
    shards = byline.open(build)
    for way in WAYS:
        if not way.needs:
            same_rows(way.open(shards, tmp_path), shards)


def test_what_is_not_installed_says_what_installs_it() -> None:
    assert all(bool(way.needs) == way.install.startswith("pip install ") for way in WAYS)


def test_the_store_on_loopback(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_store(build, 0.0) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        shards = byline.open(f"s3://{BUCKET}")
        numbers = [3, 1100, 4, 5]
        assert np.array_equal(shards.batch(numbers)["input_ids"], byline.open(build).batch(numbers)["input_ids"])
        with pytest.raises(byline.BylineError, match=r"no _manifest\.json"):
            byline.open(f"s3://{BUCKET}/none")


def test_the_tables() -> None:
    small = ["--rows", "256", "--store-rows", "512", "--latency", "0", "--workers", "--rounds", "1"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.reading", *small, "--seconds", "0.01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line.split("  ", 1) for line in ended.stdout.splitlines()]
    rates = [rest.split() for name, rest in filter(lambda line: len(line) == 2, lines) if name == "raw memmap"]
    assert [ratio for _, ratio in rates] == ["1.00", "1.00"]
    assert all(float(rate.replace(",", "")) > 0 for rate, _ in rates)
    names = {line[0] for line in lines}
    assert {*(way.name for way in WAYS), "shards[i]", "shards.batch", "shards.loader, prefetch=4"} <= names
