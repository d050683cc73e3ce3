"""mosaicml-streaming's own MDS files: those that imports are tested with are the same, byte by byte.

So what `byline import` makes of the files of tests/reference/mds.py is what it makes of those of MeCo's packer.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from streaming import LocalDataset, MDSWriter

import byline
from tests.reference.mds import MECO, meco_sample, write_mds
from tests.trainers.conftest import BUILDS
from tests.trainers.packings import PHASES

ENCODINGS = [
    MECO,
    {name: encoding for name, encoding in MECO.items() if name != "mask"},
    {**MECO, "input_ids": "ndarray:int32", "mask": "ndarray", "indices": "ndarray:uint16", "length": "int"},
    {**MECO, "input_ids": "ndarray:uint16:300", "mask": "ndarray:uint8:300", "length": "uint32", "domain": "str"},
]
DTYPES = {"input_ids": np.int32, "mask": np.int32, "indices": np.int32}


def samples_of(seed: int):
    """Samples of 300 tokens, the fourth with more segments than a byte can count."""
    numbers = np.random.default_rng(seed)
    samples = []
    for number in range(5):
        borders = np.unique(np.append(numbers.integers(1, 300, 3), [0, 300])) if number != 3 else np.arange(301)
        pairs = np.stack([borders[:-1], borders[1:]], axis=1).tolist()
        ids, mask = numbers.integers(0, 1 << 16, 300).tolist(), numbers.integers(0, 2, 300).tolist()
        samples.append(meco_sample(ids, mask, pairs, "dclm-w-urls" if number else "é"))
    return samples


def as_arrays(sample, columns):
    """A sample as MDSWriter takes it."""
    arrays = {}
    for name, encoding in columns.items():
        dtype = encoding.split(":")[1] if encoding.startswith("ndarray:") else DTYPES.get(name)
        arrays[name] = np.array(sample[name], dtype) if encoding.startswith("ndarray") else sample[name]
    return arrays


@pytest.mark.parametrize("columns", ENCODINGS, ids=range(len(ENCODINGS)))
def test_the_files_are_those_of_mosaicml_streaming(columns, tmp_path: Path):
    samples = samples_of(len(columns))
    with MDSWriter(out=str(tmp_path / "theirs"), columns=columns, compression=None) as writer:
        for sample in samples:
            writer.write(as_arrays(sample, columns))
    write_mds(tmp_path / "ours", [samples], columns)
    name = "shard.00000.mds"
    assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    theirs, ours = (json.loads((tmp_path / one / "index.json").read_text()) for one in ("theirs", "ours"))
    assert ours == theirs


@pytest.mark.parametrize("phase", PHASES)
def test_what_was_imported_is_what_mosaicml_streaming_reads(phase):
    shards = byline.open(BUILDS / "imported").phase(phase)
    samples = LocalDataset(str(BUILDS / "mds-meco/best_fit" / phase))
    assert len(samples) == len(shards)
    for sample, row, made in zip(samples, shards, byline.open(BUILDS / "best_fit").phase(phase), strict=True):
        assert np.array_equal(sample["input_ids"], row["input_ids"])
        assert np.array_equal(sample["mask"], row["loss_mask"])
        assert np.array_equal(np.diff(sample["indices"]).ravel(), row["seq_lengths"])
        # And both are what was exported, padding included.
        for name in ("input_ids", "loss_mask", "seq_lengths"):
            assert np.array_equal(row[name], made[name])
        assert np.array_equal(row["doc_ids"] == -1, made["doc_ids"] == -1)


def test_mosaicml_streaming_reads_them(tmp_path: Path):
    samples = samples_of(0)
    write_mds(tmp_path, [samples[:2], samples[2:]], subfolders=["0-0", "0-1"])
    read = LocalDataset(str(tmp_path))
    assert len(read) == 5
    for number, sample in enumerate(samples):
        row = read[number]
        assert {name: np.asarray(row[name]).tolist() for name in MECO} == sample
