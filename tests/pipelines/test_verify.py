"""`byline verify` finds every fault that is put into a copy of a build, and says where it is.

Most faults are hidden as well as can be: the manifest is made to agree with the file. `bare` copies have neither token
store nor raw corpora nor tokenizer left, so that the output alone must tell.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from byline.errors import BylineError
from tests.builds import Rows, copy_build, edit_shard, manifest_of, restate, verify, write_manifest
from tests.corpora import Corpus

Make = Callable[..., Path]
Change = Callable[[Rows], object]


def found(out: Path, *messages: str) -> None:
    """Asserts that the build does not verify, and that every message is among what is told."""
    status, text = verify(out)
    assert status == 1, text
    assert "not verified: " in text
    for message in messages:
        assert message in text, text


@pytest.fixture(scope="module")
def concatenated(make_build: Make) -> Path:
    return make_build(sequence={"length": 64, "packing": "concat"})


@pytest.fixture(params=["whole", "bare"])
def damaged(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    """A copy to damage, once with store and corpora to compare with, once without."""
    return copy_build(built, tmp_path / "shards", bare=request.param == "bare")


def shard_of(out: Path, phase: str, number: int) -> Path:
    entry = next(item for item in manifest_of(out)["phases"] if item["name"] == phase)
    return out / entry["shards"][number]["path"]


# --------------------------------------------------------------------------------------------------------- no fault


def test_a_copy_verifies_wherever_it_is(built: Path, tmp_path: Path) -> None:
    status, text = verify(copy_build(built, tmp_path / "elsewhere" / "copy"))
    assert status == 0
    assert text.count("ok ") == 6


def test_a_bare_copy_verifies_and_says_what_was_not_compared(built: Path, tmp_path: Path) -> None:
    status, text = verify(copy_build(built, tmp_path / "shards", bare=True))
    assert status == 0
    lines = [line[:18].split() for line in text.splitlines()]
    assert lines[:5] == [["ok", "files"], ["ok", "rows"], ["ok", "ledger"], ["ok", "phases"], ["not", "token", "store"]]
    assert lines[5:-1] == [["not", "raw", "corpus"]] * 4


def test_verifying_writes_nothing(built: Path, corpus: Corpus) -> None:
    folders = [built, built.parent / "store", corpus.root]
    before = [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))]
    verify(built)
    assert [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))] == before


def test_without_documents_to_compare_the_raw_corpora_are_left_alone(built: Path) -> None:
    status, text = verify(built, documents=0)
    assert (status, "--documents 0" in text) == (0, True)


# ------------------------------------------------------------------------------------------------------------ files


def test_any_flipped_byte_of_a_shard(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards", bare=True)
    path = shard_of(out, "conditioned", 1)
    content = path.read_bytes()
    for number in range(60):
        # All over the file, and each bit in turn; Arrow's own offsets and lengths are among them.
        position = number * (len(content) - 1) // 59
        flipped = bytearray(content)
        flipped[position] ^= 1 << number % 8
        path.write_bytes(flipped)
        found(out, "conditioned/00001-of-00005.arrow: sha256 ")


def test_a_flipped_byte_that_the_manifest_agrees_with(built: Path, tmp_path: Path) -> None:
    """What is left to find: values, offsets, metadata. Only bytes between Arrow's buffers mean nothing."""
    out = copy_build(built, tmp_path / "shards")
    path = shard_of(out, "cooldown", 0)
    content = path.read_bytes()
    before = meaning(content)
    for number in range(40):
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
    found(damaged, "conditioned/00002-of-00005.arrow: missing; build again to write it")


@pytest.mark.parametrize("size", [0, 7, 1000, -1])
def test_a_truncated_shard(damaged: Path, size: int) -> None:
    path = shard_of(damaged, "cooldown", 0)
    path.write_bytes(path.read_bytes()[:size])
    found(
        damaged, f"{path.parent.name}/{path.name}: {path.stat().st_size:,} bytes, the manifest says", "cannot be read"
    )


def test_a_truncated_shard_that_the_manifest_agrees_with(damaged: Path) -> None:
    path = shard_of(damaged, "cooldown", 0)
    path.write_bytes(path.read_bytes()[:-1])
    values = manifest_of(damaged)
    restate(damaged, values, values["phases"][1], values["phases"][1]["shards"][0])
    found(damaged, "cooldown/00000-of-00001.arrow: cannot be read")


