"""A small build: two sources of additions, one of which spans rows, padding in some, and a branch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import byline
from byline.lab.corpora.tokenizers import SPECIAL_TOKEN, write_byte_tokenizer
from byline.lab.training.evaluating import EvaluationRows
from byline.lab.training.loop import TrainingSettings, train
from tests.support.builds import build

# Between rows and steps that do not divide each other.
STEPS, ROWS_EVALUATED = 24, 6


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build's folder."""
    folder = tmp_path_factory.mktemp("training")
    write_byte_tokenizer(folder / "tokenizer.json")
    short = {"digits": 1, "examples": 3000}
    long = {"digits": 2, "examples": 400, "per_document": 7, "style": "reverse"}
    return build(
        {
            "sources": {
                "long": {"format": "arithmetic", "arithmetic": long},
                "never": {"format": "arithmetic", "arithmetic": {"examples": 5}},
                "short": {"format": "arithmetic", "arithmetic": short},
            },
            "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": SPECIAL_TOKEN, "eos": SPECIAL_TOKEN},
            "sequence": {"length": 48, "packing": "best_fit"},
            "shard": {"sequences": 8},
            "tokens": 48 * 100,
            "shortage": "repeat",
            "mixture": {"long": 0.4, "never": 0, "short": 0.6},
            "phases": [{"name": "main", "share": 1, "condition": {"template": "{source}: "}}],
            "branches": [{"name": "cooldown", "at": [0.5], "share": 0.2}],
            "store": str(folder / "store"),
            "output": str(folder / "out"),
        }
    )


@pytest.fixture(scope="session")
def shards(built: Path) -> byline.Shards:
    return byline.open(built)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def trained(tmp_path: Path, shards: byline.Shards) -> Callable[..., Path]:
    """Trains the smallest model into a new folder below, and gives that; `changes` are of the settings."""

    def run(name: str, view: byline.Shards = shards, more: dict[str, Any] | None = None, **changes: Any) -> Path:
        evaluations = {"own": EvaluationRows.of(shards[:ROWS_EVALUATED])}
        train(settings_of(**changes), view, evaluations, tmp_path / name, **(more or {}))
        return tmp_path / name

    return run


def settings_of(**changes: Any) -> TrainingSettings:
    values = {"model": "0.1M", "vocab_size": 257, "steps": STEPS, "learning_rate": 3e-3, "evaluate_at": (0, 8, 16, 24)}
    return TrainingSettings(**{**values, **changes})
