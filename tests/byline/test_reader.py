"""`byline.open`: rows by index, views, checks against the manifest, and use from several processes."""

import json
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import dataset

import byline
from byline import open_files
from byline.errors import BylineError
from tests.support.shards import PackedRow, numbered_build, numbered_row, rewrite_metadata, write_build, write_manifest

SHARDS = {"conditioned": [5, 0, 4], "cooldown": [3, 0]}
ARRAYS = ("input_ids", "loss_mask", "seq_lengths", "doc_ids", "doc_offsets")


def as_packed(row: Mapping) -> PackedRow:
    return PackedRow(*(row[name].tolist() for name in ARRAYS))


@pytest.fixture
def build(tmp_path: Path) -> tuple[Path, list[PackedRow]]:
    return tmp_path, numbered_build(tmp_path, SHARDS)


def test_rows_stand_in_training_order(build):
    directory, rows = build
    shards = byline.open(directory)
    assert len(shards) == 12
    assert [as_packed(row) for row in shards] == rows
    assert [as_packed(shards[i]) for i in range(-12, 12)] == rows + rows
    assert [row["phase"] for row in shards] == ["conditioned"] * 9 + ["cooldown"] * 3


def test_one_row_literally(tmp_path):
    row = PackedRow([0, 7, 8, 1, 0, 9, 1, 1], [0, 0, 1, 1, 1, 1, 1, 0], [4, 3, 1], [3, (1 << 32) + 19, -1], [0, 5, 0])
    write_build(tmp_path, {"conditioned": [[row]]}, 8)
    row_read = byline.open(str(tmp_path))[0]
    assert row_read["input_ids"].tolist() == [0, 7, 8, 1, 0, 9, 1, 1]
    assert row_read["loss_mask"].tolist() == [0, 0, 1, 1, 1, 1, 1, 0]
    assert row_read["seq_lengths"].tolist() == [4, 3, 1]
    assert row_read["doc_ids"].tolist() == [3, 4294967315, -1]
    assert row_read["doc_offsets"].tolist() == [0, 5, 0]


@pytest.mark.parametrize("ids", ["int32", "uint16"])
def test_types_are_the_same_for_both_profiles_and_read_only(tmp_path, ids):
    rows = numbered_build(tmp_path, SHARDS, ids=ids)
    shards = byline.open(tmp_path)
    row = shards[6]
    assert as_packed(row) == rows[6]
    assert [row[name].dtype.str for name in ARRAYS] == ["<i4", "|u1", "<i4", "<i8", "<i4"]
    assert not any(row[name].flags.writeable for name in ARRAYS)
    assert shards.batch([6, 0])["input_ids"].dtype == np.int32
    assert shards.batch([6, 0])["input_ids"].tolist() == [rows[6].input_ids, rows[0].input_ids]


def test_a_row_is_a_view_of_the_map(build):
    shards = byline.open(build[0])
    before = pa.total_allocated_bytes()
    kept = [shards[i] for i in range(len(shards))]
    assert not any(row[name].flags.owndata for row in kept for name in ARRAYS)
    assert np.shares_memory(kept[0]["input_ids"], shards[0]["input_ids"])
    assert pa.total_allocated_bytes() == before


