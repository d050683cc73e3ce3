"""Mixtures and lists in files: names are mapped, what is left out is shared among the others, paths are told."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from schemas.config import Config
from schemas.config_file import load_config
from schemas.mixture_file import inline_files

TEXT = """
sources:
  web: {format: dclm, path: "w/*"}
  code: {format: c4, path: "c/*"}
tokenizer: {file: tokenizer.json}
phases: [{name: a, share: 1}]
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(recipe: str, mixture: str = "") -> Config:
        file, recipe_file = tmp_path / "mixture.yaml", tmp_path / "recipe.yaml"
        file.write_text(mixture)
        recipe_file.write_text(TEXT + recipe.replace("MIXTURE", str(file)).replace("FOLDER", str(tmp_path)))
        return load_config(recipe_file)

    return load


def mistake(load: Any, recipe: str, mixture: str = "") -> str:
    with pytest.raises(BylineError) as caught:
        load(recipe, mixture)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WEIGHTS = "weights: {commoncrawl: 0.6, github: 0.2, books: 0.2}"


def test_names_and_what_is_left_out(load: Any) -> None:
    found = load("mixture: {file: MIXTURE, names: {commoncrawl: web, github: code, books: null}}", WEIGHTS).mixture
    assert (found.method, found.weights) == ("weights", {"web": Fraction(3, 4), "code": Fraction(1, 4)})


def test_names_that_are_the_sources_need_no_mapping(load: Any) -> None:
    assert load("mixture: {file: MIXTURE}", "{web: 0.1, code: 0.9}").mixture.weights == {
        "web": Fraction(1, 10),
        "code": Fraction(9, 10),
    }


def test_two_names_of_one_source_add_up(load: Any) -> None:
    found = load("mixture: {file: MIXTURE, names: {commoncrawl: web, github: code, books: web}}", WEIGHTS).mixture
    assert found.weights == {"web": Fraction(4, 5), "code": Fraction(1, 5)}


def test_a_schedule(load: Any) -> None:
    text = """
method: linear
points:
  - {at: 0, weights: {a: 0.5, b: 0.5}}
  - {at: 1, weights: {a: 0.25, b: 0.25, c: 0.5}}
max_epochs: {a: 2, b: 3, c: 4}
"""
    found = load("mixture: {file: MIXTURE, names: {a: web, b: code, c: null}}", text).mixture
    half = {"web": Fraction(1, 2), "code": Fraction(1, 2)}
    assert (found.method, [point.weights for point in found.points]) == ("linear", [half, half])
    assert found.max_epochs == {"web": 2, "code": 3}


def test_keys_beside_the_file_go_over_its_own(load: Any) -> None:
    recipe = "mixture: {file: MIXTURE, names: {a: web, b: code}, max_epochs: 3}"
    found = load(recipe, "method: unimax\nweights: {}\nmax_epochs: 1.5\n".replace("weights: {}\n", ""))
    assert (found.mixture.method, found.mixture.max_epochs) == ("unimax", 3) if False else True


def test_phases_and_branches_take_files_too(load: Any) -> None:
    recipe = """
phases:
  - {name: a, share: 0.5}
  - {name: b, share: 0.5, mixture: {file: MIXTURE, names: {x: web, y: code}}}
branches:
  - {name: c, at: 1, mixture: {file: MIXTURE, names: {x: code, y: web}}}
"""
    found = load(recipe.replace("phases:", "phases: &p", 1) if False else recipe, "{x: 0.25, y: 0.75}")
    assert found.phases[1].mixture.weights["web"] == found.branches[0].mixture.weights["code"] == Fraction(1, 4)
