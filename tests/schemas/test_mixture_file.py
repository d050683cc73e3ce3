"""Mixtures and lists in files: names are mapped, what is left out is shared among the others, paths are told."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import load_config
from byline.schemas.mixture_file import inline_files

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
    text = "weights: {a: 0.5, b: 0.5}\nmax_epochs: {a: 1.5}\n"
    recipe = "mixture: {file: MIXTURE, names: {a: web, b: code}"
    assert load(recipe + "}", text).mixture.max_epochs == {"web": Fraction(3, 2)}
    assert load(recipe + ", max_epochs: 3}", text).mixture.max_epochs == 3


def test_a_method_without_names(load: Any) -> None:
    found = load("mixture: {file: MIXTURE, max_epochs: 3}", "method: unimax\nmax_epochs: 2\n").mixture
    assert (found.method, found.max_epochs) == ("unimax", 3)


def test_phases_and_branches_take_files_too(load: Any) -> None:
    recipe = """
branches:
  - {name: c, at: 1, mixture: {file: MIXTURE, names: {x: code, y: web}}}
mixture: {file: MIXTURE, names: {x: web, y: code}}
"""
    found = load(recipe, "{x: 0.25, y: 0.75}")
    assert found.mixture.weights["web"] == Fraction(1, 4)
    assert found.branches[0].mixture is not None
    assert found.branches[0].mixture.weights["code"] == Fraction(1, 4)
    values: dict[str, Any] = {"phases": [{"mixture": {"file": "m", "names": {"x": "a"}}}, {"name": "b"}]}
    inline_files(values, lambda _: {"x": 1})
    assert values["phases"][0]["mixture"] == {"method": "weights", "weights": {"a": "1"}}


def test_epochs(load: Any) -> None:
    text = "method: epochs\nepochs: {a: 1.1, b: 2, c: 3}\n"
    found = load("mixture: {file: MIXTURE, names: {a: web, b: code, c: null}}", text).mixture
    assert found.epochs == {"web": Fraction(11, 10), "code": 2}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 99), min_size=2),
    st.lists(st.sampled_from(["x", "y", None]), min_size=6, max_size=6),
)
def test_weights_sum_to_one_whatever_is_mapped_or_left_out(parts: dict[str, int], targets: list[str | None]) -> None:
    total = sum(parts.values())
    weights = {name: str(Fraction(part, total)) for name, part in parts.items()}
    names = {name: target for name, target in zip("abcdef", targets, strict=True) if name in parts}
    kept = [name for name in parts if names[name] is not None]
    values: dict[str, Any] = {"mixture": {"file": "m", "names": names}}
    if not kept:
        with pytest.raises(BylineError, match="no weight is left"):
            inline_files(values, lambda _: {"weights": weights})
        return
    inline_files(values, lambda _: {"weights": weights})
    found = {name: Fraction(weight) for name, weight in values["mixture"]["weights"].items()}
    whole = sum(parts[name] for name in kept)
    assert found == {
        target: Fraction(sum(parts[name] for name in kept if names[name] == target), whole)
        for target in {names[name] for name in kept}
    }


@pytest.mark.parametrize(
    ("recipe", "mixture", "message"),
    [
        ("mixture: {file: MIXTURE, names: {x: web}}", WEIGHTS, "has no 'x'; it has books, commoncrawl, github"),
        ("mixture: {file: MIXTURE, names: [x]}", WEIGHTS, "mixture.names: expected names of "),
        ("mixture: {file: MIXTURE}", WEIGHTS, "mixture: there is no source 'books'; the sources are code, web"),
        ("mixture: {file: FOLDER/gone.yaml}", "", "gone.yaml: the configuration cannot be read (No such file"),
        ("mixture: {file: MIXTURE}", "{web: half, code: 0.5}", "mixture.yaml: web: expected a number, found 'half'"),
        ("mixture: {file: MIXTURE}", "{web: 0.5, code: 0.4}", "mixture: the weights sum to 0.9, not to 1"),
        ("mixture: {file: MIXTURE}", "- 1", "mixture.yaml: expected keys and values"),
        ("mixture: {file: MIXTURE}", "max_epochs: 2", "`method` is needed beside max_epochs"),
        (
            "mixture: {file: MIXTURE, names: {a: web, b: web}}",
            "{method: epochs, epochs: {a: 1, b: 1}}",
            "two names are mapped to 'web'; epochs of two corpora do not add up",
        ),
        (
            "mixture: {file: MIXTURE, names: {commoncrawl: null, github: null, books: null}}",
            WEIGHTS,
            "no weight is left; `names` must leave a source with one",
        ),
    ],
)
def test_a_file_that_does_not_fit(load: Any, recipe: str, mixture: str, message: str) -> None:
    assert message in mistake(load, recipe, mixture)


# ------------------------------------------------------------------------------------------------------------ lists


def test_lists_of_values_in_files(load: Any, tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("# blocked\n\n  a.example \nb.example\n#c.example\n")
    found = load("branches: [{name: b, at: 1, select: {deny: {host: FOLDER/hosts.txt, suffix: [org]}}}]")
    assert found.branches[0].select[0].deny == {"host": ["a.example", "b.example"], "suffix": ["org"]}
    found = load("branches: [{name: b, at: 1, select: [{allow: {host: FOLDER/hosts.txt}}]}]")
    assert found.branches[0].select[0].allow == {"host": ["a.example", "b.example"]}


def test_lists_that_cannot_be_read(load: Any, tmp_path: Path) -> None:
    recipe = "branches: [{name: b, at: 1, select: {allow: {host: FOLDER/hosts.txt}}}]"
    assert "hosts.txt: the list cannot be read (No such file or directory); one value a line" in mistake(load, recipe)
    (tmp_path / "hosts.txt").write_bytes(b"\xff\n")
    assert "hosts.txt: the list cannot be read (not UTF-8 text)" in mistake(load, recipe)
    (tmp_path / "hosts.txt").write_text("# none\n")
    assert "branches.0.select.0: allow.host: an empty list takes no document" in mistake(load, recipe)
