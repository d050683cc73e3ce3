"""Ray Data: rows are read where its tasks run, and keep their order if it is asked to."""

from pathlib import Path

import pytest
import ray
import train_ray
from tiny_model import tiny_model

import byline
from tests.trainers.recorder import Recorder


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two processes on this machine; they find the example where this one does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(train_ray.__file__).parent))
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
        yield
        ray.shutdown()


def test_the_example(shards):
    model = tiny_model(shards)
    recorder = Recorder(model)
    train_ray.train(shards, model)
    recorder.check(shards)


def test_a_table(concat):
    """All rows in memory, read by Ray as Arrow."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    dataset = ray.data.from_arrow(byline.to_table(concat))
    rows = list(dataset.iter_rows())
    assert byline.audit([byline.collate(rows)], concat).is_equal
    assert [row["row"] for row in rows] == list(range(len(concat)))
