"""`benchmarks.soak`: its recipes are of every kind and follow from a seed; what a command may not say is wrong."""

import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak.commands import Ended, WrongError, check_ended
from benchmarks.soak.recipes import Tools, random_recipe
from byline.schemas.config_file import parse_config

RECIPES = 30


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("soak")
    return [recipe_of(folder / str(number), number) for number in range(RECIPES)]


def recipe_of(folder: Path, number: int) -> dict[str, Any]:
    tools = Tools([Path("a.json"), Path("b.json")], Path("quality.bin"), folder / "compared")
    return random_recipe(folder, tools, random.Random(number))


def test_a_recipe_follows_from_its_seed(recipes: list[dict[str, Any]], tmp_path: Path) -> None:
    again = recipe_of(tmp_path, 7)
    assert json.loads(json.dumps(again).replace(str(tmp_path), "ROOT")) == json.loads(
        json.dumps(recipes[7]).replace(recipes[7]["store"].removesuffix("/store"), "ROOT")
    )
    assert again["sources"] != recipe_of(tmp_path / "other", 8)["sources"]


def test_every_recipe_is_valid_and_every_part_is_in_some(recipes: list[dict[str, Any]]) -> None:
    parts = Counter[str]()
    for values in recipes:
        config = parse_config(values, "soak")
        parts.update(source.format for source in config.sources.values())
        parts.update(source.formatter.name for source in config.sources.values() if source.formatter)
        parts.update(key for phase in values["phases"] for key in phase)
        parts.update([values["sequence"]["packing"], values["shard"]["ids"]])
        parts.update(["filter"] * bool(values["filter"]) + ["branches"] * bool(values["branches"]))
    formats = {"jsonl", "c4", "dclm", "refinedweb", "parquet", "arithmetic"}
    packings = {"document_start", "concat", "repeat_prefix", "best_fit"}
    others = {"chat", "qa", "fim", "condition", "select", "order", "filter", "branches", "int32", "uint16"}
    assert formats | packings | others <= set(parts)


@pytest.mark.parametrize(
    ("step", "ended"),
    [
        ("build", Ended(0, "assemble  out", [])),
        ("build", Ended(0, "", ["note worker process 7 was killed"])),
        ("build", Ended(1, "", ["error out: no room"])),
        ("verify", Ended(1, "WRONG  rows", [])),
        ("verify", Ended(2, "not compared", [])),
        ("build", Ended(-signal.SIGKILL, "", ["Trace"])),
    ],
)
def test_ends_that_are_allowed(step: str, ended: Ended) -> None:
    check_ended(step, ended)


@pytest.mark.parametrize(
    ("step", "ended"),
    [
        ("build", Ended(1, "", ["Traceback (most recent call last):", "ValueError: x"])),
        ("build", Ended(1, "", ["error a", "error b"])),
        ("build", Ended(1, "", ["error a", "  and a second line"])),
        ("build", Ended(1, "", [])),
        ("build", Ended(0, "", ["error a"])),
        ("build", Ended(2, "", ["error a"])),
        ("build", Ended(-signal.SIGSEGV, "", [])),
    ],
)
def test_ends_that_are_not(step: str, ended: Ended) -> None:
    with pytest.raises(WrongError, match="build: not as a command may end"):
        check_ended(step, ended)
