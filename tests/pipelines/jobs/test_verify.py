"""`byline verify` finds every fault that is put into the shards of a copied build, and says where it is.

Most faults are hidden as well as can be: the manifest is made to agree with the file. `bare` copies have neither token
store nor raw corpora nor tokenizer left, so that the output alone must tell.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from byline.errors import BylineError
from byline.pipelines import cli
from byline.pipelines.runners.settings import RunnerSettings
from tests.support.builds import Rows, copy_build, edit_shard, manifest_of, restate, verify, write_manifest
from tests.support.corpora import Corpus
from tests.support.false_builds import Make, assert_found, shard_of
from tests.support.shards import LOSS_TOKENS
from tests.support.thorough import part


@pytest.fixture(scope="module")
def concatenated(make_build: Make) -> Path:
    return make_build(sequence={"length": 64, "packing": "concat"})


@pytest.fixture(params=["whole", "bare"])
def damaged(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    """A copy to damage, once with store and corpora to compare with, once without."""
    return copy_build(built, tmp_path / "shards", bare=request.param == "bare")


# --------------------------------------------------------------------------------------------------------- no fault


def test_a_copy_verifies_wherever_it_is(built: Path, tmp_path: Path) -> None:
    status, text = verify(copy_build(built, tmp_path / "elsewhere" / "copy"))
    assert status == 0
    assert text.count("ok ") == 7


def test_a_bare_copy_verifies_if_asked_to_and_says_what_was_not_compared(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards", bare=True)
    status, text = verify(out, allow_missing=False)
    assert status == 2
    assert text.splitlines()[-1] == (
        f"not all compared: {out}: nothing is wrong, but of token store, raw corpus not all could be compared; "
        "bring it back, or give --allow-missing"
    )
    status, text = verify(out)
    assert status == 0
    assert text.splitlines()[-1] == f"verified: {out} (not all compared: token store, raw corpus)"
    lines = [line[:18].split() for line in text.splitlines()]
    assert lines[:5] == [["ok", "files"], ["ok", "rows"], ["ok", "ledger"], ["ok", "phases"], ["not", "token", "store"]]
    assert lines[5:-1] == [["not", "raw", "corpus"]] * 4


@pytest.mark.parametrize("gone", ["store", "tokenizer", "sources"])
def test_what_is_gone_is_not_verified_but_by_asking(built: Path, tmp_path: Path, gone: str) -> None:
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    if gone == "store":
        values["config"]["store"] = str(tmp_path / "gone")
    if gone == "tokenizer":
        values["config"]["tokenizer"]["file"] = str(tmp_path / "gone.json")
    if gone == "sources":
        values["config"]["sources"]["mine"]["path"] = str(tmp_path / "gone" / "*.jsonl")
    write_manifest(out, values)
    for words, status in (([], 2), (["--allow-missing"], 0)):
        done = CliRunner().invoke(cli.app, ["verify", str(out), "--workers", "1", *words], env={"COLUMNS": "200"})
        assert (done.exit_code, "not all compared: " in done.output) == (status, True), done.output


def test_a_raw_file_that_is_gone(built: Path, corpus: Corpus, tmp_path: Path) -> None:
    (first, *others) = corpus.files("mine")
    (tmp_path / "mine").mkdir()
    for file in others:
        (tmp_path / "mine" / file.name).write_bytes(file.read_bytes())
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    values["config"]["sources"]["mine"]["path"] = str(tmp_path / "mine" / "*.jsonl")
    write_manifest(out, values)
    status, text = verify(out, allow_missing=False)
    assert status in (1, 2)
    assert f"1 input files of source mine are gone (first: {first.name})" in text


def test_verifying_writes_nothing(built: Path, corpus: Corpus) -> None:
    folders = [built, built.parent / "store", corpus.root]
    before = [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))]
    verify(built)
    assert [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))] == before


def test_two_processes_say_the_same(built: Path, tmp_path: Path) -> None:
    settings = RunnerSettings(workers=2)
    assert verify(built, settings=settings) == verify(built)
    out = copy_build(built, tmp_path / "shards")
    edit_shard(out, "conditioned", 0, lambda rows: rows.pop())
    edit_shard(out, "cooldown", 0, lambda rows: rows[0]["loss_mask"].__setitem__(0, 0))
    shard_of(out, "conditioned", 3).unlink()
    status, text = verify(out, settings=settings)
    assert status == 1
    assert (status, text) == verify(out)


def test_without_documents_to_compare_the_raw_corpora_are_left_alone(built: Path) -> None:
    status, text = verify(built, documents=0)
    assert (status, "--documents 0" in text) == (0, True)


def test_without_the_store_no_shard_is_assembled(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards")
    edit_shard(out, "conditioned", 0, lambda rows: rows.insert(0, rows.pop(1)))
    for words, status in (([], 1), (["--no-store"], 0)):
        done = CliRunner().invoke(cli.app, ["verify", str(out), "--workers", "1", *words], env={"COLUMNS": "200"})
        assert (done.exit_code, "not compared: --no-store" in done.output) == (status, status == 0), done.output


# ------------------------------------------------------------------------------------------------------------ files


def test_any_flipped_byte_of_a_shard(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards", bare=True)
    path = shard_of(out, "conditioned", 1)
    content = path.read_bytes()
    for number in part(range(60)):
        # All over the file, and each bit in turn; Arrow's own offsets and lengths are among them.
        position = number * (len(content) - 1) // 59
        flipped = bytearray(content)
        flipped[position] ^= 1 << number % 8
        path.write_bytes(flipped)
        assert_found(out, "conditioned/00001-of-00005.arrow: sha256 ")


def test_a_flipped_byte_that_the_manifest_agrees_with(built: Path, tmp_path: Path) -> None:
    """What is left to find: values, offsets, metadata. Only bytes between Arrow's buffers mean nothing."""
    out = copy_build(built, tmp_path / "shards")
    path = shard_of(out, "cooldown", 0)
    content = path.read_bytes()
    before = meaning(content)
    for number in part(range(40)):
        flipped = bytearray(content)
        flipped[number * 31 % 97 + number * (len(content) - 100) // 39] ^= 1 << number % 8
        path.write_bytes(flipped)
        values = manifest_of(out)
        restate(out, values, values["phases"][1], values["phases"][1]["shards"][0])
        status, text = verify(out, documents=0)
        assert status == (0 if meaning(bytes(flipped)) == before else 1), (number, text)


def meaning(content: bytes) -> Any:
    """All that a shard says; None where Arrow cannot read it."""
    try:
        table = pa.ipc.open_file(content).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table.to_pylist(), table.schema.metadata, [batch.num_rows for batch in table.to_batches()]


def test_a_missing_shard(damaged: Path) -> None:
    shard_of(damaged, "conditioned", 2).unlink()
    assert_found(
        damaged,
        "conditioned/00002-of-00005.arrow: missing; build again to write it",
        " rows of 5 of the 6 shards: ",
        "ledger       not recounted: conditioned (4 of its 5 shards can be read)\n",
        " documents of 5 of the 6 shards, none read twice",
        "delete the shards that are wrong and run `byline build` again: they alone are written",
    )


@pytest.mark.parametrize("size", [0, 7, 1000, -1])
def test_a_truncated_shard(damaged: Path, size: int) -> None:
    path = shard_of(damaged, "cooldown", 0)
    path.write_bytes(path.read_bytes()[:size])
    assert_found(damaged, f"{path.parent.name}/{path.name}: {path.stat().st_size:,} bytes, the manifest says")


def test_a_truncated_shard_that_the_manifest_agrees_with(damaged: Path) -> None:
    path = shard_of(damaged, "cooldown", 0)
    path.write_bytes(path.read_bytes()[:-1])
    values = manifest_of(damaged)
    restate(damaged, values, values["phases"][1], values["phases"][1]["shards"][0])
    assert_found(damaged, "cooldown/00000-of-00001.arrow: cannot be read")


def test_a_shard_replaced_by_another(damaged: Path) -> None:
    shard_of(damaged, "conditioned", 0).write_bytes(shard_of(damaged, "conditioned", 1).read_bytes())
    assert_found(damaged, "conditioned/00000-of-00005.arrow: sha256 ")


@pytest.mark.parametrize("phase", ["conditioned", "cooldown"])
def test_a_shard_replaced_by_another_that_the_manifest_agrees_with(damaged: Path, phase: str) -> None:
    values = manifest_of(damaged)
    (entry,) = (item for item in values["phases"] if item["name"] == phase)
    other, mine = values["phases"][0]["shards"][3], entry["shards"][0]
    (damaged / mine["path"]).write_bytes((damaged / other["path"]).read_bytes())
    mine.update({key: other[key] for key in ("rows", *LOSS_TOKENS)})
    restate(damaged, values, entry, mine)
    assert_found(damaged, "it says shard 3, the manifest 0", "not planned for it")


def test_two_shards_that_changed_shuffle_keys(damaged: Path) -> None:
    values = manifest_of(damaged)
    first, second = values["phases"][0]["shards"][:2]
    first["path"], second["path"] = second["path"], first["path"]
    write_manifest(damaged, values)
    with pytest.raises(BylineError, match=r"its shards are not those of _plan\.ipc"):
        verify(damaged)


# ------------------------------------------------------------------------------------------------------------- rows


def trained(row: dict[str, list[int]]) -> list[int]:
    """Positions of the row's first document whose loss counts."""
    return [n for n in range(row["seq_lengths"][0]) if row["loss_mask"][n]]


def test_a_mask_bit_inside_a_document(damaged: Path) -> None:
    def change(rows: Rows) -> None:
        rows[3]["loss_mask"][trained(rows[3])[2]] = 0

    edit_shard(damaged, "conditioned", 1, change)
    assert_found(damaged, "conditioned/00001-of-00005.arrow: row 3: a masked position inside a document")


def test_a_masked_position_in_the_cooldown(damaged: Path) -> None:
    edit_shard(damaged, "cooldown", 0, lambda rows: rows[2]["loss_mask"].__setitem__(0, 0))
    assert_found(damaged, "row 2: a masked position in a phase that masks only padding")


@pytest.mark.parametrize("trains_more", [True, False])
def test_a_mask_bit_at_the_border_of_the_prefix(damaged: Path, trains_more: bool) -> None:
    """One token more or less is masked, the manifest's loss counts, down to the source, agree."""

    def change(rows: Rows) -> None:
        border = trained(rows[0])[0]
        rows[0]["loss_mask"][border - 1 if trains_more else border] = int(trains_more)

    edit_shard(damaged, "conditioned", 0, change)
    values = manifest_of(damaged)
    agree(damaged, values, 0, 1 if trains_more else -1)
    assert_found(
        damaged, "loss_tokens", *([] if "gone" in values["config"]["store"] else ["row 0: loss_mask is not what"])
    )


def agree(out: Path, values: dict[str, Any], row: int, more: int) -> None:
    """Adds to the loss tokens of the source of a row's first document in the ledger."""
    table = pa.ipc.open_file(shard_of(out, "conditioned", 0).read_bytes()).read_all()
    names = pa.ipc.open_file((out / "_inputs.ipc").read_bytes()).read_all().to_pylist()
    source = names[table["doc_ids"][row][0].as_py() >> 32]["source"]
    values["ledger"]["phases"]["conditioned"]["sources"][source]["loss_tokens"] += more
    write_manifest(out, values)


def test_a_mask_bit_at_the_border_that_even_the_shard_agrees_with(concatenated: Path, tmp_path: Path) -> None:
    """All counts everywhere agree; but the prefixes' tokens follow from the rest, and nothing else is masked."""
    out = copy_build(concatenated, tmp_path / "shards", bare=True)

    def change(rows: Rows) -> None:
        rows[0]["loss_mask"][trained(rows[0])[0] - 1] = 1

    edit_shard(out, "conditioned", 0, change)
    values = manifest_of(out)
    agree(out, values, 0, 1)
    path = shard_of(out, "conditioned", 0)
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    metadata = json.loads(table.schema.metadata[b"byline.shard"])
    for source, counts in values["ledger"]["phases"]["conditioned"]["sources"].items():
        others = manifest_of(concatenated)["ledger"]["phases"]["conditioned"]["sources"][source]
        metadata["counts"][source]["loss_tokens"] += counts["loss_tokens"] - others["loss_tokens"]
    schema = table.schema.with_metadata({b"byline.shard": json.dumps(metadata).encode()})
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    restate(out, values, values["phases"][0], values["phases"][0]["shards"][0])
    status, text = verify(out)
    problems = [line for line in text.splitlines() if line.startswith(" ")]
    assert status == 1
    assert len(problems) == 1, text
    assert "masked positions, its prefixes and their BOS are" in problems[0]


def test_a_document_in_both_phases(damaged: Path) -> None:
    table = pa.ipc.open_file(shard_of(damaged, "conditioned", 0).read_bytes()).read_all()
    cooldown = pa.ipc.open_file(shard_of(damaged, "cooldown", 0).read_bytes()).read_all()
    number = next(n for n in range(table.num_rows) if same_file(table, n, cooldown))

    def change(rows: Rows) -> None:
        rows[0]["doc_ids"][0] = table["doc_ids"][number][0].as_py()

    edit_shard(damaged, "cooldown", 0, change)
    assert_found(
        damaged, "phases conditioned and cooldown share 1 documents (first: file ", "is in it, but not planned for it"
    )


def same_file(table: pa.Table, number: int, other: pa.Table) -> bool:
    return table["doc_ids"][number][0].as_py() >> 32 == other["doc_ids"][0][0].as_py() >> 32


def test_a_document_in_both_phases_where_epochs_repeat(make_build: Make, tmp_path: Path) -> None:
    out = copy_build(make_build(tokens=60_000, shortage="repeat"), tmp_path / "shards", bare=True)
    assert verify(out)[0] == 0
    other = pa.ipc.open_file(shard_of(out, "conditioned", 0).read_bytes()).read_all()
    edit_shard(out, "cooldown", 0, lambda rows: rows[0]["doc_ids"].__setitem__(0, other["doc_ids"][5][0].as_py()))
    assert_found(out, "is in it, but not planned for it")


def test_a_row_of_one_phase_in_the_other(damaged: Path) -> None:
    stolen = pa.ipc.open_file(shard_of(damaged, "conditioned", 0).read_bytes()).read_all().to_pylist()[1]
    edit_shard(damaged, "cooldown", 0, lambda rows: rows.__setitem__(1, stolen))
    assert_found(damaged, "row 1: a masked position in a phase that masks only padding", "not planned for it", "share")


def test_a_row_twice(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows.__setitem__(1, rows[0]))
    assert_found(damaged, "documents, the shards have")


def test_a_row_less(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows.pop())
    assert_found(damaged, "documents, the shards have", "positions and padding")


def test_two_rows_that_changed_shuffle_keys(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards")
    edit_shard(out, "conditioned", 0, lambda rows: rows.insert(0, rows.pop(1)))
    assert_found(out, "conditioned/00000-of-00005.arrow: row 0: input_ids is not what the token store gives for it")


def test_a_doc_offset(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows[4]["doc_offsets"].__setitem__(0, 5))
    assert_found(damaged, "row 4: a doc offset that is not what stands of the document in earlier segments")


@pytest.mark.parametrize("packing", ["concat", "repeat_prefix", "best_fit"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_doc_offset_of_a_document_that_goes_on(make_build: Make, tmp_path: Path, packing: str, step: int) -> None:
    out = copy_build(make_build(sequence={"length": 64, "packing": packing}), tmp_path / "shards", bare=True)
    rows: list[int] = []

    def change(table: Rows) -> None:
        row = next(n for n, row in enumerate(table) if max(row["doc_offsets"]) > 1)
        shuffle_key = next(n for n, offset in enumerate(table[row]["doc_offsets"]) if offset > 1)
        table[row]["doc_offsets"][shuffle_key] += step
        rows.append(row)

    edit_shard(out, "conditioned", 0, change)
    assert_found(out, f"row {rows[0]}: a doc offset that is not what stands of the document in earlier segments")


def test_a_token_inside_a_document(built: Path, tmp_path: Path) -> None:
    """Found by the token store alone, and by the raw corpora alone."""

    def change(rows: Rows) -> None:
        shuffle_key = trained(rows[6])[0]
        rows[6]["input_ids"][shuffle_key] = 5 if rows[6]["input_ids"][shuffle_key] != 5 else 6

    message = "conditioned/00002-of-00005.arrow: row 6: input_ids is not what the token store gives for it"
    gone = str(tmp_path / "gone")
    for number, kept in enumerate(["both", "store", "raw"]):
        out = copy_build(built, tmp_path / str(number))
        edit_shard(out, "conditioned", 2, change)
        values = manifest_of(out)
        if kept == "store":
            for source in values["config"]["sources"].values():
                source["path"] = gone
        if kept == "raw":
            values["config"]["store"] = gone
        write_manifest(out, values)
        assert_found(
            out,
            *([message] if kept != "raw" else []),
            *(["row 6: the segment at offset 0 is not what"] * (kept != "store")),
        )
    assert not Path(gone).exists()
