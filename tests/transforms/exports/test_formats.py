"""Each format, read after its published layout, has the rows that were exported."""

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs.export import export
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.exports import FORMATS, export_format, litdata, mds
from byline.transforms.exports.export_format import (
    ExportedFile,
    ExportedShard,
    check_path,
    files_by_phase,
    vocabulary_of,
)
from byline.transforms.exports.export_manifest import read_export
from byline.transforms.exports.megatron import index_bytes
from byline.transforms.exports.olmo import document_starts
from tests.reference.mds import MECO
from tests.support.export_readers import load_dataset, read_flat, read_indexed, read_litdata, read_mds, read_parquet
from tests.support.exports import run
from tests.support.shards import CONFIG, TOKENIZER, PackedRow, weighed, write_build

LENGTH = 6
# Rows 0 to 4 are conditioned, in two shards; the third has none; 5 to 7 are of the cooldown.
ROWS = [
    PackedRow([0, 22, 27, 5, 9, 1], [0, 0, 0, 1, 1, 1], [6], [7], [0]),
    PackedRow([0, 22, 5, 1, 0, 300], [0, 0, 1, 1, 1, 1], [4, 2], [8, 9], [0, 0]),
    PackedRow([6, 7, 8, 1, 1, 1], [1, 1, 1, 1, 0, 0], [4, 2], [9, -1], [1, 0]),
    PackedRow([0, 22, 0, 22, 4, 1], [0, 0, 0, 0, 1, 1], [2, 4], [10, 11], [0, 0]),
    PackedRow([0, 3, 1, 0, 999, 1], [1, 1, 1, 1, 1, 1], [3, 3], [12, 13], [0, 0]),
    PackedRow([0, 3, 3, 3, 3, 1], [1, 1, 1, 1, 1, 1], [6], [14], [0]),
    PackedRow([0, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], [2, 2, 2], [15, 16, 17], [0, 0, 0]),
    PackedRow([0, 2, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [3, 3], [18, -1], [0, 0]),
]
# Of each row 1 where a token is predicted: its mask is 1, and the token before it is of the same segment.
TRAINED = [
    [0, 0, 0, 1, 1, 1],
    [0, 0, 1, 1, 0, 1],
    [0, 1, 1, 1, 0, 0],
    [0, 0, 0, 0, 1, 1],
    [0, 1, 1, 0, 1, 1],
    [0, 1, 1, 1, 1, 1],
    [0, 1, 0, 1, 0, 1],
    [0, 1, 1, 0, 0, 0],
]
PHASES = ["conditioned"] * 5 + ["cooldown"] * 3
STEMS = {
    "conditioned/00000-of-00003": range(0, 3),
    "conditioned/00001-of-00003": range(3, 5),
    "cooldown/00000-of-00001": range(5, 8),
}


@dataclass(frozen=True)
class Exports:
    """A folder that has a build, and an export of it to each format beside it."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    folder = tmp_path_factory.mktemp("exports")
    write_build(folder / "out", {"conditioned": [ROWS[:3], ROWS[3:5], []], "cooldown": [ROWS[5:]]}, LENGTH)
    with pytest.MonkeyPatch.context() as patch:
        # Several batches a shard, and several MDS files.
        patch.setattr(export_format, "_BATCH_TOKENS", 2 * LENGTH)
        patch.setattr(mds, "_SIZE_LIMIT", 100)
        patch.setattr(litdata, "_SIZE_LIMIT", 70)
        for name in FORMATS:
            _export(folder / "out", name, folder / name)
    return Exports(folder)


def _export(out: Path, name: str, folder: Path) -> None:
    export(str(out), name, str(folder), RunnerSettings(workers=1), Console(file=io.StringIO()), drop_mask=True)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_parquet_has_all_columns_of_a_shard(exports: Exports) -> None:
    files = [exports["parquet"] / f"{stem}.parquet" for stem in STEMS]
    assert names(exports["parquet"]) == ["_export.json", *sorted(f"{stem}.parquet" for stem in STEMS)]
    assert read_parquet(files) == [{**vars(row), "phase": phase} for row, phase in zip(ROWS, PHASES, strict=True)]


def test_hf_has_labels_and_positions(exports: Exports) -> None:
    rows = load_dataset(exports["hf"])
    assert [row["input_ids"] for row in rows] == [row.input_ids for row in ROWS]
    assert [row["seq_lengths"] for row in rows] == [row.seq_lengths for row in ROWS]
    assert rows[1]["labels"] == [-100, -100, 5, 1, -100, 300]
    assert rows[6]["position_ids"] == [0, 1, 0, 1, 0, 1]
    assert [[int(label != -100) for label in row["labels"]] for row in rows] == TRAINED


def test_hf_has_a_configuration_of_each_phase(exports: Exports) -> None:
    assert load_dataset(exports["hf"], "cooldown") == load_dataset(exports["hf"])[5:]
    assert load_dataset(exports["hf"], "conditioned") == load_dataset(exports["hf"])[:5]


@pytest.mark.parametrize("stem", STEMS)
def test_megatron_has_a_document_a_row_and_a_sequence_a_segment(exports: Exports, stem: str) -> None:
    documents, dtype = read_indexed(exports["megatron"] / stem)
    masks, mask_dtype = read_indexed(exports["megatron"] / f"{stem}_loss_mask")
    assert (dtype, mask_dtype) == (np.uint16, np.uint8)
    for row, document, mask in zip(STEMS[stem], documents, masks, strict=True):
        assert [len(sequence) for sequence in document] == ROWS[row].seq_lengths
        assert [*chain(*document)] == ROWS[row].input_ids
        assert [len(sequence) for sequence in mask] == ROWS[row].seq_lengths
        assert [*chain(*mask)] == TRAINED[row]


@pytest.fixture(scope="module", params=["float16", "float32"])
def weighed_out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same build with loss weights: 0.25 in the first half of each row, 2 in the second."""
    out = tmp_path_factory.mktemp("weighed") / "out"
    rows = [weighed(row, WEIGHTS) for row in ROWS]
    phases = {"conditioned": [rows[:3], rows[3:5], []], "cooldown": [rows[5:]]}
    write_build(out, phases, LENGTH, loss_weight=request.param)
    return out


WEIGHTS = [0.25] * 3 + [2.0] * 3


def weighed_mask(mask: Sequence[int]) -> list[float]:
    return [weight * own for weight, own in zip(WEIGHTS, mask, strict=True)]


def test_weights_are_in_formats_that_have_them(weighed_out: Path, tmp_path: Path) -> None:
    for name in ("parquet", "hf", "megatron"):
        run(weighed_out, tmp_path / name, name)
    files = [tmp_path / "parquet" / f"{stem}.parquet" for stem in STEMS]
    assert [row["loss_weight"] for row in read_parquet(files)] == [weighed_mask(row.loss_mask) for row in ROWS]
    assert [row["loss_weight"] for row in load_dataset(tmp_path / "hf")] == [weighed_mask(mask) for mask in TRAINED]
    for stem, rows in STEMS.items():
        documents, dtype = read_indexed(tmp_path / "megatron" / f"{stem}_loss_weight")
        assert dtype == np.float32
        assert [[*chain(*document)] for document in documents] == [weighed_mask(TRAINED[row]) for row in rows]


@pytest.mark.parametrize("name", ["mds", "mds-meco", "olmo", "litdata"])
def test_weights_are_not_lost_unsaid(weighed_out: Path, exports: Exports, tmp_path: Path, name: str) -> None:
    with pytest.raises(BylineError) as refusal:
        run(weighed_out, tmp_path / "to", name, drop_mask=True)
    assert str(refusal.value) == (
        f"--to {name}: has no loss weights, so its trainer would train alike what the build weighs; choose "
        "another format (parquet, hf, megatron), or give --drop-weights"
    )
    run(weighed_out, tmp_path / "to", name, drop_mask=True, drop_weights=True)
    assert (tmp_path / "to/_export.json").exists()


def test_an_index_of_megatron_to_the_byte() -> None:
    content = index_bytes(np.array([4, 2, 6], np.int32), np.array([0, 2, 3], np.int64), np.dtype(np.int32))
    assert content == bytes.fromhex(
        "4d4d49444944580000 0100000000000000 04 0300000000000000 0300000000000000"
        "04000000 02000000 06000000 0000000000000000 1000000000000000 1800000000000000"
        "0000000000000000 0200000000000000 0300000000000000"
    )


@pytest.mark.parametrize("stem", STEMS)
def test_olmo_has_ids_and_label_masks(exports: Exports, stem: str) -> None:
    rows = STEMS[stem]
    assert read_flat(exports["olmo"] / f"tokens/{stem}.npy", np.uint16, LENGTH) == [ROWS[row].input_ids for row in rows]
    masks = read_flat(exports["olmo"] / f"label_mask/{stem}.npy", np.uint8, LENGTH)
    assert masks == [TRAINED[row] for row in rows]


def test_olmo_has_where_segments_begin(exports: Exports) -> None:
    """Rows of 6, 4 and 2, 4 and padding; the time of writing is not in the file."""
    content = (exports["olmo"] / "tokens/conditioned/00000-of-00003.csv.gz").read_bytes()
    assert gzip.decompress(content) == b"0,6\n6,10\n10,12\n12,16\n"
    assert content[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("name", "otherwise"),
    [("parquet", [0, 0, 0]), ("megatron", [0, 0, 0]), ("mds", [0, 0, 0]), ("litdata", [2, 2, 2]), ("olmo", [1, 1, 1])],
)
def test_rows_whose_segments_begin_elsewhere_are_counted(exports: Exports, name: str, otherwise: list[int]) -> None:
    """Those of OLMo-core are 2 (padding after EOS), 3 (a cut document) and 7 (padding)."""
    counts = [shard.otherwise for shard in read_export(str(exports[name])).shards if shard.rows]
    assert counts == otherwise


@pytest.mark.parametrize(
    ("bos", "eos", "starts"),
    [
        (0, 1, [[1, 0, 0, 1, 0, 0, 0]]),
        (None, 1, [[1, 0, 0, 1, 0, 0, 1]]),
        (None, None, [[1, 0, 0, 0, 0, 0, 0]]),
        (0, 0, [[1, 0, 0, 0, 0, 0, 0]]),
    ],
)
def test_where_olmo_takes_documents_to_begin(bos: int | None, eos: int | None, starts: list[list[int]]) -> None:
    ids = np.array([[0, 5, 1, 0, 7, 1, 8]])
    assert document_starts(ids, bos, eos).astype(int).tolist() == starts


def test_mds_has_the_columns_of_meco(exports: Exports) -> None:
    samples = [sample for phase in ("conditioned", "cooldown") for sample in read_mds(exports["mds"] / phase)]
    assert [sample["input_ids"] for sample in samples] == [row.input_ids for row in ROWS]
    assert [sample["mask"] for sample in samples] == TRAINED
    assert [sample["domain"] for sample in samples] == PHASES
    assert samples[6]["indices"] == [[0, 2], [2, 4], [4, 6]]
    assert [[end - first for first, end in sample["indices"]] for sample in samples] == [
        row.seq_lengths for row in ROWS
    ]
    assert {sample["length"] for sample in samples} == {LENGTH}


def test_mds_meco_has_the_mask_and_the_encodings_of_meco(exports: Exports) -> None:
    samples = [sample for phase in ("conditioned", "cooldown") for sample in read_mds(exports["mds-meco"] / phase)]
    assert [sample["mask"] for sample in samples] == [row.loss_mask for row in ROWS]
    others = [sample for phase in ("conditioned", "cooldown") for sample in read_mds(exports["mds"] / phase)]
    assert [{**sample, "mask": None} for sample in samples] == [{**sample, "mask": None} for sample in others]
    entry = json.loads((exports["mds-meco"] / "cooldown/index.json").read_text())["shards"][0]
    assert dict(zip(entry["column_names"], entry["column_encodings"], strict=True)) == MECO
    assert entry["column_sizes"] == [None, None, None, 8, None]


def test_mds_files_are_cut_by_size(exports: Exports) -> None:
    files = [name for name in names(exports["mds"]) if name.endswith(".mds")]
    assert files[:3] == [f"conditioned/00000-of-00003.{number:05d}.mds" for number in range(3)]


def test_no_mds_file_of_several_rows_is_larger_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mds, "_SIZE_LIMIT", 1200)
    write_build(tmp_path / "out", {"conditioned": [ROWS * 4]}, LENGTH)
    _export(tmp_path / "out", "mds", tmp_path / "mds")
    sizes = [path.stat().st_size for path in (tmp_path / "mds").rglob("*.mds")]
    assert 1 < len(sizes) < 8
    assert max(sizes) <= 1200
    assert [row["input_ids"] for row in read_mds(tmp_path / "mds/conditioned")] == [row.input_ids for row in ROWS * 4]