@given(st.data())
@settings(max_examples=50)
def test_slices_and_batches_are_those_of_a_list(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("build", numbered=True)
    counts = data.draw(st.lists(st.integers(0, 5), max_size=4))
    per_batch = data.draw(st.integers(1, 4))
    rows = numbered_build(directory, {"conditioned": counts, "cooldown": [2]}, rows_per_batch=per_batch)
    numbers = list(range(len(rows)))
    shards = byline.open(directory)
    bound = st.none() | st.integers(-20, 20)
    for _ in range(2):
        cut = slice(data.draw(bound), data.draw(bound), data.draw(st.none() | st.sampled_from([1, 2, 3, -1, -2])))
        shards, numbers = shards[cut], numbers[cut]
    assert [as_packed(row) for row in shards] == [rows[number] for number in numbers]
    if numbers:
        asked = data.draw(st.lists(st.integers(-len(numbers), len(numbers) - 1), max_size=8))
        batch = shards.batch(np.array(asked, dtype=np.int64))
        assert batch["input_ids"].tolist() == [rows[numbers[i]].input_ids for i in asked]
        assert batch["loss_mask"].tolist() == [rows[numbers[i]].loss_mask for i in asked]


def test_phase_is_a_view(build):
    directory, rows = build
    shards = byline.open(directory)
    assert shards.phases == ("conditioned", "cooldown")
    assert [as_packed(row) for row in shards.phase("cooldown")] == rows[9:]
    assert [as_packed(row) for row in shards.phase("conditioned")[::4]] == rows[:9:4]
    with pytest.raises(BylineError, match="no phase 'warmup'; its phases are conditioned, cooldown"):
        shards.phase("warmup")


# ----------------------------------------------------------------------------------------------------------- branches

BRANCHED = {**SHARDS, "cooldown-50": [2], "cooldown-100": [1, 1]}
LEAVES = {"cooldown-50": ("conditioned", 1), "cooldown-100": ("conditioned", 3)}


@pytest.fixture
def branched(tmp_path: Path) -> tuple[Path, list[PackedRow]]:
    """Rows 0 to 4 and 5 to 8 of conditioned, 9 to 11 of the cooldown, 12 and 13, 14 and 15 of the branches."""
    return tmp_path, numbered_build(tmp_path, BRANCHED, branches=LEAVES)


def test_the_timeline_alone_is_opened(branched):
    directory, rows = branched
    shards = byline.open(directory)
    assert (shards.phases, shards.branch) == (("conditioned", "cooldown"), None)
    assert [as_packed(row) for row in shards] == rows[:12]
    assert shards.branches == ("cooldown-50", "cooldown-100")
    message = "its phases are conditioned, cooldown, and its branches, each opened with branch=NAME, cooldown-50, coo"
    with pytest.raises(BylineError, match=message):
        shards.phase("cooldown-50")


def test_a_branch_is_the_timeline_up_to_it_and_then_its_own_rows(branched):
    directory, rows = branched
    shards = byline.open(directory, branch="cooldown-50")
    assert (shards.phases, shards.branch) == (("conditioned", "cooldown-50"), "cooldown-50")
    assert [as_packed(row) for row in shards] == rows[:5] + rows[12:14]
    assert [row["phase"] for row in shards] == ["conditioned"] * 5 + ["cooldown-50"] * 2
    assert [as_packed(row) for row in shards.phase("cooldown-50")] == rows[12:14]
    assert [as_packed(row) for row in shards.phase("conditioned")] == rows[:5]
    assert shards.batch([6, 0])["input_ids"].tolist() == [rows[13].input_ids, rows[0].input_ids]
    assert shards.shard_of(5)[0].path == "cooldown-50/00000-of-00001.arrow"
    assert repr(shards).endswith("7 rows of 8 tokens, phases conditioned, cooldown-50>")


def test_what_is_held_out_is_opened_by_its_name_and_alone(tmp_path):
    rows = numbered_build(
        tmp_path, {**BRANCHED, "unseen-0": [2, 1]}, branches={**LEAVES, "unseen-0": ("conditioned", 0)}
    )
    shards = byline.open(tmp_path)
    assert (shards.holdout, shards.branches) == ("unseen-0", ("cooldown-50", "cooldown-100"))
    assert [as_packed(row) for row in shards] == rows[:12]
    held = byline.open(tmp_path, branch=shards.holdout)
    assert (held.phases, held.branch, shards.branch_row("unseen-0")) == (("unseen-0",), "unseen-0", 0)
    assert [as_packed(row) for row in held] == rows[16:]
    assert [as_packed(row) for row in pickle.loads(pickle.dumps(held))] == rows[16:]


def test_a_branch_at_the_end_of_a_phase(branched):
    directory, rows = branched
    shards = byline.open(directory, branch="cooldown-100")
    assert [as_packed(row) for row in shards] == rows[:9] + rows[14:]


def test_where_branches_leave(branched):
    shards = byline.open(branched[0])
    assert [shards.branch_row(name) for name in shards.branches] == [5, 9]
    assert byline.open(branched[0], branch="cooldown-50").branch_row("cooldown-100") == 9
    assert shards[4:].branch_row("cooldown-50") == 5
    with pytest.raises(BylineError, match=r"no branch 'cooldown-25'; its branches are cooldown-50, cooldown-100"):
        shards.branch_row("cooldown-25")


def test_a_branch_that_leaves_before_the_first_shard(tmp_path):
    rows = numbered_build(tmp_path, {"a": [2], "b": [2], "c-1": [1]}, branches={"c-1": ("b", 0)})
    shards = byline.open(tmp_path, branch="c-1")
    assert shards.phases == ("a", "c-1")
    assert [as_packed(row) for row in shards] == rows[:2] + rows[4:]


@given(st.data())
@settings(max_examples=50)
def test_branches_are_those_of_a_list(tmp_path_factory, data):
    """Wherever a branch leaves: the rows of the shards before it, then its own."""
    directory = tmp_path_factory.mktemp("build", numbered=True)
    counts = {name: data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)) for name in ("a", "b", "c-1")}
    phase = data.draw(st.sampled_from(["a", "b"]))
    taken = data.draw(st.integers(0, len(counts[phase])))
    rows = numbered_build(directory, counts, branches={"c-1": (phase, taken)})
    before = sum(counts["a"][:taken]) if phase == "a" else sum(counts["a"]) + sum(counts["b"][:taken])
    main = sum(counts["a"]) + sum(counts["b"])
    shards = byline.open(directory, branch="c-1")
    assert shards.branch_row("c-1") == before
    assert [as_packed(row) for row in shards] == rows[:before] + rows[main:]
    assert [as_packed(row) for row in byline.open(directory)] == rows[:main]
    assert [as_packed(row) for row in shards[shards.branch_row("c-1") :]] == rows[main:]


