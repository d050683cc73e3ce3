"""`byline verify` finds what is false in the manifest, the plan, the list of input files, the store and the corpora."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.pipelines.runners.runner import run_pipeline
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.checks.file_checks import check_file, read_problems, runs_to_check
from byline.transforms.documents.run_lines_transform import RunLines
from byline.transforms.documents.work_lists import ListLines, write_lines
from byline.transforms.store.store_index import read_run_file
from tests.support.builds import build, copy_build, manifest_of, verify, write_manifest
from tests.support.corpora import Corpus
from tests.support.false_builds import Make, assert_found
from tests.support.seals import rewrite_run
from tests.support.thorough import STEP, part


@pytest.fixture(params=["whole", "bare"])
def damaged(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    """A copy to damage, once with store and corpora to compare with, once without."""
    return copy_build(built, tmp_path / "shards", bare=request.param == "bare")


# ----------------------------------------------------------------------------------------------------- the manifest


def numbers_in(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The shuffle key of every number."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from numbers_in(below, (*where, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from numbers_in(below, (*where, number))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield where


def add_one(values: Any, where: tuple[Any, ...]) -> None:
    *way, last = where
    for key in way:
        values = values[key]
    values[last] += 1


def test_every_false_number_in_the_manifest(built: Path, tmp_path: Path) -> None:
    """Rows, tokens, loss tokens, bytes, shares, ids, every line of the ledger: one more of each is found."""
    out = copy_build(built, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    config = values.pop("config")
    shuffle_keys = part(numbers_in(values))
    unfound = set()
    for shuffle_key in shuffle_keys:
        changed = json.loads(json.dumps(values))
        add_one(changed, shuffle_key)
        write_manifest(out, {**changed, "config": config})
        if status_of(out) == 0:
            unfound.add(shuffle_key)
    # Nothing in the output says these again; the token store does.
    only = {("ledger", "sources", source, *line) for source in config["sources"] for line in STORED}
    assert unfound == only.intersection(shuffle_keys)
    assert len(shuffle_keys) > 150 // STEP


STORED = [("read", "bytes"), ("kept", "bytes"), ("special_text",), ("damaged",)]


@pytest.mark.parametrize("line", STORED)
def test_a_false_number_that_only_the_token_store_tells(built: Path, tmp_path: Path, line: tuple[str, ...]) -> None:
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    add_one(values, ("ledger", "sources", "mine", *line))
    write_manifest(out, values)
    assert_found(out, f"ledger, source mine: {line[0]} ", ", the token store has ")


def status_of(out: Path) -> int:
    """As the command line has it: a manifest that fits nothing is an error."""
    try:
        return verify(out)[0]
    except BylineError:
        return 1


@pytest.mark.parametrize(
    ("shuffle_key", "message"),
    [
        (("phases", 0, "rows"), "phase conditioned: the manifest says {} rows, the shards have {}"),
        (("phases", 0, "tokens"), "phase conditioned: the manifest says {} tokens, the shards have {}"),
        (("phases", 1, "loss_tokens"), "phase cooldown: the manifest says {} loss tokens, the shards have {}"),
        (
            ("phases", 1, "loss_tokens_in_rows"),
            "phase cooldown: the manifest says {} loss tokens in rows, the shards ha",
        ),
        (("phases", 0, "shards", 2, "rows"), "conditioned/00002-of-00005.arrow: {1} rows, the manifest says {0}"),
        (("phases", 0, "shards", 2, "loss_tokens"), "00002-of-00005.arrow: {1} loss tokens, the manifest says {0}"),
        (
            ("phases", 0, "shards", 2, "loss_tokens_in_segments"),
            ".arrow: {1} loss tokens in segments, the manifest says",
        ),
        (("ledger", "sources", "c4", "read", "documents"), "source c4: {} documents read, its lines sum to {}"),
        (("ledger", "sources", "c4", "kept", "tokens"), "source c4: {} tokens kept, its lines sum to {}"),
        (("ledger", "sources", "c4", "used", "documents"), "source c4: used is "),
        (
            ("ledger", "phases", "cooldown", "padding"),
            "phase cooldown: the manifest says {} padding, the shards have {}",
        ),
        (("ledger", "phases", "cooldown", "sources", "c4", "positions"), "source c4: {} positions, the shards have {}"),
        (
            ("ledger", "phases", "conditioned", "sources", "c4", "documents"),
            "source c4: {} documents, the shards have {}",
        ),
    ],
)
def test_a_false_number_is_told_with_the_right_one(built: Path, tmp_path: Path, shuffle_key: Any, message: str) -> None:
    out = copy_build(built, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    add_one(values, shuffle_key)
    write_manifest(out, values)
    below: Any = values
    for key in shuffle_key:
        below = below[key]
    assert_found(out, message.format(f"{below:,}", f"{below - 1:,}"))


def test_a_false_share(damaged: Path) -> None:
    values = manifest_of(damaged)
    shares = values["phases"][0]["mixture"]
    shares["c4"]["achieved"], shares["dclm"]["requested"] = 0.25, 0.41
    write_manifest(damaged, values)
    assert_found(
        damaged, "source c4: the manifest's achieved share is 0.25, ", "phase conditioned: requested shares is "
    )


@pytest.mark.parametrize(
    ("shuffle_key", "value", "message"),
    [
        (("ledger", "sources", "c4", "kept"), {}, r"ledger\.sources\.c4\.kept: no key 'documents'"),
        (("ledger", "phases"), {}, r"ledger\.phases: no key 'conditioned'"),
        (("phases", 0, "rows"), "12", r"phases\.0\.rows: expected int, found '12'"),
        (("phases", 0, "shards"), [], r"its shards are not those of _plan\.ipc"),
        (("config", "seed"), 1, r"its seed are not those of _plan\.ipc"),
        (("config", "sequence", "packing"), "concat", r"its sequence are not those of _plan\.ipc"),
        (("config", "phases", 0, "condition", "template"), "{url}", r"its phases are not those of _plan\.ipc"),
        (("phases", 0, "template"), "{url}", r"its templates are not those of _plan\.ipc"),
        (("tokenizer", "bos_id"), None, r"its tokenizer are not those of _plan\.ipc"),
        (("plan_sha256",), "00" * 32, r"_plan\.ipc: has another sha256 than the manifest says"),
        (("config", "colour"), "red", r"unknown key 'colour'"),
    ],
)
def test_a_manifest_that_fits_nothing_else(damaged: Path, shuffle_key: Any, value: Any, message: str) -> None:
    values = manifest_of(damaged)
    below: Any = values
    for key in shuffle_key[:-1]:
        below = below[key]
    below[shuffle_key[-1]] = value
    write_manifest(damaged, values)
    with pytest.raises(BylineError, match=message):
        verify(damaged)


# -------------------------------------------------------------------------------------------------- the other files


def test_a_changed_plan(damaged: Path) -> None:
    content = bytearray((damaged / "_plan.ipc").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "_plan.ipc").write_bytes(content)
    with pytest.raises(BylineError, match=r"_plan\.ipc: has another sha256 than the manifest says"):
        verify(damaged)


@pytest.mark.parametrize("name", ["_plan.ipc", "_inputs.ipc"])
def test_a_missing_list(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    with pytest.raises(BylineError, match=rf"{name}: cannot be opened"):
        verify(damaged)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_truncated_list_of_inputs(damaged: Path, size: int) -> None:
    path = damaged / "_inputs.ipc"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BylineError, match=r"_inputs\.ipc: has another sha256 than the manifest says"):
        verify(damaged)


def edit_inputs(out: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = out / "_inputs.ipc"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    rows = table.to_pylist()
    change(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, table.schema))
    write_manifest(out, {**manifest_of(out), "inputs_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


def test_another_path_in_the_list_of_inputs(damaged: Path) -> None:
    """A document's shuffle key is a hash of its path, so its documents are not planned for their shards any more."""
    edit_inputs(damaged, lambda rows: rows[0].update(path="c4-train.other.json.gz"))
    assert_found(damaged, "of c4/c4-train.other.json.gz is in it, but not planned for it")


