"""A recipe is read, checked, and refused in one line."""

from pathlib import Path

import pytest
import yaml

from byline.errors import BylineError
from byline.lab.study import RECIPES, parse_study, read_study

WHOLE = {
    "title": "Additions",
    "config": {"sources": {"addition": {"format": "arithmetic"}}, "phases": [{"name": "main", "share": 1}]},
    "tokens": "1M",
    "arms": {"plain": {}},
    "evaluations": {"own": {}},
}


def write(folder: Path, **values: object) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**WHOLE, **values}))
    return str(path)


def test_a_recipe_has_its_file_s_name_and_defaults(tmp_path):
    study = read_study(write(tmp_path))
    assert (study.name, study.tokens, study.equal) == ("mine", 1_000_000, "trained")
    assert study.training.seeds == [0, 1, 2]


def test_a_scale_is_merged_over_the_rest_and_settings_come_last(tmp_path):
    path = write(tmp_path, training={"steps": 900, "seeds": [0]}, small={"tokens": "10K", "training": {"steps": 30}})
    study = read_study(path, "small", ["training.seeds=[4, 5]"])
    assert (study.tokens, study.training.steps, study.training.seeds) == (10_000, 30, [4, 5])
    assert read_study(path).training.steps == 900


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arms": {}}, "arms: a study needs at least one"),
        ({"tokens": "all"}, "tokens: say how many each arm trains on"),
        ({"stepz": 1}, "stepz: unknown key 'stepz'"),
        ({"training": {"seed": [1]}}, "training.seed: unknown key 'seed'"),
        ({"evaluations": {"host": {"prefix": True}}}, "evaluations.host.prefix: say how it is written"),
        ({"parts": ["formats"]}, "parts: a recipe of parts has no arms"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, values, message):
    with pytest.raises(BylineError, match=r"^[^\n]*$") as caught:
        read_study(write(tmp_path, **values))
    assert message in str(caught.value)


def test_an_unknown_recipe_names_the_nearest(tmp_path):
    with pytest.raises(BylineError, match="did you mean formats"):
        read_study("format")
    with pytest.raises(BylineError, match="has no section `small`"):
        read_study(write(tmp_path), "small")


def test_steps_of_evaluations_are_even_and_the_last_is_one():
    study = parse_study({"name": "a", **WHOLE, "training": {"steps": 10, "evaluations": 4}}, "a")
    assert study.training.evaluated_steps == (2, 5, 7, 10)
    study = parse_study({"name": "a", **WHOLE, "training": {"steps": 2, "evaluations": 9}}, "a")
    assert study.training.evaluated_steps == (1, 2)


def test_a_learning_rate_may_be_by_model():
    study = parse_study({"name": "a", **WHOLE, "training": {"learning_rate": {"1M": 0.001}}}, "a")
    assert study.training.rate_of("1M") == 0.001
    with pytest.raises(BylineError, match=r"learning_rate: there is none for '2M'"):
        study.training.rate_of("2M")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", [None, "small", "smoke"])
def test_every_recipe_is_one_at_every_scale(path, scale):
    study = read_study(path.stem, scale)
    assert study.parts or (study.arms and study.figures and study.statements)