def test_an_unknown_branch(branched):
    message = f"{branched[0]}: no branch 'cooldown'; its branches are cooldown-50, cooldown-100"
    with pytest.raises(BylineError, match=re.escape(message)):
        byline.open(branched[0], branch="cooldown")


def test_a_build_without_branches(build):
    assert byline.open(build[0]).branches == ()
    assert byline.open(build[0]).holdout is None
    with pytest.raises(BylineError, match="no branch 'cooldown'; it has none"):
        byline.open(build[0], branch="cooldown")


def test_a_branch_pickles(branched):
    directory, rows = branched
    again = pickle.loads(pickle.dumps(byline.open(directory, branch="cooldown-50")[4:]))
    assert (again.branch, again.phases) == ("cooldown-50", ("conditioned", "cooldown-50"))
    assert [as_packed(row) for row in again] == [rows[4], *rows[12:14]]


@pytest.mark.parametrize("leaves", [("warmup", 0), ("conditioned", 4), ("conditioned", -1), ("cooldown-50", 0)])
def test_a_branch_that_leaves_nothing(tmp_path, leaves):
    numbered_build(tmp_path, BRANCHED, branches={**LEAVES, "cooldown-50": leaves})
    with pytest.raises(BylineError, match="branch 'cooldown-50' leaves no phase of the timeline"):
        byline.open(tmp_path)


# ------------------------------------------------------------------------------------------------------------- faults


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


def test_pickles_only_the_directory_and_the_rows(build, monkeypatch):
    directory, rows = build
    monkeypatch.chdir(directory.parent)
    shards = byline.open(directory.name)[1::3]
    assert as_packed(shards[0]) == rows[1]
    pickled = pickle.dumps(shards)
    assert len(pickled) < 300
    monkeypatch.chdir("/")
    assert [as_packed(row) for row in pickle.loads(pickled)] == rows[1::3]


def _row(shards: byline.Shards, index: int) -> PackedRow:
    return as_packed(shards[index])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(build, method):
    directory, rows = build
    shards = byline.open(directory)
    assert as_packed(shards[9]) == rows[9]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_row, [(shards, i) for i in range(12)]) == rows


def test_a_fork_while_a_thread_holds_the_lock(build):
    """A child gets files and a lock of its own; with its parent's it would wait for ever."""
    directory, rows = build
    shards = byline.open(directory)
    assert as_packed(shards[0]) == rows[0]
    with shards._build._files._open._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if as_packed(shards[0]) == rows[0] else 1)
        stop = threading.Timer(10, os.kill, (child, signal.SIGKILL))
        stop.start()
        assert os.waitpid(child, 0)[1] == 0
        stop.cancel()


def test_threads(build):
    directory, rows = build
    shards = byline.open(directory)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: as_packed(shards[i % 12]), range(600))) == [rows[i % 12] for i in range(600)]


def default_collate(rows):
    raise RuntimeError("stack expects each tensor to be equal size")


def test_a_data_loader_that_would_stack_rows(build):
    """As PyTorch fetches a batch: by `__getitems__`, from an object that has the function to collate with."""

    class Fetcher:
        def __init__(self, dataset, collate_fn):
            self.dataset, self.collate_fn = dataset, collate_fn

        def fetch(self, indices):
            return self.collate_fn(self.dataset.__getitems__(indices))

    directory, rows = build
    shards = byline.open(directory)
    assert [as_packed(row) for row in Fetcher(shards, list).fetch([3, -1, 0])] == [rows[3], rows[11], rows[0]]
    message = (
        rf"^{directory}: rows have lists of different lengths, which a DataLoader cannot stack; give it "
        r"byline\.adapters\.torch\.ShardDataset\(shards\), or a collate_fn of its own$"
    )
    with pytest.raises(BylineError, match=message):
        Fetcher(shards, default_collate).fetch([0])


def test_readers_of_arrow_files_find_the_rows_and_nothing_else(build):
    directory, rows = build
    (directory / "_plan.ipc").write_bytes((directory / "_inputs.ipc").read_bytes())
    table = dataset.dataset(directory, format="arrow").to_table(columns=["input_ids"])
    assert sorted(table["input_ids"].to_pylist()) == sorted(row.input_ids for row in rows)
    assert {path.parent.name for path in directory.glob("**/*.arrow")} == set(SHARDS)


def test_repr(build):
    assert repr(byline.open(build[0])) == (
        f"<byline.Shards {build[0]}: 12 rows of 8 tokens, phases conditioned, cooldown>"
    )


def test_importing_needs_only_pyarrow_and_numpy():
    code = (
        "import sys; before = set(sys.modules); import byline; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    # Modules that extensions compiled by Cython make up are no packages.
    made_up = {name for name in modules if name.startswith("_") or name == "cython_runtime"}
    assert set(modules) - made_up == {"byline", "numpy", "pyarrow"}