def test_files_by_phase() -> None:
    files = [ExportedFile(f"{name}.bin", 1, 1, "") for name in "abc"]
    shards = [
        ExportedShard("0", "conditioned", 2, 0, files[:2]),
        ExportedShard("1", "empty", 0, 0, []),
        ExportedShard("2", "cooldown", 0, 0, []),
        ExportedShard("3", "cooldown", 1, 0, files[2:]),
    ]
    assert files_by_phase(shards) == {"conditioned": files[:2], "cooldown": files[2:]}


def test_litdata_has_ids(exports: Exports) -> None:
    for phase, rows in (("conditioned", ROWS[:5]), ("cooldown", ROWS[5:])):
        assert list(read_litdata(exports["litdata"] / phase, LENGTH)) == [row.input_ids for row in rows]
    chunks = [name for name in names(exports["litdata"]) if name.endswith(".bin")]
    assert chunks[:2] == [f"conditioned/00000-of-00003.{number:05d}.bin" for number in range(2)]


def test_many_segments_have_a_shape_of_two_bytes(tmp_path: Path) -> None:
    row = PackedRow([1] * 300, [1] * 300, [1] * 300, [*range(300)], [0] * 300)
    write_build(tmp_path / "out", {"conditioned": [[row]]}, 300)
    _export(tmp_path / "out", "mds", tmp_path / "mds")
    (sample,) = read_mds(tmp_path / "mds/conditioned")
    assert sample["indices"] == [[number, number + 1] for number in range(300)]
    assert sample["mask"] == [0] * 300


