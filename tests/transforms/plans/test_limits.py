"""A plan without end is refused before it is laid out."""

from fractions import Fraction
from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config_file import parse_config
from byline.schemas.mixtures.blend import Blend
from byline.transforms.plans.budgeting import Demand
from byline.transforms.plans.limits import MOST_EPOCHS, MOST_SHARDS, check_asked, check_plan_size

RECIPE: dict[str, Any] = {
    "sources": {"a": {"format": "jsonl", "path": "a/*"}},
    "tokenizer": {"file": "t.json", "eos": "</s>"},
    "sequence": {"length": 128},
    "shard": {"sequences": 16},
    "phases": [{"name": "main", "share": 1}],
}


def demand(tokens: int, capacity: int) -> Demand:
    return Demand({"a": capacity}, tokens, [tokens], [Blend.constant({"a": Fraction(1)})])


def test_shards() -> None:
    config = parse_config(RECIPE, "r")
    shard = 16 * 128
    check_plan_size(config, demand(MOST_SHARDS * shard, 10**9))
    with pytest.raises(BylineError) as caught:
        check_plan_size(config, demand(99 * 10**12, 10**9))
    assert str(caught.value) == (
        "tokens: 99,000,000,000,000 tokens are 48,339,843,750 shards of 16 sequences of 128; a plan holds at most "
        "1,000,000, so ask for fewer `tokens` or raise `shard.sequences`"
    )


def test_what_a_recipe_says_before_anything_is_prepared() -> None:
    check_asked(parse_config(RECIPE, "r"))
    check_asked(parse_config({**RECIPE, "tokens": MOST_SHARDS * 16 * 128}, "r"))
    # There may be far less.
    check_asked(parse_config({**RECIPE, "tokens": "99T", "shortage": "shrink"}, "r"))
    with pytest.raises(BylineError, match=r"99,000,000,000,000 tokens are 48,339,843,750 shards of 16 sequences"):
        check_asked(parse_config({**RECIPE, "tokens": "99T", "shortage": "repeat"}, "r"))


def test_shards_of_branches() -> None:
    branches = [{"name": "b", "at": [1], "share": 0.5}]
    with pytest.raises(BylineError, match=r"are 1,200,000 shards of 16"):
        check_plan_size(parse_config({**RECIPE, "branches": branches}, "r"), demand(800_000 * 16 * 128, 10**9))


def test_epochs() -> None:
    config = parse_config({**RECIPE, "shard": {"sequences": 2**20}}, "r")
    check_plan_size(config, demand(MOST_EPOCHS * 500, 500))
    with pytest.raises(BylineError) as caught:
        check_plan_size(config, demand(10**12, 500))
    assert str(caught.value) == (
        "tokens: 1,000,000,000,000 tokens of source a are 2,000,000,000 epochs of its 500; a plan holds at most "
        "100,000, so ask for fewer `tokens` or change the mixture"
    )
