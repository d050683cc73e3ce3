"""Folders of MDS files: what is read is what was written, one value at a time, and what is wrong is one line."""

import gzip
import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.imports import KINDS, kind_named
from byline.transforms.imports.import_kind import Folder, Samples
from tests.reference.mds import MECO, Sample, file_bytes, meco_sample, write_mds
from tests.support.thorough import examples

LENGTH = 6
SAMPLES = [
    meco_sample([1, 5, 6, 2, 1, 7], [0, 0, 1, 1, 0, 1], [[0, 4], [4, 6]]),
    meco_sample([1, 9, 9, 9, 9, 300], [0, 1, 1, 1, 1, 1], [[0, 6]]),
    meco_sample([1, 2, 1, 2, 1, 2], [1, 1, 1, 1, 1, 1], [[0, 2], [2, 4], [4, 6]], "é"),
]
FILE = "shard.00000.mds"


def listed(folder: Path) -> Folder:
    return KINDS["mds-meco"].list_folder(str(folder))


def read(folder: Path, length: int = LENGTH) -> list[Samples]:
    there = listed(folder)
    return [there.read(number, length) for number in range(len(there.files))]


def as_samples(rows: Samples) -> list[Sample]:
    """What was read, as it was written, without domains."""
    ends, samples = np.cumsum(rows.segments), []
    for row, end in enumerate(ends):
        borders = [0, *np.cumsum(rows.lengths[end - rows.segments[row] : end]).tolist()]
        pairs = [list(pair) for pair in pairwise(borders)]
        samples.append({"input_ids": rows.ids[row].tolist(), "mask": rows.mask[row].tolist(), "indices": pairs})
    return samples


def expected(samples: list[Sample]) -> list[Sample]:
    return [{name: sample[name] for name in ("input_ids", "mask", "indices")} for sample in samples]


def test_a_folder_is_read_in_the_order_of_its_index(tmp_path: Path) -> None:
    write_mds(tmp_path, [SAMPLES[:1], SAMPLES[1:]], subfolders=["0-1", "0-0"])
    folder = listed(tmp_path)
    assert [(file.path, file.samples) for file in folder.files] == [
        ("0-1/shard.00000.mds", 1),
        ("0-0/shard.00001.mds", 2),
    ]
    assert (folder.length(), folder.masks(), folder.left_out) == (6, True, [])
    first, second = read(tmp_path)
    assert as_samples(first) + as_samples(second) == expected(SAMPLES)
    assert second.domains == {"d": 1, "é": 1}
    assert second.lengths.tolist() == [6, 2, 2, 2]


ENCODINGS = st.fixed_dictionaries(
    {
        "input_ids": st.sampled_from(
            ["ndarray", "ndarray:uint32", "ndarray:int32", "ndarray:uint16", "ndarray:int64:L"]
        ),
        "mask": st.sampled_from(["ndarray", "ndarray:uint8", "ndarray:uint8:L", "ndarray:int64", None]),
        "indices": st.sampled_from(["ndarray", "ndarray:uint32", "ndarray:uint64", "ndarray:uint16", None]),
        "length": st.sampled_from(["uint64", "int", "int32", "uint16", None]),
        "domain": st.sampled_from(["str", None]),
        "note": st.sampled_from(["str", "bytes", "pkl", None]),
    }
)


