"""`byline export --to hf`: what `datasets` reads of it trains what the shards say."""

import numpy as np
import pytest
from datasets import load_dataset

import byline
from tests.trainers.conftest import BUILDS
from tests.trainers.packings import FORMATS, PACKINGS, PHASES


@pytest.fixture
def cached(tmp_path):
    """A cache of its own, as `datasets` knows a folder again by its name."""
    return str(tmp_path)


@pytest.mark.parametrize("packing", PACKINGS)
def test_datasets_reads_an_export(packing, cached):
    shards = byline.open(BUILDS / packing)
    rows = load_dataset(str(BUILDS / "hf" / packing), split="train", cache_dir=cached)
    columns = ["input_ids", "labels", "position_ids"]
    batches = rows.select_columns(columns).with_format("numpy").iter(batch_size=8)
    assert byline.audit(batches, shards, form="huggingface").is_equal
    assert np.array_equal(rows.with_format("numpy")["input_ids"][:], shards.batch(range(len(shards)))["input_ids"])


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_a_configuration(phase, cached):
    shards = byline.open(BUILDS / "concat").phase(phase)
    rows = load_dataset(str(BUILDS / "hf/concat"), phase, split="train", cache_dir=cached)
    assert rows["seq_lengths"][:] == [row["seq_lengths"].tolist() for row in shards]


def test_what_is_held_out_is_in_no_export():
    build = byline.open(BUILDS / "best_fit")
    assert len(byline.open(BUILDS / "best_fit", branch=build.holdout)) > 0
    folders = {path.parent for name in FORMATS for path in (BUILDS / name / "best_fit").rglob("[0-9]*-of-*")}
    assert {folder.name for folder in folders} == set(PHASES)
