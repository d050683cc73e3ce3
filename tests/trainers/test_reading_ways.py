"""The ways of benchmarks/reading_ways.py that need more than Byline does: each reads the rows of a build."""

import shutil

import byline
from benchmarks.reading_ways import array_record, hugging_face, mds_of
from tests.support.same_rows import same_rows
from tests.support.shards import numbered_build
from tests.trainers.conftest import BUILDS


def test_datasets(tmp_path):
    """All integers as int64, and no rows of a branch."""
    numbered_build(tmp_path, {"a": [5, 3], "a-50": [2], "b": [4]}, branches={"a-50": ("a", 1)})
    shards = byline.open(tmp_path)
    assert len(shards) == 12
    same_rows(hugging_face(shards, tmp_path), shards, ("int64", "int64"))


def test_array_record(tmp_path):
    numbered_build(tmp_path, {"a": [5, 3], "b": [4]})
    shards = byline.open(tmp_path)
    same_rows(array_record(shards, tmp_path), shards)


def test_mds_of_two_phases(tmp_path):
    """An export whose masks are the loss masks; to make one here would need Beam."""
    shards = byline.open(BUILDS / "document_start")
    assert len(shards.phases) == 2
    # Folders that are open on this machine are known by name, in memory that all share.
    exported = shutil.copytree(BUILDS / "mds-meco" / "document_start", tmp_path / "mds")
    same_rows(mds_of(exported, shards.phases), shards)