def test_a_shard_replaced_by_another(damaged: Path) -> None:
    shard_of(damaged, "conditioned", 0).write_bytes(shard_of(damaged, "conditioned", 1).read_bytes())
    found(damaged, "conditioned/00000-of-00005.arrow: sha256 ", "it says shard 1, the manifest 0")


@pytest.mark.parametrize("phase", ["conditioned", "cooldown"])
def test_a_shard_replaced_by_another_that_the_manifest_agrees_with(damaged: Path, phase: str) -> None:
    values = manifest_of(damaged)
    (entry,) = (item for item in values["phases"] if item["name"] == phase)
    other, mine = values["phases"][0]["shards"][3], entry["shards"][0]
    (damaged / mine["path"]).write_bytes((damaged / other["path"]).read_bytes())
    mine.update({key: other[key] for key in ("rows", "loss_tokens")})
    restate(damaged, values, entry, mine)
    found(damaged, "it says shard 3, the manifest 0", "not planned for it")


def test_two_shards_that_changed_places(damaged: Path) -> None:
    values = manifest_of(damaged)
    first, second = values["phases"][0]["shards"][:2]
    first["path"], second["path"] = second["path"], first["path"]
    write_manifest(damaged, values)
    with pytest.raises(BylineError, match=r"its shards are not those of plan\.arrow"):
        verify(damaged)


# ------------------------------------------------------------------------------------------------------------- rows


def trained(row: dict[str, list[int]]) -> list[int]:
    """Positions of the row's first document whose loss counts."""
    return [n for n in range(row["seq_lengths"][0]) if row["loss_mask"][n]]


def test_a_mask_bit_inside_a_document(damaged: Path) -> None:
    def change(rows: Rows) -> None:
        rows[3]["loss_mask"][trained(rows[3])[2]] = 0

    edit_shard(damaged, "conditioned", 1, change)
    found(damaged, "conditioned/00001-of-00005.arrow: row 3: a masked position inside a document")


def test_a_masked_position_in_the_cooldown(damaged: Path) -> None:
    edit_shard(damaged, "cooldown", 0, lambda rows: rows[2]["loss_mask"].__setitem__(0, 0))
    found(damaged, "row 2: a masked position in a phase that masks only padding")


@pytest.mark.parametrize("trains_more", [True, False])
def test_a_mask_bit_at_the_border_of_the_prefix(damaged: Path, trains_more: bool) -> None:
    """One token more or less is masked, the manifest's loss counts, down to the source, agree."""

    def change(rows: Rows) -> None:
        border = trained(rows[0])[0]
        rows[0]["loss_mask"][border - 1 if trains_more else border] = int(trains_more)

    edit_shard(damaged, "conditioned", 0, change)
    values = manifest_of(damaged)
    agree(damaged, values, 0, 1 if trains_more else -1)
    found(damaged, "loss_tokens", *([] if "gone" in values["config"]["store"] else ["row 0: loss_mask is not what"]))


def agree(out: Path, values: dict[str, Any], row: int, more: int) -> None:
    """Adds to the loss tokens of the source of a row's first document in the ledger."""
    table = pa.ipc.open_file(shard_of(out, "conditioned", 0).read_bytes()).read_all()
    names = pa.ipc.open_file((out / "inputs.arrow").read_bytes()).read_all().to_pylist()
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
    found(
        damaged, "phases conditioned and cooldown share 1 documents (first: file ", "is in it, but not planned for it"
    )


def same_file(table: pa.Table, number: int, other: pa.Table) -> bool:
    return table["doc_ids"][number][0].as_py() >> 32 == other["doc_ids"][0][0].as_py() >> 32


def test_a_document_in_both_phases_where_epochs_repeat(make_build: Make, tmp_path: Path) -> None:
    out = copy_build(make_build(tokens=60_000, shortage="repeat"), tmp_path / "shards", bare=True)
    assert verify(out)[0] == 0
    other = pa.ipc.open_file(shard_of(out, "conditioned", 0).read_bytes()).read_all()
    edit_shard(out, "cooldown", 0, lambda rows: rows[0]["doc_ids"].__setitem__(0, other["doc_ids"][5][0].as_py()))
    found(out, "is in it, but not planned for it")


def test_a_row_of_one_phase_in_the_other(damaged: Path) -> None:
    stolen = pa.ipc.open_file(shard_of(damaged, "conditioned", 0).read_bytes()).read_all().to_pylist()[1]
    edit_shard(damaged, "cooldown", 0, lambda rows: rows.__setitem__(1, stolen))
    found(damaged, "row 1: a masked position in a phase that masks only padding", "not planned for it", "share")


