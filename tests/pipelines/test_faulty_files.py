"""Files that are damaged or change: nothing of them is in the token store, and all other files are."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora import chunks, reading_transform
from byline.transforms.corpora.decoding import checksum_of
from byline.transforms.store.faults import note_fault, take_faults
from tests.support import small


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Three files of several chunks each."""
    monkeypatch.setattr(reading_transform.ReadCorpus.__init__, "__defaults__", (2000, None))
    small.tokenizer_file(tmp_path)
    for name in "abc":
        write(tmp_path, name)
    sources = {"web": {"format": "jsonl", "path": str(tmp_path / "web/*.gz")}}
    tokenizer = {"file": str(tmp_path / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD}
    return small.small_config(tmp_path, sources=sources, tokenizer=tokenizer)


def write(folder: Path, name: str, damage: slice | None = None) -> Path:
    lines = "".join(json.dumps({"text": f"{name} the quick fox {row}"}) + "\n" for row in range(200))
    content = bytearray(gzip.compress(lines.encode(), mtime=0))
    if damage is not None:
        content[damage] = bytes(len(content[damage]))
    file = folder / "web" / f"{name}.jsonl.gz"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def runs(config: Config) -> dict[str, bytes]:
    folder = Path(config.store)
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.arrow"))}


def test_a_damaged_file_leaves_nothing_and_one_that_is_fetched_again_at_the_same_time_is_read_from_its_start(
    config: Config, tmp_path: Path
) -> None:
    small.prepare_quietly(config)
    whole = runs(config)
    assert len(whole) == 27
    for file in Path(config.store).rglob("*.arrow"):
        file.unlink()
    file = tmp_path / "web/b.jsonl.gz"
    status = file.stat()
    write(tmp_path, "b", damage=slice(-8, -4))  # the checksum at the end alone
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(BylineError, match=r"b\.jsonl\.gz: the gzip data is damaged or cut short behind byte \d+"):
        small.prepare_quietly(config)
    assert len(runs(config)) == 18
    assert runs(config).items() <= whole.items()
    write(tmp_path, "b")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    small.prepare_quietly(config)
    assert runs(config) == whole


def test_all_faulty_files_are_listed(config: Config, tmp_path: Path) -> None:
    write(tmp_path, "a", damage=slice(100, 200))
    write(tmp_path, "c", damage=slice(-8, -4))
    console = small.quiet()
    with pytest.raises(BylineError, match=r"2 of 3 files cannot be prepared, all others are; the first: .*a\.jsonl"):
        prepare(config, RunnerSettings(workers=1), console)
    table = console.file.getvalue().partition("2 files cannot be prepared")[2].splitlines()[1:]
    assert [line.split()[:2] for line in table] == [["web/a.jsonl.gz", "byte"], ["web/c.jsonl.gz", "byte"]]
    assert len(runs(config)) == 9


def test_what_a_driver_that_died_has_left_of_a_damaged_file_is_removed(config: Config, tmp_path: Path) -> None:
    state = small.prepare_quietly(config)
    whole = runs(config)
    last = next(run for run in state.runs if run.path == "b.jsonl.gz" and run.last)
    Path(last.uri).unlink()
    stale = next(run for run in state.runs if run.path == "b.jsonl.gz" and run.chunk == 0)
    Path(stale.uri).write_bytes(Path(stale.uri).read_bytes().replace(b"\x01", b"\x02", 1))
    note_fault(state.folders["web"], "web", "b.jsonl.gz", FaultyFileError("b: damaged"))
    small.prepare_quietly(config)
    assert runs(config) == whole
    assert take_faults(state.folders.values()) == []


def test_a_file_that_was_touched_is_prepared_again_and_the_line_says_why(config: Config, tmp_path: Path) -> None:
    small.prepare_quietly(config)
    before = {name: Path(config.store, name).stat().st_mtime_ns for name in runs(config)}
    os.utime(tmp_path / "web/a.jsonl.gz", ns=(1, 10**18))
    console = small.quiet()
    state = prepare(config, RunnerSettings(workers=1), console)
    line = "web: 1 file has changed since it was prepared (first: a.jsonl.gz: another modification time, the same size)"
    assert line in console.file.getvalue()
    changed = {name for name, time in before.items() if Path(config.store, name).stat().st_mtime_ns != time}
    assert len(changed) == 9
    assert {run.input_modified for run in state.runs if run.path == "a.jsonl.gz"} == {10**18}


def test_a_file_that_grows_while_it_is_read_is_not_prepared(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modified = chunks.storage.modified

    def growing(uri: str) -> tuple[int, int]:
        size, time = modified(uri)
        return (size + 1, time) if "b.jsonl" in uri else (size, time)

    monkeypatch.setattr(chunks.storage, "modified", growing)
    with pytest.raises(BylineError, match=r"b\.jsonl\.gz: has changed since it was listed, while it was"):
        small.prepare_quietly(config)
    assert len(runs(config)) == 18


def test_the_last_chunk_has_the_checksum_of_the_file(config: Config, tmp_path: Path) -> None:
    state: Any = small.prepare_quietly(config)
    for run in state.runs:
        assert run.input_checksum == (checksum_of(str(tmp_path / "web" / run.path)) if run.last else "")
