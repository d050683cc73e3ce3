"""Loss weights as a recipe writes them, and where they hold."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.loss_weights import FormatterWeight, NumberWeight, document_weight, plain_weights
from tests.support import small


def config(**changes: Any) -> Config:
    return small.small_config(Path("/nowhere"), **changes)


def in_phase(weights: Any) -> dict[str, Any]:
    return {"phases": [{"name": "only", "share": 1, "loss_weight": weights}]}


def test_a_stage_has_its_own_or_the_recipes_and_a_holdout_its_own_alone() -> None:
    first, second = {"name": "first", "share": 0.5}, {"name": "second", "share": 0.5, "loss_weight": {"b": 0}}
    recipe = config(
        phases=[first, second], branches=[{"name": "late", "at": 0.5}], holdout={"share": 0.1}, loss_weight={"a": 0.5}
    )
    weights = [recipe.weights_of(stage) for stage in recipe.stages]
    assert weights == [{"a": Fraction(1, 2)}, {"b": 0}, {"a": Fraction(1, 2)}, {}]
    assert recipe.weight_type == "float32"


def test_a_recipe_without_weights_has_none_anywhere() -> None:
    recipe = config(shard={"loss_weight": "float16"}, holdout={"share": 0.1})
    assert recipe.weight_type is None
    assert [recipe.weights_of(stage) for stage in recipe.stages] == [None, None]


@pytest.mark.parametrize("changes", [in_phase({}), {"holdout": {"share": 0.1, "loss_weight": {"a": 2}}}])
def test_weights_of_one_stage_are_a_column_of_all(changes: dict[str, Any]) -> None:
    assert config(shard={"loss_weight": "float16"}, **changes).weight_type == "float16"


def test_numbers_of_documents_have_defaults_and_are_kept_as_written() -> None:
    recipe = config(loss_weight={"a": {"by": "quality"}, "b": {"by": "year", "most": "1/3", "unknown": 0}})
    assert recipe.loss_weight == {
        "a": NumberWeight(by="quality", most=Fraction(1), unknown=Fraction(1)),
        "b": NumberWeight(by="year", most=Fraction(1, 3), unknown=Fraction(0)),
    }
    plain = {"a": {"by": "quality", "most": 1, "unknown": 1}, "b": {"by": "year", "most": "1/3", "unknown": 0}}
    assert plain_weights(recipe.loss_weight) == plain
    assert parse_config(recipe.model_dump(mode="json"), "again") == recipe


def test_weights_of_a_formatter_may_be_multiplied_and_are_kept_as_written() -> None:
    recipe = config(loss_weight={"a": "formatter", "b": [{"by": "quality", "most": 2}, "formatter"]})
    number = NumberWeight(by="quality", most=Fraction(2), unknown=Fraction(1))
    assert recipe.loss_weight == {"a": FormatterWeight(), "b": FormatterWeight(number)}
    plain = {"a": "formatter", "b": ["formatter", {"by": "quality", "most": 2, "unknown": 1}]}
    assert plain_weights(recipe.loss_weight) == plain
    assert parse_config(recipe.model_dump(mode="json"), "again") == recipe
    assert plain_weights(config(loss_weight={"a": ["formatter", "1/3"]}).loss_weight or {}) == {
        "a": ["formatter", "1/3"]
    }
    assert [document_weight(weight) for weight in (None, Fraction(2), FormatterWeight(number))] == [1, 2, number]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": ["formatter"]}, ".a: expected [formatter, WEIGHT], which are multiplied, found ['formatter']"),
        ({"a": [2, 3]}, ".a: expected [formatter, WEIGHT], which are multiplied, found [2, 3]"),
        ({"a": ["formatter", -1]}, ".a: expected 0 or a weight from 5.96046e-08 to 65504, found -1"),
        ({"a": "formater"}, ".a: expected a number, found 'formater'"),
        ({"a": -1}, ".a: expected 0 or a weight from 5.96046e-08 to 65504, found -1"),
        ({"a": 65505}, ".a: expected 0 or a weight from 5.96046e-08 to 65504, found 65505"),
        # In a column of float16 it would be 0.
        ({"a": 1e-8}, ".a: expected 0 or a weight from 5.96046e-08 to 65504, found 1e-08"),
        ({"a": float("nan")}, ".a: expected a number, found nan"),
        ({"a": float("inf")}, ".a: expected a number, found inf"),
        ({"a": True}, ".a: expected a number, found True"),
        ({"a": None}, ".a: expected a number, found None"),
        ({"a": {"by": "quality", "most": -1}}, ".a.most: expected 0 or a weight from 5.96046e-08 to 65504, found -1"),
        ({"a": {"by": "quality", "unknown": "inf"}}, ".a.unknown: expected a number, found 'inf'"),
        ({"a": {"by": "quality", "mots": 1}}, ".a.mots: unknown key 'mots'; did you mean 'most'?"),
        ({"a": {"most": 1}}, ".a.by: this key is needed"),
    ],
)
def test_a_weight_that_is_none(weights: dict[str, Any], message: str) -> None:
    for changes, where in (({"loss_weight": weights}, "loss_weight"), (in_phase(weights), "phases.0.loss_weight")):
        with pytest.raises(BylineError) as error:
            config(**changes)
        assert str(error.value) == f"small_config: {where}{message}"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"c": 1}, ": there is no source 'c'; the sources are a, b"),
        (
            {"a": {"by": "license"}},
            ".a.by: source 'a' has no number 'license' (it has: quality, year, ratio",
        ),
        (
            {"a": ["formatter", {"by": "license"}]},
            ".a.by: source 'a' has no number 'license' (it has: quality, year, ratio",
        ),
        ({"a": ["formatter", 0], "b": 0}, ": all documents of 'only' have weight 0, so it would train nothing"),
        ({"a": 0, "b": 0}, ": all documents of 'only' have weight 0, so it would train nothing"),
    ],
)
def test_a_weight_that_fits_no_source(weights: dict[str, Any], message: str) -> None:
    for changes, where in (({"loss_weight": weights}, "loss_weight"), (in_phase(weights), "phases.only.loss_weight")):
        with pytest.raises(BylineError) as error:
            config(**changes)
        assert str(error.value).startswith(f"small_config: {where}{message}")


def test_a_source_of_weight_0_is_no_mistake_where_another_is_trained() -> None:
    assert config(loss_weight={"a": 0}).weights_of(config(loss_weight={"a": 0}).phases[0]) == {"a": 0}
    with pytest.raises(BylineError, match="all documents of 'only' have weight 0"):
        config(loss_weight={"a": 0}, mixture={"a": 1})
