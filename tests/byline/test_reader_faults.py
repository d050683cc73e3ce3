"""`byline.open` of what is not what the manifest says, and rows that are not there."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import byline
from byline import open_files
from byline.errors import BylineError
from tests.support.shards import (
    as_packed,
    numbered_build,
    numbered_row,
    rewrite_metadata,
    write_build,
    write_manifest,
)


@pytest.mark.parametrize("index", [12, -13, 10**9])
def test_a_row_out_of_range(build, index):
    shards = byline.open(build[0])
    with pytest.raises(IndexError, match=f"row {index} of 12"):
        shards[index]
    with pytest.raises(IndexError, match=f"row {index} of 12"):
        shards.batch([0, index])


def test_a_batch_of_something_else(build):
    shards = byline.open(build[0])
    assert shards.batch([])["input_ids"].shape == (0, 8)
    for wrong in ([0.5], [[0, 1]], [True]):
        with pytest.raises(IndexError, match="expected row numbers"):
            shards.batch(wrong)


def test_inputs_and_origin(build):
    shards = byline.open(build[0])
    assert shards.inputs == {0: ("mine", "a.jsonl"), 1: ("yours", "b/c.parquet")}
    assert shards.origin(shards[3]["doc_ids"][0]) == ("yours", "b/c.parquet", 3)
    assert shards.origin(9) == ("mine", "a.jsonl", 9)
    with pytest.raises(BylineError, match="padding"):
        shards.origin(shards[3]["doc_ids"][1])
    with pytest.raises(BylineError, match=r"of file 7, which is not in _inputs\.ipc"):
        shards.origin(7 << 32)


def test_shard_of(build):
    shards = byline.open(build[0])
    assert [(shards.shard_of(i)[0].path, shards.shard_of(i)[1]) for i in (4, 5, -1)] == [
        ("conditioned/00000-of-00003.arrow", 4),
        ("conditioned/00002-of-00003.arrow", 0),
        ("cooldown/00000-of-00002.arrow", 2),
    ]
    assert shards.phase("cooldown").shard_of(1)[1] == 1


def test_at_most_so_many_files_stay_open(build, monkeypatch):
    directory, rows = build
    monkeypatch.setattr(open_files, "MAX_OPEN", 2)
    shards = byline.open(directory)
    kept = [shards[i] for i in (0, 5, 9, 0, 9, 5)]
    # The arrays of a file that was closed meanwhile are still good.
    assert [as_packed(row) for row in kept] == [rows[i] for i in (0, 5, 9, 0, 9, 5)]
    assert len(shards._build._files._open) == 2


def test_a_directory_without_a_manifest(tmp_path):
    with pytest.raises(BylineError, match="not a finished build"):
        byline.open(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 5}, r"not a manifest of version 4 \(found 5\); a newer Byline wrote it, so update this one"),
        ({"version": 3}, r"not a manifest of version 4 \(found 3\); delete this build or choose another `output`"),
        ({"version": None}, r"not a manifest of version 4 \(found None\); delete this build"),
        ({"format": "other", "version": 4}, 'expected "format": "byline-shards"; this is another kind of file'),
    ],
)
def test_another_version(build, values, message):
    path = build[0] / "_manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(BylineError, match=message):
        byline.open(build[0])


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "config": {**v["config"], "seed": 1}}, "its config is not what the build wrote"),
        (lambda v: {**v, "ledger": {"sources": float("nan")}}, "its ledger is not what the build wrote"),
        (lambda v: {**v, "phases": v["phases"][::-1]}, "its phases is not what the build wrote"),
        (lambda v: {**v, "phases": 10**4000}, "its phases is not what the build wrote"),
        (lambda v: {**v, "inputs": True}, "its inputs is not what the build wrote"),
        (lambda v: {**v, "sequence_length": float(v["sequence_length"])}, "its sequence_length is not what the build"),
        (lambda v: {**v, "more": 1}, "unknown key 'more', of which it has no digest"),
        (lambda v: without(v, "plan_sha256"), "no key 'plan_sha256', of which it has a digest"),
        (lambda v: without(v, "digests"), "it has no digests of its keys"),
        (lambda v: {**v, "digests": [1]}, "it has no digests of its keys"),
        (lambda v: {**v, "digests": without(v["digests"], "config")}, "unknown key 'config', of which it has no"),
    ],
)
def test_an_edited_manifest(build, change, message):
    path = build[0] / "_manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(BylineError, match=message) as error:
        byline.open(build[0])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[" * 10**5, "{", "[]", "null", '{"a": 1' + "0" * 5000 + "}", "\x00", "\ud800"])
def test_a_manifest_that_is_none(build, content):
    (build[0] / "_manifest.json").write_text(content, errors="surrogatepass")
    with pytest.raises(BylineError, match=r"^[^\n]*_manifest\.json: (cannot be read as JSON|expected)[^\n]*$"):
        byline.open(build[0])


def test_an_edited_list_of_inputs(build):
    path = build[0] / "_inputs.ipc"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BylineError, match=r"_inputs\.ipc: has another sha256 than the manifest says"):
        byline.open(build[0]).origin(0)


def edit_manifest(directory: Path, **changes) -> None:
    """Changes the entry of the first shard."""
    path = directory / "_manifest.json"
    values = json.loads(path.read_text())
    values["phases"][0]["shards"][0].update(changes)
    write_manifest(directory, values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, shard: edit_manifest(d, rows=6), "rows 5, the manifest says 6"),
        (lambda d, shard: edit_manifest(d, bytes=17), "bytes [0-9]+, the manifest says 17"),
        (lambda d, shard: rewrite_metadata(shard, plan_sha256="cd" * 32), "plan_sha256 cdcd"),
        (lambda d, shard: rewrite_metadata(shard, phase="cooled"), "phase cooled, the manifest says conditioned"),
        (lambda d, shard: rewrite_metadata(shard, shard=2), "shard 2, the manifest says 0"),
        (lambda d, shard: rewrite_metadata(shard, template="{url}"), "template {url}, the manifest says URL: {host}"),
        (
            lambda d, shard: rewrite_metadata(shard, packing="concat"),
            "packing concat, the manifest says document_start",
        ),
        (lambda d, shard: rewrite_metadata(shard, seed=1), "seed 1, the manifest says 0"),
        (lambda d, shard: rewrite_metadata(shard, tokenizer=None), "tokenizer None, the manifest says {'name': 'tiny'"),
        (lambda d, shard: rewrite_metadata(shard, version=2), r"not a shard of version 1 \(found 2\); a newer Byline"),
        (
            lambda d, shard: rewrite_metadata(shard, version=0),
            r"not a shard of version 1 \(found 0\); delete this build",
        ),
        (lambda d, shard: rewrite_metadata(shard, rows_per_batch=3), "rows 7, the manifest says 5"),
        (lambda d, shard: shard.write_bytes(shard.read_bytes()[:-9]), "cannot be read as an Arrow file"),
        (lambda d, shard: shard.write_bytes(b""), "cannot be read as an Arrow file"),
        (lambda d, shard: shard.unlink(), "missing, though the build is finished"),
    ],
)
def test_a_shard_that_is_not_the_manifests(build, change, message):
    directory, rows = build
    shard = directory / "conditioned/00000-of-00003.arrow"
    change(directory, shard)
    if shard.exists() and "bytes" not in message:
        edit_manifest(directory, bytes=shard.stat().st_size)
    shards = byline.open(directory)
    with pytest.raises(BylineError, match=message) as caught:
        shards[0]
    assert str(shard) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert as_packed(shards[-1]) == rows[11]


def test_two_shards_of_a_phase_that_were_swapped(tmp_path):
    numbered_build(tmp_path, {"conditioned": [3, 3], "cooldown": [1]})
    first, second = (tmp_path / f"conditioned/0000{number}-of-00002.arrow" for number in range(2))
    assert first.stat().st_size == second.stat().st_size
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    for row, said, expected in ((0, 1, 0), (5, 0, 1)):
        with pytest.raises(BylineError, match=f"{expected}-of-00002.arrow: shard {said}, the manifest says {expected}"):
            byline.open(tmp_path)[row]


def test_a_file_that_is_cut_while_it_is_mapped(tmp_path):
    """Two record batches of 96 kB. Looking at the second one would end the process."""
    rows = numbered_build(tmp_path, {"conditioned": [4]}, length=9600)
    path = tmp_path / "conditioned/00000-of-00001.arrow"
    shards, size = byline.open(tmp_path), path.stat().st_size
    row = shards[0]
    os.truncate(path, size // 2)
    message = f"bytes {size // 2}, the manifest says {size}; the file is from another build or damaged"
    with pytest.raises(BylineError, match=message):
        shards[2]
    with pytest.raises(BylineError, match=message):
        shards.batch([0, 3])
    assert as_packed(row) == rows[0]
    os.truncate(path, 0)
    with pytest.raises(BylineError, match="cannot be read as an Arrow file"):
        byline.open(tmp_path)[0]


def test_a_file_that_is_replaced_while_it_is_mapped(tmp_path):
    """By renaming, as Byline does: the map stays what it was."""
    rows = numbered_build(tmp_path, {"conditioned": [4]})
    path = tmp_path / "conditioned/00000-of-00001.arrow"
    shards = byline.open(tmp_path)
    assert as_packed(shards[0]) == rows[0]
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").rename(path)
    assert as_packed(shards[3]) == rows[3]


def test_a_shard_of_another_length(tmp_path):
    numbered_build(tmp_path / "a", {"conditioned": [2]}, length=8)
    numbered_build(tmp_path / "b", {"conditioned": [2]}, length=9)
    name = "conditioned/00000-of-00001.arrow"
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    edit_manifest(tmp_path / "a", bytes=(tmp_path / "a" / name).stat().st_size)
    with pytest.raises(BylineError, match=r"schema input_ids: fixed_size_list<.*>\[9\]"):
        byline.open(tmp_path / "a")[0]


def test_unequal_record_batches(tmp_path):
    """Two batches of 1 and 2 rows, said to be of 2: the first cannot be found by division."""
    rows = [numbered_row(number, 8) for number in range(3)]
    write_build(tmp_path, {"conditioned": [rows]}, 8, rows_per_batch=2)
    path = tmp_path / "conditioned/00000-of-00001.arrow"
    with pa.ipc.open_file(str(path)) as file:
        schema, batches = file.schema, [file.get_batch(0), file.get_batch(1)]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in (batches[1], batches[0], batches[1]):
            writer.write_batch(batch)
    edit_manifest(tmp_path, bytes=path.stat().st_size, rows=5)
    with pytest.raises(BylineError, match="rows in record batch 1, the manifest says 2"):
        byline.open(tmp_path)[1]


def test_a_list_of_inputs_of_another_build(build):
    path = build[0] / "_manifest.json"
    write_manifest(build[0], {**json.loads(path.read_text()), "inputs": 3})
    with pytest.raises(BylineError, match=r"_inputs\.ipc: 2 files, the manifest says 3"):
        byline.open(build[0]).origin(0)