def test_another_number_of_records_in_the_list_of_inputs(damaged: Path) -> None:
    edit_inputs(damaged, lambda rows: rows[0].update(rows=rows[0]["rows"] + 1))
    assert_found(damaged, "source c4: 183 documents read, _inputs.ipc has 184 records")


def test_records_moved_between_files_in_the_list_of_inputs(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards")

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["rows"], rows[1]["rows"] = rows[0]["rows"] + 1, rows[1]["rows"] - 1

    edit_inputs(out, change)
    assert_found(out, "_inputs.ipc: it does not list the input files of the token store")


def test_a_raw_corpus_that_changed_since(built: Path, corpus: Corpus, tmp_path: Path) -> None:
    """The store was made from the old one, so it is that which the raw files are not any more."""
    path = tmp_path / "mine"
    path.mkdir()
    for file in corpus.files("mine"):
        (path / file.name).write_bytes(file.read_bytes().replace(b"the ", b"teh "))
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    values["config"]["sources"]["mine"]["path"] = str(path / "*.jsonl")
    write_manifest(out, values)
    assert_found(out, "is not what mine/part-0.jsonl, row ")


def test_another_tokenizer_in_its_place(built: Path, corpus: Corpus, tmp_path: Path) -> None:
    """Nothing can be compared by it; the output itself is as good as ever."""
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    values["config"]["tokenizer"]["file"] = str(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_bytes(corpus.tokenizer.read_bytes() + b"\n")
    write_manifest(out, values)
    status, text = verify(out)
    assert status == 0
    assert f"{tmp_path}/tokenizer.json is not the build's tokenizer any more; give it with --tokenizer" in text
    assert "has other runs than the build was planned with" in text


@pytest.fixture
def own_store(make_build: Make, tmp_path: Path) -> tuple[Path, list[Path]]:
    """A build with a token store to damage, and the runs of one source."""
    built = make_build()
    shutil.copytree(built.parent / "store", tmp_path / "store")
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    values["config"]["store"] = str(tmp_path / "store")
    write_manifest(out, values)
    assert verify(out, allow_missing=False)[0] == 0
    return out, sorted((tmp_path / "store" / "dclm").rglob("*.arrow"))


def with_other_tokens(path: Path) -> pa.Table:
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    tokens = [[7] * len(tokens) for tokens in table["tokens"].to_pylist()]
    index = table.schema.get_field_index("tokens")
    return table.set_column(index, table.schema.field("tokens"), pa.array(tokens, table.schema.types[index]))


def test_a_damaged_run_of_the_token_store(own_store: tuple[Path, list[Path]]) -> None:
    """A byte of a token, far from all that Arrow looks at."""
    out, runs = own_store
    content = bytearray(runs[0].read_bytes())
    content[-len(content) // 3] ^= 4
    runs[0].write_bytes(content)
    assert_found(
        out,
        "wrong runs         1 problems",
        f"{runs[0]}: cannot be read as a run (its contents are damaged: the checksum in its seal is another)",
        "not   token store  not compared: 1 of its runs are wrong",
        "ok    raw corpus",
    )


def test_a_run_changed_with_its_checksums(own_store: tuple[Path, list[Path]]) -> None:
    """A token changed in the store itself: the shards are what the raw corpora give, the store is not."""
    out, runs = own_store
    for path in runs:
        rewrite_run(str(path), with_other_tokens(path))
        os.utime(path)
    assert_found(out, "ok    runs", "input_ids is not what the token store gives for it", "ok    raw corpus")


def test_runs_swapped(own_store: tuple[Path, list[Path]]) -> None:
    out, runs = own_store
    first, second = runs[0].read_bytes(), runs[1].read_bytes()
    runs[0].write_bytes(second)
    runs[1].write_bytes(first)
    assert_found(out, "wrong token store", ": holds chunk 0 of dclm/", "move it back, or delete it and prepare again")


def test_a_run_that_is_gone(own_store: tuple[Path, list[Path]]) -> None:
    out, runs = own_store
    runs[0].unlink()
    status, text = verify(out, allow_missing=False)
    assert status == 2
    assert "has other runs than the build was planned with" in text


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_are_checked_by_workers(own_store: tuple[Path, list[Path]], tmp_path: Path, workers: int) -> None:
    _, runs = own_store
    runs[0].write_bytes(runs[0].read_bytes()[:200] + b"7" + runs[0].read_bytes()[201:])
    listed = runs_to_check([read_run_file(str(path), 0) for path in runs], {"dclm": runs[0].parent.name + "x"})
    list_uri = str(tmp_path / "runs.jsonl")
    write_lines(list_uri, (run.to_json() for run in listed))

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | ListLines(list_uri) | RunLines(partial(check_file, str(tmp_path / "work")))

    run_pipeline(wire, RunnerSettings(workers=workers), 10**9)
    (damaged,), *others = read_problems(str(tmp_path / "work"), listed)
    assert damaged.startswith(f"{runs[0]}: cannot be read as a run (")
    assert len(others) == len(runs) - 1
    assert all("was prepared with other settings" in problem for (problem,) in others)


def test_raw_files_are_compared_by_checksum_if_asked_to(make_build: Make, corpus: Corpus, tmp_path: Path) -> None:
    """A byte behind the end of what is read, which no document shows; the file keeps size and time."""
    root = shutil.copytree(corpus.root, tmp_path / "corpus")
    values = manifest_of(make_build())["config"]
    for source in values["sources"].values():
        if isinstance(source["path"], str):
            source["path"] = source["path"].replace(str(corpus.root), str(root))
        else:
            source["path"] = [path.replace(str(corpus.root), str(root)) for path in source["path"]]
    values.update(store=str(tmp_path / "store"), output=str(tmp_path / "shards"))
    out = build(values)
    status, text = verify(out, raw=True, allow_missing=False)
    assert status == 0, text
    assert "ok    raw files" in text
    file = max((root / "mine").glob("*.jsonl"), key=lambda path: path.stat().st_size)
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(content.replace(b'": "', b'":"', 1).replace(b"\n", b" \n", 1))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == len(content)
    assert verify(out)[0] == 0
    status, text = verify(out, raw=True)
    assert (status, f"{file}: its bytes are not those that were prepared" in text) == (1, True), text
    shutil.rmtree(tmp_path / "store")
    status, text = verify(out, raw=True, allow_missing=False)
    assert (status, "not   raw files" in text) == (2, True), text
