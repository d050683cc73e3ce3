"""The benchmark of the ablation runs on any corpus, prepares it once, and counts from the ledger."""

from pathlib import Path

import pytest
import yaml

from benchmarks.ablations import Outcome, line, load_recipe, recipe_names, run
from byline.errors import BylineError
from byline.manifest import read_manifest
from tests.support.corpora import GIVEN_SCORE, GOOD, SPECIAL, Corpus

RECIPES = Path(__file__).parents[2] / "configs/ablation"


@pytest.fixture
def overrides(corpus: Corpus, tmp_path: Path) -> Path:
    """What stands on top of every recipe: the tests' corpus."""
    values = {
        "sources": {
            "dclm": {"path": f"{corpus.root}/dclm/**/*.zst", "max_rejected": 1, "score": {"quality": GIVEN_SCORE}},
            "c4": {"path": f"{corpus.root}/c4/*.gz", "max_rejected": 1},
            "refinedweb": {"path": f"{corpus.root}/refinedweb/*.parquet", "max_rejected": 1},
        },
        "classifiers": {
            "quality": {"model": str(corpus.model), "label": GOOD},
            "topic": {"model": str(corpus.model)},
        },
        "tokenizer": {"file": str(corpus.tokenizer), "bos": SPECIAL, "eos": SPECIAL, "pad": None},
        "sequence": {"length": 64},
        "mixture": "natural",
        "tokens": "3K",
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_benchmark_prepares_once_and_measures_each_recipe(overrides: Path, tmp_path: Path) -> None:
    preparing, *outcomes = run(
        RECIPES, ["standard", "markers"], tmp_path / "out", overrides, ["tokens=2560"], workers=1
    )
    assert isinstance(preparing, float)
    standard, markers = outcomes
    assert isinstance(standard, Outcome)
    assert isinstance(markers, Outcome)
    assert (standard.name, standard.masked, standard.prefix) == ("standard", 0, 0)
    assert 0.9 < standard.trained <= 1
    assert markers.masked > 0.1
    assert markers.prefix > 3
    # The store has one folder for each source: nothing was prepared again.
    assert all(len(list((tmp_path / f"out/store/{name}").iterdir())) == 1 for name in ("c4", "dclm", "refinedweb"))
    manifest = read_manifest(tmp_path / "out/shards/markers")
    assert sum(phase.tokens for phase in manifest.phases) == markers.tokens
    assert sum(phase.loss_tokens for phase in manifest.phases) == round(markers.trained * markers.tokens)
    assert line(markers, 2 * markers.seconds).startswith("markers")
    assert line(markers, 2 * markers.seconds).endswith(" 50.0%")


def test_overrides_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text in ("extends: a.yaml", "- 1", ""):
        path.write_text(text)
        with pytest.raises(BylineError, match=r"mine\.yaml: expected keys of a configuration"):
            load_recipe(RECIPES, "host", path, [], tmp_path)


def test_every_recipe_but_the_base_is_run() -> None:
    names = recipe_names(RECIPES)
    assert "base" not in names
    assert {"host", "checkpoints", "top_hosts_0.2"} < set(names)
