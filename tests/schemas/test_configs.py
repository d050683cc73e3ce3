"""Every recipe in `configs/` is a valid configuration, and says what its name promises."""

from fractions import Fraction
from pathlib import Path

import pytest

from schemas.config import Config
from schemas.config_file import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


def recipe(name: str) -> Config:
    return load_config(CONFIGS / name)


def test_the_recipes_are_all_there():
    assert RECIPES == [
        "c4.yaml",
        "meco.yaml",
        "quality_top70.yaml",
        "quickstart.yaml",
        "refinedweb.yaml",
        "standard.yaml",
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_has_an_output_of_its_own(name):
    config = recipe(name)
    assert config.output not in [recipe(other).output for other in RECIPES if other != name]


@pytest.mark.parametrize("name", ["meco.yaml", "c4.yaml", "refinedweb.yaml", "quickstart.yaml"])
def test_meco_trains_nine_tenths_with_the_host_and_one_without(name):
    conditioned, cooldown = recipe(name).phases
    assert (conditioned.share, cooldown.share) == (Fraction(9, 10), Fraction(1, 10))
    assert conditioned.condition is not None
    assert (conditioned.condition.template, conditioned.condition.place) == ("URL: {host}\n\n", "before")
    assert cooldown.condition is None


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "quickstart.yaml"])
def test_the_real_recipes_ask_for_160_billion_tokens_in_sequences_of_8192(name):
    config = recipe(name)
    assert (config.tokens, config.sequence.length, config.sequence.packing.value) == (
        160 * 10**9,
        8192,
        "document_start",
    )


def test_the_baselines_differ_from_meco_in_their_phases_and_output_alone():
    meco, standard, selected = (
        recipe(name).model_dump(mode="json") for name in ("meco.yaml", "standard.yaml", "quality_top70.yaml")
    )
    assert standard["phases"] == [{"name": "standard", "share": 1.0, "select": None, "condition": None}]
    top = {"top": 0.7, "by": "quality", "count": "documents"}
    assert selected["phases"] == [{"name": "selected", "share": 1.0, "select": top, "condition": None}]
    for baseline in (standard, selected):
        assert {**baseline, "phases": meco["phases"], "output": meco["output"]} == meco
