"""Runs builds for tests, and reads and changes what they wrote with only pyarrow and the standard library.

```python
out = build(recipe(corpus, folder))                       # all of it in this process
digests(out) == {"conditioned/00000-of-00002.arrow": "9f2c...", ...}
edit_shard(out, "cooldown", 0, flip)                      # and changes the manifest to match
```
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from byline.manifest import digests_of
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.jobs.verify import verify as run_verify
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from tests.support.corpora import write_recipe
from tests.support.shards import LOSS_TOKENS, loss_tokens_of

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 120.0
ALONE = RunnerSettings(workers=1)
# Runs and shards; the plan and the list of inputs.
ARROW_SUFFIXES = (".arrow", ".ipc")


def build(values: dict[str, Any], workers: int = 1, overwrite: bool = False) -> Path:
    """Builds a configuration given as plain values; returns the output."""
    config = parse_config(values, "test")
    run_build(config, RunnerSettings(workers=workers), quiet(), overwrite=overwrite)
    return Path(config.output)


def quiet() -> Console:
    """A console that nobody sees."""
    return Console(file=io.StringIO())


def kill_when(is_time: Callable[[], bool], command: str, values: dict[str, Any], folder: Path, *words: str) -> None:
    """Starts a command of `byline`, and kills it and all it started when it is time; it must still be running then."""
    path = write_recipe(folder / "recipe.yaml", values)
    arguments = [sys.executable, "-m", "byline.pipelines.cli", command, str(path), *words, "--workers", "1"]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        ends = time.monotonic() + LIMIT_SECONDS
        try:
            while not is_time():
                assert process.poll() is None, (folder / "log.txt").read_text()
                assert time.monotonic() < ends, "it was never time"
                time.sleep(0.001)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == -signal.SIGKILL, (folder / "log.txt").read_text()


def verify(
    out: Path | str,
    documents: int = 10_000,
    settings: RunnerSettings = ALONE,
    raw: bool = False,
    allow_missing: bool = True,
) -> tuple[int, str]:
    """Exit status and text of `byline verify`; most tests do without the token store or the corpora."""
    text = io.StringIO()
    console = Console(file=text, width=200)
    status = run_verify(str(out), documents, None, settings, console, raw=raw, allow_missing=allow_missing)
    return status, text.getvalue()


def manifest_of(out: Path) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    return json.loads((out / "_manifest.json").read_bytes())


def write_manifest(out: Path, values: dict[str, Any]) -> None:
    """Replaces the manifest; its digests are right, as if nobody had edited it."""
    (out / "_manifest.json").write_text(json.dumps({**values, "digests": digests_of(values)}))


def digests(out: Path, suffixes: tuple[str, ...] = ARROW_SUFFIXES) -> dict[str, str]:
    """Path -> sha256 of every file with one of the suffixes; of a build: shards, list of inputs, plan."""
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.suffix in suffixes}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


@dataclass(frozen=True)
class Segment:
    """One segment of a finished row; padding is none."""

    phase: str
    row: int
    source: str
    path: str
    document: int
    offset: int
    ids: list[int]
    mask: list[int]

    @property
    def key(self) -> tuple[str, str, int]:
        """The document: source, path, number of the record."""
        return self.source, self.path, self.document


def segments_of(out: Path) -> Iterator[Segment]:
    """Every segment of every row, in training order, branches last; `row` counts over the phase."""
    names = pa.ipc.open_file((out / "_inputs.ipc").read_bytes()).read_all().to_pylist()
    for phase in manifest_of(out)["phases"]:
        number = 0
        for shard in phase["shards"]:
            for row in pa.ipc.open_file((out / shard["path"]).read_bytes()).read_all().to_pylist():
                start = 0
                for length, document, offset in zip(
                    row["seq_lengths"], row["doc_ids"], row["doc_offsets"], strict=True
                ):
                    part = slice(start, start + length)
                    start += length
                    if document >= 0:
                        file = names[document >> 32]
                        ids, mask = row["input_ids"][part], row["loss_mask"][part]
                        record = document & (2**32 - 1)
                        yield Segment(phase["name"], number, file["source"], file["path"], record, offset, ids, mask)
                number += 1


def copy_build(out: Path, target: Path, bare: bool = False) -> Path:
    """A copy of an output, to be damaged.

    Args:
        out: the build.
        target: the copy's folder.
        bare: point its token store, raw corpora and tokenizer to missing files, so that only the output is left.
    """
    shutil.copytree(out, target)
    if bare:
        values = manifest_of(target)
        for source in values["config"]["sources"].values():
            # A made source has no path.
            if source["path"]:
                source["path"] = str(target / "gone" / "*.jsonl")
        values["config"]["store"] = str(target / "gone")
        values["config"]["tokenizer"]["file"] = str(target / "gone.json")
        for classifier in values["config"]["classifiers"].values():
            classifier["model"] = str(target / "gone.bin")
        write_manifest(target, values)
    return target


Rows = list[dict[str, list[int]]]


def edit_shard(out: Path, phase: str, number: int, change: Callable[[Rows], object]) -> None:
    """Changes the rows of a shard, and the manifest to match: rows, loss tokens, sha256."""
    values = manifest_of(out)
    entry = next(item for item in values["phases"] if item["name"] == phase)
    shard = entry["shards"][number]
    path = out / shard["path"]
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    rows = table.to_pylist()
    change(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        for batch in pa.Table.from_pylist(rows, table.schema).to_batches():
            writer.write_batch(batch)
    shard["rows"] = len(rows)
    losses = loss_tokens_of([(row["loss_mask"], row["seq_lengths"]) for row in rows])
    shard.update(zip(LOSS_TOKENS, losses, strict=True))
    restate(out, values, entry, shard)


def restate(out: Path, values: dict[str, Any], entry: dict[str, Any], shard: dict[str, Any]) -> None:
    """Makes a shard's entry and its phase's sums match the file, and writes the manifest."""
    content = (out / shard["path"]).read_bytes()
    shard["bytes"], shard["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    entry["rows"] = sum(item["rows"] for item in entry["shards"])
    entry["tokens"] = entry["rows"] * values["sequence_length"]
    entry.update({name: sum(item[name] for item in entry["shards"]) for name in LOSS_TOKENS})
    write_manifest(out, values)