@examples(60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(encodings=ENCODINGS, data=st.data())
def test_every_value_is_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, encodings: dict[str, str | None], data: st.DataObject
) -> None:
    length = data.draw(st.sampled_from([1, 2, 7, 300]))
    cuts = st.sets(st.integers(1, length - 1), max_size=length // 2) if length > 1 else st.just(set())
    columns = {name: encoding.replace("L", str(length)) for name, encoding in encodings.items() if encoding}
    files = []
    for _ in range(data.draw(st.integers(1, 2))):
        samples = []
        for _ in range(data.draw(st.integers(1, 3))):
            numbers = np.random.default_rng(data.draw(st.integers(0, 9)))
            borders = [0, *sorted(data.draw(cuts)), length] if "indices" in columns else [0, length]
            mask = numbers.integers(0, 2, length).tolist() if "mask" in columns else [1] * length
            pairs = [list(pair) for pair in pairwise(borders)]
            sample = meco_sample(
                numbers.integers(0, 1 << 15, length).tolist(), mask, pairs, data.draw(st.text(max_size=3))
            )
            samples.append(
                {**sample, "note": "u" * data.draw(st.integers(0, 3)) if columns.get("note") == "str" else b"x"}
            )
        files.append(samples)
    folder = tmp_path_factory.mktemp("mds")
    compression = data.draw(st.sampled_from([None, "zstd", "zstd:7", "gz"]))
    write_mds(folder, files, columns, compression=compression, hashes=data.draw(st.sampled_from([(), ("sha1", "md5")])))
    assert listed(folder).left_out == (["note"] if "note" in columns else [])
    for samples, rows in zip(files, read(folder, length), strict=True):
        assert as_samples(rows) == expected(samples)
        domains = [sample["domain"] for sample in samples] if "domain" in columns else []
        assert rows.domains == {domain: domains.count(domain) for domain in domains}


def test_columns_of_fixed_sizes_alone(tmp_path: Path) -> None:
    columns = {"input_ids": "ndarray:uint32:6", "mask": "ndarray:uint8:6", "length": "int"}
    write_mds(tmp_path, [SAMPLES], columns)
    (rows,) = read(tmp_path)
    whole = [{**sample, "indices": [[0, 6]]} for sample in expected(SAMPLES)]
    assert as_samples(rows) == whole


def test_a_file_that_was_decompressed_is_read_as_it_is(tmp_path: Path) -> None:
    write_mds(tmp_path, [SAMPLES], compression="gz")
    file = tmp_path / f"{FILE}.gz"
    (tmp_path / FILE).write_bytes(gzip.decompress(file.read_bytes()))
    file.unlink()
    assert as_samples(read(tmp_path)[0]) == expected(SAMPLES)


def test_of_two_forms_of_a_file_the_one_that_is_read_decides_whether_it_is_lost(tmp_path: Path) -> None:
    write_mds(tmp_path, [SAMPLES], compression="gz")
    zipped = tmp_path / f"{FILE}.gz"
    content = gzip.decompress(zipped.read_bytes())
    assert listed(tmp_path).lost() == []
    (tmp_path / FILE).write_bytes(content[:-1])
    assert listed(tmp_path).lost() == [FILE]
    (tmp_path / FILE).write_bytes(content)
    zipped.unlink()
    assert listed(tmp_path).lost() == []
    (tmp_path / FILE).unlink()
    assert listed(tmp_path).lost() == [FILE]


# ------------------------------------------------------------------------------------------------------ what is wrong


def refused(folder: Path, message: str, length: int = LENGTH) -> None:
    with pytest.raises(BylineError) as error:
        read(folder, length)
    line = str(error.value)
    assert message in line
    assert "\n" not in line
    assert str(folder) in line


def sample_like(**changes: Any) -> Sample:
    return {**SAMPLES[1], **changes}


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (sample_like(mask=[0] * 5), "sample 1: mask has 5 values, not 6"),
        (sample_like(mask=[0, 2, 1, 1, 1, 1]), "sample 1: mask has values other than 0 and 1"),
        (sample_like(input_ids=[1] * 7, length=7), "sample 1: 7 tokens, where the first sample of the import has 6"),
        (sample_like(length=5), "sample 1: length says 5, input_ids has 6 values"),
        (
            sample_like(indices=[[0, 3], [4, 6]]),
            "sample 1: its indices leave a gap at [4, 6]; they have to cover 0 to 6",
        ),
        (sample_like(indices=[[0, 4], [3, 6]]), "sample 1: its indices overlap at [3, 6]"),
        (sample_like(indices=[[1, 6]]), "sample 1: its indices leave a gap at [1, 6]"),
        (sample_like(indices=[[0, 3], [3, 5]]), "sample 1: its indices do not end with the sample at [3, 5]"),
        (sample_like(indices=[[0, 9]]), "sample 1: its indices do not end with the sample at [0, 9]"),
        (sample_like(indices=[[0, 3], [3, 3], [3, 6]]), "sample 1: its indices have an empty segment at [3, 3]"),
        (sample_like(indices=[[0, 3, 6]]), "sample 1: indices has the shape [1, 3], not [n, 2]"),
        (sample_like(indices=[0, 6]), "sample 1: indices has 1 dimensions, not 2"),
        (sample_like(input_ids=[[1, 2, 3], [4, 5, 6]]), "sample 1: input_ids has 2 dimensions, not 1"),
    ],
)
def test_a_wrong_sample_is_named(tmp_path: Path, sample: Sample, message: str) -> None:
    write_mds(tmp_path, [[SAMPLES[0], sample, SAMPLES[2]]])
    refused(tmp_path, message)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**MECO, "input_ids": "bytes"}, "input_ids is 'bytes', expected ndarray, an array of integers"),
        ({**MECO, "mask": "pkl"}, "mask is 'pkl' (Byline reads no pickles), expected ndarray"),
        ({**MECO, "length": "str"}, "length is 'str', expected an integer"),
        ({**MECO, "domain": "bytes"}, "domain is 'bytes', expected str"),
        ({**MECO, "mask": "ndarray:uint8:2,3"}, "mask is 'ndarray:uint8:2,3', expected an array of dimension 1"),
    ],
)
def test_a_wrong_encoding_is_named(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    sample = {**SAMPLES[0]}
    for name, encoding in columns.items():
        if encoding in ("bytes", "pkl"):
            sample[name] = b"123"
    if columns["length"] == "str":
        sample["length"] = "6"
    write_mds(tmp_path, [[sample]], columns)
    refused(tmp_path, message)


def test_documents_that_are_not_packed_are_refused(tmp_path: Path) -> None:
    columns = {"input_ids": "ndarray:uint32", "url": "str", "length": "uint32"}
    write_mds(tmp_path, [[{"input_ids": [1, 2], "url": "https://a.org/x", "length": 2}]], columns)
    refused(tmp_path, "documents that are not packed yet (input_ids, length, url); pack them with MeCo's")


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    write_mds(tmp_path, [SAMPLES])
    write_mds(tmp_path / "b", [SAMPLES], {name: MECO[name] for name in MECO if name != "mask"})
    (entry,) = json.loads((tmp_path / "b/index.json").read_text())["shards"]
    entry["raw_data"]["basename"] = f"b/{FILE}"
    change_index(tmp_path, lambda index: index["shards"].append(entry))
    refused(
        tmp_path, "shard 1 has the columns domain, indices, input_ids, length, shard 0 domain, indices, input_ids, "
    )


def change_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads((folder / "index.json").read_text())
    change(index)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.update(version=1), '"version": 2, found 1; not an index of MDS'),
        (lambda i: i.update(shards=None), "cannot be read as an index of MDS files (shards.: "),
        (lambda i: i["shards"][0].pop("samples"), "(shards.0.samples: "),
        (lambda i: i["shards"][0].update(samples=-1), "shard 0: a number of samples or the size of a column"),
        (lambda i: i["shards"][0].update(samples=10**30), "shard 0: a number of samples or the size of a column"),
        (lambda i: i["shards"][0].update(column_sizes=[3] * 5), "its columns have 15 bytes, it has"),
        (lambda i: i["shards"][0].update(column_sizes=[10**30] * 5), "shard 0: a number of samples or the size of"),
        (lambda i: i["shards"][0].update(format="json"), "shard 0: expected format 'mds' of version 2, found 'json'"),
        (lambda i: i["shards"][0]["raw_data"].update(basename="../x.mds"), "shard 0: '../x.mds' is no path below"),
        (lambda i: i["shards"][0]["raw_data"].update(basename="/etc/x"), "shard 0: '/etc/x' is no path below"),
        (lambda i: i["shards"][0]["raw_data"].update(basename="gone.mds"), "gone.mds: missing, index.json lists it"),
        (lambda i: i["shards"][0]["raw_data"].update(bytes=7), "bytes, index.json says 7; copy it anew"),
        (lambda i: i["shards"][0]["raw_data"].update(bytes=-1), "shard 0: -1 bytes are not possible; copy the index"),
        (
            lambda i: i["shards"][0]["raw_data"].update(bytes=1 << 50),
            "1125899906842624 bytes are not possible",
        ),
        (lambda i: i["shards"][0]["raw_data"].update(bytes=10**30), "shard 0: 1000000000"),
        (
            lambda i: i["shards"][0]["raw_data"].update(hashes={"sha1": "ab" * 20}),
            "index.json says abababababababab...",
        ),
        (lambda i: i["shards"][0].update(samples=2), "has 3 samples, index.json says 2"),
        (lambda i: i["shards"][0]["column_names"].pop(), "4 column names, 5 encodings and 5 sizes"),
        (lambda i: i["shards"][0]["column_encodings"].__setitem__(2, "ndarray:int32"), "index.json says [('domain', "),
        (
            lambda i: i["shards"][0].update(compression="snappy", zip_data=i["shards"][0]["raw_data"]),
            "compression 'snappy' is not read, only br, bz2, gz, zstd",
        ),
        (lambda i: i["shards"].clear(), "lists no sample"),
    ],
)
def test_a_wrong_index_is_told(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    write_mds(tmp_path, [SAMPLES])
    change_index(tmp_path, change)
    with pytest.raises(BylineError) as error:
        listed(tmp_path).length()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_an_index_is_told(tmp_path: Path) -> None:
    refused(tmp_path, "index.json: missing, so this is no folder of MDS files; name the one that has it")
    (tmp_path / "index.json").write_text("{")
    refused(tmp_path, "index.json: cannot be read as an index of MDS files (")
    with pytest.raises(BylineError, match="--from 'x': no kind of import; the kinds are mds-meco"):
        kind_named("x")


@examples(150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_one_line_or_reads_as_something(tmp_path: Path, data: st.DataObject) -> None:
    content = file_bytes(
        SAMPLES, data.draw(st.sampled_from([MECO, {**MECO, "input_ids": "ndarray", "mask": "ndarray"}]))
    )
    head = struct.unpack_from("<I", content, 4)[0]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 19), st.integers(head, len(content) - 1)))
        damaged[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    write_mds(
        tmp_path,
        [SAMPLES],
        MECO if b'"ndarray"' not in content else {**MECO, "input_ids": "ndarray", "mask": "ndarray"},
    )
    (tmp_path / FILE).write_bytes(damaged)
    change_index(tmp_path, lambda index: index["shards"][0]["raw_data"].update(bytes=len(damaged)))
    rows, fault = read_or_fault(tmp_path)
    assert "\n" not in fault
    assert FILE in fault or rows is not None
    if rows is not None:
        assert rows.ids.shape == rows.mask.shape == (3, LENGTH)
        assert rows.lengths.sum() == 3 * LENGTH


def read_or_fault(folder: Path) -> tuple[Samples | None, str]:
    try:
        return read(folder)[0], ""
    except BylineError as error:
        return None, str(error)


@pytest.mark.parametrize("compression", ["zstd", "gz"])
def test_a_damaged_compressed_file_is_one_line(tmp_path: Path, compression: str) -> None:
    write_mds(tmp_path, [SAMPLES], compression=compression)
    file = tmp_path / f"{FILE}.{compression}"
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    refused(tmp_path, f"{len(content) - 20:,} bytes, index.json says {len(content):,}; copy it anew")
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    refused(tmp_path, f"{FILE}.{compression}: ")
    file.write_bytes(content)
    change_index(tmp_path, lambda index: index["shards"][0]["raw_data"].update(bytes=10))
    refused(tmp_path, "decompressed more than 10 bytes, index.json says 10; copy it anew")
