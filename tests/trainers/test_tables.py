"""`byline.to_table` in `datasets`, polars and DuckDB, `byline export --to parquet`, and files read without Byline."""

from pathlib import Path

import duckdb
import numpy as np
import polars
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader

import byline
from byline.adapters.torch import collate
from tests.trainers.conftest import BUILDS
from tests.trainers.recorder import check_order


def test_datasets(build):
    dataset = Dataset(byline.to_table(build)).with_format("numpy")
    batches = list(DataLoader(dataset, batch_size=8, collate_fn=collate, num_workers=2))
    assert byline.audit(batches, build).is_equal
    check_order((batch["input_ids"] for batch in batches), build)


def test_polars(build):
    frame = polars.from_arrow(byline.to_table(build))
    trained = frame.group_by("phase", maintain_order=True).agg(polars.col("loss_mask").list.sum().sum())
    assert trained.rows() == [(entry.name, entry.loss_tokens) for entry, _ in build.manifest.training_order()]
    ids = frame["input_ids"].explode().to_numpy()
    check_order([ids], build)


def test_duckdb(build):
    rows = duckdb.from_arrow(byline.to_table(build))
    trained = rows.aggregate("phase, sum(list_sum(loss_mask))").order("phase")
    assert trained.fetchall() == [(entry.name, entry.loss_tokens) for entry, _ in build.manifest.training_order()]
    segments = rows.select("unnest(doc_ids) as doc").filter("doc >= 0")
    assert len(segments.fetchall()) == sum((row["doc_ids"] >= 0).sum() for row in build)


def test_an_export_to_parquet(build):
    files = sorted((BUILDS / "parquet" / Path(build.directory).name).glob("*/*.parquet"))
    table = byline.to_table(build)
    frame = polars.read_parquet(files)
    rows = duckdb.read_parquet(list(map(str, files)))
    assert set(frame.columns) == set(rows.columns) == {"phase", *byline.open(build.directory)[0]}
    for column in frame.columns:
        expected = table[column].to_pylist()
        assert frame[column].to_list() == expected
        assert [value for (value,) in rows.select(column).fetchall()] == expected


def test_files_without_byline(concat, tmp_path):
    """The rows are there, in order of the folders' names; phases and what a mask means are not."""
    folder = Path(concat.directory)
    files = sorted(map(str, folder.glob("*/*.arrow")))
    build = byline.open(concat.directory)
    ids = build.batch(range(len(build)))["input_ids"]
    lazy = polars.concat([polars.read_ipc(file) for file in files])
    assert np.array_equal(np.stack(lazy["input_ids"].to_list()), ids)
    rows = load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path))
    assert np.array_equal(np.array(rows["input_ids"]), ids)
    assert "phase" not in rows.column_names


def test_a_folder_without_byline(concat, tmp_path):
    """Its shards are all that readers of folders find."""
    folder, rows = concat.directory, len(byline.open(concat.directory))
    assert len(load_dataset(folder, split="train", cache_dir=str(tmp_path))) == rows
    assert polars.scan_ipc(f"{folder}/**/*.arrow").select(polars.len()).collect().item() == rows