@pytest.mark.parametrize(
    ("vocabulary", "megatron", "olmo"),
    [(65_499, np.uint16, np.uint16), (65_500, np.int32, np.uint16), (65_537, np.int32, np.uint32)],
)
def test_ids_are_as_wide_as_the_vocabulary_needs(tmp_path: Path, vocabulary: int, megatron: type, olmo: type) -> None:
    row = PackedRow([0, 5, vocabulary - 1, 1], [0, 1, 1, 1], [4], [1], [0])
    write_build(tmp_path / "out", {"conditioned": [[row]]}, 4, tokenizer={**TOKENIZER, "vocab_size": vocabulary})
    _export(tmp_path / "out", "megatron", tmp_path / "megatron")
    _export(tmp_path / "out", "olmo", tmp_path / "olmo")
    stem = "conditioned/00000-of-00001"
    assert read_indexed(tmp_path / "megatron" / stem) == ([[row.input_ids]], megatron)
    assert read_flat(tmp_path / f"olmo/tokens/{stem}.npy", olmo, 4) == [row.input_ids]


def test_an_id_that_the_tokenizer_has_not_is_refused(tmp_path: Path) -> None:
    row = PackedRow([0, 1000], [0, 1], [2], [1], [0])
    write_build(tmp_path / "out", {"conditioned": [[row]]}, 2)
    with pytest.raises(BylineError, match=r"00000-of-00001.arrow: has an id that is not below 1,000"):
        _export(tmp_path / "out", "olmo", tmp_path / "olmo")


def test_the_vocabulary_has_markers_and_added_tokens() -> None:
    assert vocabulary_of({"vocab_size": 10, "bos_id": None, "added": {"<x>": 10}, "markers": {"<m>": 12}}) == 13


@pytest.mark.parametrize("path", ["../x", "/x", "a/../b", "a//b", "a/.b", "", ".", "-x", "a\\b", "a\n", None])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(BylineError, match="is no path of an export"):
        check_path(path, "here")


def test_a_phase_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    phases = {**CONFIG, "phases": [{"name": "../up", "condition": None}]}
    write_build(tmp_path / "a/out", {"../up": [[ROWS[0]]]}, LENGTH, config=phases)
    with pytest.raises(BylineError, match=r"phase: '\.\./up' is no path"):
        _export(tmp_path / "a/out", "parquet", tmp_path / "a/to")
    assert not (tmp_path / "a/to").exists()
