"""`byline import` from and to an object store: the same rows as on a disk, and each file asked for once."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import byline
from byline.pipelines.jobs.import_ import import_folders
from byline.pipelines.jobs.verify_import import verify_import
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.imports import NamedTokenizer
from byline.transforms.imports.planning import AskedImport, NamedFolder
from tests.reference.mds import meco_sample, write_mds
from tests.support.object_server import BUCKET, Environ, ObjectServer, object_server, put_folder, quick_retries


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with quick_retries(), object_server() as running:
        yield running


def run(folder: str, out: str) -> None:
    asked = AskedImport([NamedFolder.of(folder)], NamedTokenizer(), 100, sequences=2)
    import_folders(asked, "mds-meco", out, RunnerSettings(workers=1), Console(file=io.StringIO()))


def test_the_same_rows_as_on_a_disk(server: ObjectServer, tmp_path: Path) -> None:
    files = [[meco_sample([number, 7, 8], [0, 1, 1], [[0, 2], [2, 3]])] for number in range(5)]
    write_mds(tmp_path / "mds", files, compression="zstd")
    put_folder(server, tmp_path / "mds", "mds")
    run(str(tmp_path / "mds"), str(tmp_path / "out"))
    asked: Counter[str] = Counter()

    def note(number: int, environ: Environ) -> None:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(".zstd"):
            asked[environ["PATH_INFO"].rpartition("/")[2]] += 1

    with server.faults(note):
        run(f"s3://{BUCKET}/mds", f"s3://{BUCKET}/out")
    # The first one tells the length, and whether anything is masked.
    assert dict(asked) == {f"shard.{number:05d}.mds.zstd": 2 if number == 0 else 1 for number in range(5)}
    assert verify_import(f"s3://{BUCKET}/out", RunnerSettings(workers=1), Console(file=io.StringIO())) == 0
    disk, store = byline.open(tmp_path / "out"), byline.open(f"s3://{BUCKET}/out", verify="sha256")
    assert store.phases == ("conditioned",)
    for name in ("input_ids", "loss_mask", "seq_lengths", "doc_ids"):
        assert np.array_equal(disk.batch(range(5))[name], store.batch(range(5))[name])
    assert store.inputs == disk.inputs
