"""One tiny corpus, one token store and one build of it, shared by the tests of the pipelines; nobody writes to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.runners.quick_pipelines import quicken
from tests.support.builds import build
from tests.support.corpora import Corpus, recipe, write_corpus

# Also for the pipelines that tests make themselves.
quicken()

# Top-level keys of a recipe that preparing depends on.
PREPARED_BY = {"sources", "classifiers", "tokenizer", "filter"}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def make_build(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds the tests' recipe with some keys changed, from one shared store; the same changes give the same build."""
    folder = tmp_path_factory.mktemp("builds")
    done: dict[str, Path] = {}

    def make(**changes: Any) -> Path:
        key = repr(sorted(changes.items()))
        if key not in done:
            locations = {"output": str(folder / f"shards-{len(done)}")}
            # The shared store holds the runs of one preparing, whichever tests were run before.
            if not PREPARED_BY.isdisjoint(changes):
                locations["store"] = str(folder / f"store-{len(done)}")
            done[key] = build(recipe(corpus, folder, **locations, **changes))
        return done[key]

    return make


@pytest.fixture(scope="session")
def built(make_build: Callable[..., Path]) -> Path:
    """The output of the tests' recipe as it stands."""
    return make_build()