def test_a_row_twice(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows.__setitem__(1, rows[0]))
    found(damaged, "documents, the shards have")


def test_a_row_less(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows.pop())
    found(damaged, "documents, the shards have", "positions and padding")


def test_two_rows_that_changed_places(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards")
    edit_shard(out, "conditioned", 0, lambda rows: rows.insert(0, rows.pop(1)))
    found(out, "conditioned/00000-of-00005.arrow: row 0: input_ids is not what the token store gives for it")


def test_a_doc_offset(damaged: Path) -> None:
    edit_shard(damaged, "conditioned", 0, lambda rows: rows[4]["doc_offsets"].__setitem__(0, 5))
    found(damaged, "row 4: a doc offset that is not what stands of the document in earlier segments")


@pytest.mark.parametrize("packing", ["concat", "repeat_prefix", "best_fit"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_doc_offset_of_a_document_that_goes_on(make_build: Make, tmp_path: Path, packing: str, step: int) -> None:
    out = copy_build(make_build(sequence={"length": 64, "packing": packing}), tmp_path / "shards", bare=True)
    rows: list[int] = []

    def change(table: Rows) -> None:
        row = next(n for n, row in enumerate(table) if max(row["doc_offsets"]) > 1)
        place = next(n for n, offset in enumerate(table[row]["doc_offsets"]) if offset > 1)
        table[row]["doc_offsets"][place] += step
        rows.append(row)

    edit_shard(out, "conditioned", 0, change)
    found(out, f"row {rows[0]}: a doc offset that is not what stands of the document in earlier segments")


def test_a_token_inside_a_document(built: Path, tmp_path: Path) -> None:
    """Found by the token store alone, and by the raw corpora alone."""

    def change(rows: Rows) -> None:
        place = trained(rows[6])[0]
        rows[6]["input_ids"][place] = 5 if rows[6]["input_ids"][place] != 5 else 6

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
        found(
            out,
            *([message] if kept != "raw" else []),
            *(["row 6: the segment at offset 0 is not what"] * (kept != "store")),
        )
    assert not Path(gone).exists()


# ----------------------------------------------------------------------------------------------------- the manifest


def numbers_in(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every number."""
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
    places = list(numbers_in(values))
    unfound = set()
    for place in places:
        changed = json.loads(json.dumps(values))
        add_one(changed, place)
        write_manifest(out, {**changed, "config": config})
        if status_of(out) == 0:
            unfound.add(place)
    # Nothing in the output says these again; the token store does.
    only = {("ledger", "sources", source, *line) for source in config["sources"] for line in STORED}
    assert unfound == only
    assert len(places) > 150


STORED = [("read", "bytes"), ("kept", "bytes"), ("special_text",)]


@pytest.mark.parametrize("line", STORED)
def test_a_false_number_that_only_the_token_store_tells(built: Path, tmp_path: Path, line: tuple[str, ...]) -> None:
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    add_one(values, ("ledger", "sources", "mine", *line))
    write_manifest(out, values)
    found(out, f"ledger, source mine: {line[0]} ", ", the token store has ")


def status_of(out: Path) -> int:
    """As the command line has it: a manifest that fits nothing is an error."""
    try:
        return verify(out)[0]
    except BylineError:
        return 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("phases", 0, "rows"), "phase conditioned: the manifest says {} rows, the shards have {}"),
        (("phases", 0, "tokens"), "phase conditioned: the manifest says {} tokens, the shards have {}"),
        (("phases", 1, "loss_tokens"), "phase cooldown: the manifest says {} loss tokens, the shards have {}"),
        (("phases", 0, "shards", 2, "rows"), "conditioned/00002-of-00005.arrow: {1} rows, the manifest says {0}"),
        (("phases", 0, "shards", 2, "loss_tokens"), "00002-of-00005.arrow: {1} loss tokens, the manifest says {0}"),
        (("ledger", "sources", "c4", "read", "documents"), "source c4: {} documents read, its parts sum to {}"),
        (("ledger", "sources", "c4", "kept", "tokens"), "source c4: {} tokens kept, its parts sum to {}"),
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
def test_a_false_number_is_told_with_the_right_one(built: Path, tmp_path: Path, place: Any, message: str) -> None:
    out = copy_build(built, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    add_one(values, place)
    write_manifest(out, values)
    below: Any = values
    for key in place:
        below = below[key]
    found(out, message.format(f"{below:,}", f"{below - 1:,}"))


def test_a_false_share(damaged: Path) -> None:
    values = manifest_of(damaged)
    shares = values["phases"][0]["mixture"]
    shares["c4"]["achieved"], shares["dclm"]["requested"] = 0.25, 0.41
    write_manifest(damaged, values)
    found(damaged, "source c4: the manifest's achieved share is 0.25, ", "phase conditioned: requested shares is ")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("ledger", "sources", "c4", "kept"), {}, r"ledger\.sources\.c4\.kept: no key 'documents'"),
        (("ledger", "phases"), {}, r"ledger\.phases: no key 'conditioned'"),
        (("phases", 0, "rows"), "12", r"phases\.0\.rows: expected int, found '12'"),
        (("phases", 0, "shards"), [], r"its shards are not those of plan\.arrow"),
        (("config", "seed"), 1, r"its seed are not those of plan\.arrow"),
        (("config", "sequence", "packing"), "concat", r"its sequence are not those of plan\.arrow"),
        (("config", "phases", 0, "condition", "template"), "{url}", r"its phases are not those of plan\.arrow"),
        (("phases", 0, "template"), "{url}", r"its templates are not those of plan\.arrow"),
        (("tokenizer", "bos_id"), None, r"its tokenizer are not those of plan\.arrow"),
        (("plan_sha256",), "00" * 32, r"plan\.arrow: has another sha256 than the manifest says"),
        (("config", "colour"), "red", r"unknown key 'colour'"),
    ],
)
def test_a_manifest_that_fits_nothing_else(damaged: Path, place: Any, value: Any, message: str) -> None:
    values = manifest_of(damaged)
    below: Any = values
    for key in place[:-1]:
        below = below[key]
    below[place[-1]] = value
    write_manifest(damaged, values)
    with pytest.raises(BylineError, match=message):
        verify(damaged)


# -------------------------------------------------------------------------------------------------- the other files


def test_a_changed_plan(damaged: Path) -> None:
    content = bytearray((damaged / "plan.arrow").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "plan.arrow").write_bytes(content)
    with pytest.raises(BylineError, match=r"plan\.arrow: has another sha256 than the manifest says"):
        verify(damaged)


@pytest.mark.parametrize("name", ["plan.arrow", "inputs.arrow"])
def test_a_missing_list(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    with pytest.raises(BylineError, match=rf"{name}: cannot be opened"):
        verify(damaged)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_truncated_list_of_inputs(damaged: Path, size: int) -> None:
    path = damaged / "inputs.arrow"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BylineError, match=r"inputs\.arrow: cannot be read \("):
        verify(damaged)


def edit_inputs(out: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = out / "inputs.arrow"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    rows = table.to_pylist()
    change(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, table.schema))


def test_another_path_in_the_list_of_inputs(damaged: Path) -> None:
    """A document's place is a hash of its path, so its documents are not planned for their shards any more."""
    edit_inputs(damaged, lambda rows: rows[0].update(path="c4-train.other.json.gz"))
    found(damaged, "of c4/c4-train.other.json.gz is in it, but not planned for it")


def test_another_number_of_records_in_the_list_of_inputs(damaged: Path) -> None:
    edit_inputs(damaged, lambda rows: rows[0].update(rows=rows[0]["rows"] + 1))
    found(damaged, "source c4: 183 documents read, inputs.arrow has 184 records")


def test_records_moved_between_files_in_the_list_of_inputs(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "shards")

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["rows"], rows[1]["rows"] = rows[0]["rows"] + 1, rows[1]["rows"] - 1

    edit_inputs(out, change)
    found(out, "inputs.arrow: it does not list the input files of the token store")


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
    found(out, "is not what mine/part-0.jsonl, row ")


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


def test_a_damaged_run_of_the_token_store(make_build: Make, corpus: Corpus, tmp_path: Path) -> None:
    """A token changed in the store itself: the shards are what the raw corpora give, the store is not."""
    import shutil

    built = make_build()
    shutil.copytree(built.parent / "store", tmp_path / "store")
    out = copy_build(built, tmp_path / "shards")
    values = manifest_of(out)
    values["config"]["store"] = str(tmp_path / "store")
    write_manifest(out, values)
    assert verify(out)[0] == 0
    for path in sorted((tmp_path / "store" / "dclm").rglob("*.arrow")):
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        tokens = [[7] * len(tokens) for tokens in table["tokens"].to_pylist()]
        index = table.schema.get_field_index("tokens")
        table = table.set_column(index, table.schema.field("tokens"), pa.array(tokens, table.schema.types[index]))
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
        os.utime(path)
    found(out, "input_ids is not what the token store gives for it", "ok    raw corpus")
