"""What killed processes were writing goes when nobody can still be at it, and until then counts for nothing."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.filesize import decimal

from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.compact import compact
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from tests.support.builds import ROOT, digests, kill_when, verify
from tests.support.builds import build as quiet_build
from tests.support.corpora import Corpus, make_records, recipe, write_jsonl

ALONE = RunnerSettings(workers=1)
DAY = 24 * 3600
HALF = b"ARROW1" * 1000
ONE, TWO = decimal(len(HALF)), decimal(2 * len(HALF))

WRITES = """
import sys, time
from contextlib import ExitStack
from byline.transforms.files.storage import write_file
with ExitStack() as stack:
    for path in sys.argv[1:]:
        sink = stack.enter_context(write_file(path))
        sink.write(b"ARROW1" * 1000)
        sink.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def values(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe over many small files of one source; each test gives it folders of its own."""
    root = tmp_path_factory.mktemp("many")
    for number in range(40):
        write_jsonl(root / f"mine/part-{number:03d}.jsonl", make_records(1000 + number, 12))
    for path in (corpus.tokenizer, corpus.model):
        shutil.copy(path, root)
    made = recipe(Corpus(root), root, mixture="natural", tokens=15_000, shard={"sequences": 8})
    return {**made, "sources": {"mine": made["sources"]["mine"]}}


@pytest.fixture(scope="module")
def whole(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quiet_build(in_folder(values, tmp_path_factory.mktemp("whole")))


def in_folder(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**values, "store": str(folder / "store"), "output": str(folder / "shards")}


def kill_writer(*paths: Path) -> None:
    """Kills a process that writes these files when it has written half of each."""
    words = [sys.executable, "-c", WRITES, *map(str, paths)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".tmp-*") if ".byline" not in path.parts]


def turn_back(folder: Path, days: float) -> None:
    """As if all that was left had been so for some days."""
    then = time.time() - days * DAY
    for path in leftovers(folder):
        os.utime(path, (then, then))


def said(values: dict[str, Any], *, compacts: bool = False) -> list[str]:
    """Lines of removals that a build, or a compaction, prints."""
    config, text = parse_config(values, "test"), io.StringIO()
    console = Console(file=text, width=200)
    if compacts:
        compact(config, 1 << 30, ALONE, console)
    else:
        build(config, ALONE, console)
    return [line for line in text.getvalue().splitlines() if "removed" in line]


def test_a_build_that_was_killed_and_begun_again_at_once_and_after_days(
    values: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    values = in_folder(values, tmp_path)
    store, out = tmp_path / "store", tmp_path / "shards"
    kill_when(lambda: len(list(store.glob("mine/*/[!.]*.arrow"))) >= 3, "build", values, tmp_path)
    (folder,) = (store / "mine").iterdir()
    kill_writer(folder / "half.arrow", out / "conditioned/half.arrow", out / "cooldown/half.arrow")
    left = leftovers(tmp_path)
    (listed,) = store.glob(".tmp-*-inputs.jsonl")
    # A run that was being written may have been left, too.
    assert len(left) >= 4

    # Another build may be writing to the store, but none to an output that is finished now.
    assert said(values) == [f"assemble  removed 2 unfinished files of builds that were killed, {TWO}"]
    assert leftovers(tmp_path) == [path for path in left if out not in path.parents]
    assert digests(out) == digests(whole)

    # Nothing is to be written any more, but who would remove them if not this?
    turn_back(tmp_path, 1.01)
    halves = [path.stat().st_size for path in left if path.parent == folder]
    amount = "1 unfinished file" if len(halves) == 1 else f"{len(halves)} unfinished files"
    assert said(values) == [
        f"prepare   removed {amount} of builds that were killed, {decimal(sum(halves))}",
    ]
    # The list is read until a job ends.
    assert leftovers(tmp_path) == [listed]
    turn_back(tmp_path, 14.01)
    size = decimal(listed.stat().st_size)
    assert said(values) == [f"prepare   removed 1 unfinished file of builds that were killed, {size}"]
    assert leftovers(tmp_path) == []
    assert said(values) == []
    assert digests(out) == digests(whole)
    assert verify(out)[0] == 0


def test_a_build_that_goes_on_after_days(values: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    values = in_folder(values, tmp_path)
    shutil.copytree(whole.parent, tmp_path, dirs_exist_ok=True)
    runs, out = sorted((tmp_path / "store").glob("mine/*/*.arrow")), tmp_path / "shards"
    shard = next(out.glob("conditioned/*.arrow"))
    (out / "_manifest.json").unlink()
    kill_writer(runs[0], runs[0], shard)
    for path in (runs[0], shard):
        path.unlink()
    turn_back(tmp_path, 2)
    fresh = runs[0].with_name(".tmp-0123456789abcdef-00000.arrow")
    fresh.write_bytes(HALF)
    assert said(values) == [
        f"prepare   removed 2 unfinished files of builds that were killed, {TWO}",
        f"assemble  removed 1 unfinished file of builds that were killed, {ONE}",
    ]
    # Another process may be writing it.
    assert leftovers(tmp_path) == [fresh]
    fresh.unlink()
    assert digests(out) == digests(whole)
    assert verify(out)[0] == 0


def test_compacting_removes_what_was_left_of_merged_runs(values: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    values = in_folder(values, tmp_path)
    shutil.copytree(whole.parent / "store", tmp_path / "store")
    (folder,) = (tmp_path / "store/mine").iterdir()
    kill_writer(folder / "merged-0.arrow")
    turn_back(tmp_path, 0.99)
    assert said(values, compacts=True) == []
    assert len(leftovers(tmp_path)) == 1
    turn_back(tmp_path, 1.01)
    assert said(values, compacts=True) == [f"compact   removed 1 unfinished file of builds that were killed, {ONE}"]
    assert leftovers(tmp_path) == []
    assert len(list(folder.glob("*.arrow"))) == 1
