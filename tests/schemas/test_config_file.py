"""Reading a configuration: `extends`, `--set`, YAML's traps, and one line for each mistake."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from byline.errors import BylineError
from byline.schemas.config_file import load_config, merge, parse_config

TEXT = """
sources:
  mine: {format: jsonl, path: "data/*.jsonl"}
tokenizer: {file: tokenizer.json, eos: "</s>"}
sequence: {length: 64}
phases:
  - {name: first, share: 0.9}
  - {name: last, share: 0.1}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(TEXT)
    return file


def mistake(path: Path, *overrides: str) -> str:
    with pytest.raises(BylineError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------- extends


def test_a_child_goes_on_top_of_what_it_extends(tmp_path: Path, path: Path) -> None:
    (tmp_path / "deep").mkdir()
    middle, child = tmp_path / "deep/middle.yaml", tmp_path / "child.yaml"
    middle.write_text("extends: ../recipe.yaml\nseed: 1\nsequence: {packing: concat}\n")
    child.write_text("extends: deep/middle.yaml\nseed: 2\nphases: [{name: only, share: 1}]\n")
    found = load_config(child)
    assert (found.seed, found.sequence.length, found.sequence.packing) == (2, 64, "concat")
    assert [phase.name for phase in found.phases] == ["only"]
    assert load_config(middle).seed == 1


def test_null_drops_what_the_other_file_gave(tmp_path: Path, path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: recipe.yaml\ntokenizer: {bos: null, eos: null, pad: x}\n")
    found = load_config(child).tokenizer
    assert (found.file, found.bos, found.eos, found.pad) == ("tokenizer.json", None, None, "x")


def test_a_mixture_is_replaced_as_a_whole(tmp_path: Path, path: Path) -> None:
    path.write_text(TEXT + "mixture: {mine: 1}\n")
    child = tmp_path / "child.yaml"
    child.write_text("extends: recipe.yaml\nmixture: {method: unimax, max_epochs: 2}\n")
    assert load_config(child).mixture.method == "unimax"
    assert load_config(child, ["mixture.max_epochs=3"]).mixture.max_epochs == 3
    child.write_text("extends: recipe.yaml\nmixture: null\n")
    assert load_config(child).mixture.method == "natural"


def test_extends_that_leads_nowhere_or_back(tmp_path: Path, path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: gone.yaml\n")
    assert f"{tmp_path}/gone.yaml: the configuration cannot be read (No such file or directory)" in mistake(child)
    child.write_text("extends: [a, b]\n")
    assert "extends: expected the path of one YAML file, found ['a', 'b']" in mistake(child)
    path.write_text("extends: child.yaml\n" + TEXT)
    child.write_text("extends: recipe.yaml\n")
    assert "`extends` leads back to this file; remove one link of the circle" in mistake(child)
    child.write_text("extends: child.yaml\n")
    assert "`extends` leads back to this file" in mistake(child)


def test_merging_leaves_both_as_they_were() -> None:
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": [1]}
    over = {"a": {"y": {"w": 3}}, "b": [2]}
    copies = yaml.safe_load(yaml.safe_dump([base, over]))
    assert merge(base, over) == {"a": {"x": 1, "y": {"z": 2, "w": 3}}, "b": [2]}
    assert [base, over] == copies
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}


# ------------------------------------------------------------------------------------------------------------- set


def test_settings_apply_in_order(path: Path) -> None:
    found = load_config(path, ["seed=1", "seed=2", "sequence.packing=best_fit", "tokens=5K"])
    assert (found.seed, found.sequence.packing, found.sequence.length, found.tokens) == (2, "best_fit", 64, 5000)


def test_a_setting_may_make_keys_and_reach_into_lists(path: Path) -> None:
    overrides = [
        "classifiers.quality.model=q.bin",
        "classifiers.quality.label=hq",
        "phases.last.select={top: 0.5, by: quality}",
        "phases.0.condition.template='{host}: '",
        "phases.last.name=end",
        "shard={sequences: 9}",
    ]
    found = load_config(path, overrides)
    assert found.classifiers["quality"].label == "hq"
    assert [phase.name for phase in found.phases] == ["first", "end"]
    assert found.phases[0].condition is not None
    assert found.phases[0].condition.template == "{host}: "
    assert [step.by for step in found.phases[1].select] == ["quality"]
    assert found.shard.sequences == 9


def test_a_setting_reaches_into_branches_and_steps(path: Path) -> None:
    path.write_text(
        TEXT
        + """
branches: [{name: cool, at: [0.25, 0.5]}, {name: other, at: 1}]
mixture: {method: linear, points: [{at: 0, weights: {mine: 1}}, {at: 1, weights: {mine: 1}}]}
"""
    )
    overrides = [
        "phases.last.share=0.2",
        "phases.0.share=0.8",
        "branches.cool.at.1=0.75",
        "branches.other.at=[0.1, 1]",
        "branches.1.share=1/3",
        "phases.first.select=[{at_least: 8, by: num_tokens}, {top: 0.5, by: num_tokens}]",
        "phases.first.select.1.top=0.25",
        "mixture.points.1.weights={mine: '1/1'}",
    ]
    found = load_config(path, overrides)
    assert [float(phase.share) for phase in found.phases] == [0.8, 0.2]
    assert [[float(at) for at in branch.at] for branch in found.branches] == [[0.25, 0.75], [0.1, 1]]
    assert found.branches[1].share == Fraction(1, 3)
    assert [step.top for step in found.phases[0].select] == [None, Fraction(1, 4)]


def test_a_whole_item_of_a_list(path: Path) -> None:
    found = load_config(path, ["phases.1={name: cooldown, share: 0.1}"])
    assert [phase.name for phase in found.phases] == ["first", "cooldown"]


def test_a_value_may_hold_an_equals_sign(path: Path) -> None:
    assert load_config(path, ["output=out/a=b"]).output == "out/a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected key=value, as in sequence.length=512"),
        ("=1", "--set =1: expected key=value"),
        ("seed=[1", "--set seed=[1: the value is not valid YAML; put quotes around it"),
        ("sequence.length.x=1", "--set sequence.length.x=1: 'length' is 64, which has no keys below it"),
        ("phases.middle.share=1", "--set phases.middle.share=1: no 'middle' here; there are first, last"),
        ("phases.7=1", "--set phases.7=1: no '7' here; there are first, last"),
        ("sequence.lenght=8", "sequence.lenght: unknown key 'lenght'; did you mean 'length'?"),
        ("branches.cool.at=0.5", "branches: input should be a valid list; found {'cool': {'at': 0.5}}"),
        ("branches={name: b}", "branches: input should be a valid list; found {'name': 'b'}"),
        ("sequence=512", "sequence: expected keys and values (length, packing); found 512"),
        ("sources.mine.fields={txt: body}", "sources.mine.fields.txt: expected text, url, messages, "),
        ("mixture.mine=0.5", "mixture: the weights sum to 0.5, not to 1; change one by +0.5"),
        ("seed=true", "seed: expected a whole number, found true"),
        ("seed=x", "seed: input should be a valid integer, unable to parse string as an integer; found 'x'"),
    ],
)
def test_a_setting_that_is_none(path: Path, override: str, message: str) -> None:
    assert message in mistake(path, override)


# ------------------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("where", "key", "near"),
    [
        ((), "tokeniser", "tokenizer"),
        ((), "phase", "phases"),
        (("sequence",), "packaging", "packing"),
        (("sources", "mine"), "paths", "path"),
        (("tokenizer",), "libary", "library"),
        (("phases", 0), "conditions", "condition"),
    ],
)
def test_an_unknown_key_and_the_nearest_one(path: Path, where: tuple[Any, ...], key: str, near: str) -> None:
    values = yaml.safe_load(TEXT)
    below = values
    for part in where:
        below = below[part]
    below[key] = 1
    path.write_text(yaml.safe_dump(values))
    place = ".".join(map(str, (*where, key)))
    assert mistake(path) == f"{path}: {place}: unknown key {key!r}; did you mean {near!r}?"


def test_an_unknown_key_that_is_like_no_other(path: Path) -> None:
    path.write_text(TEXT + "zzz: 1\n")
    assert (
        "zzz: unknown key 'zzz'; the keys here are seed, sources, classifiers, filter, attributes, tokenizer, "
        in mistake(path)
    )


def test_a_key_that_is_needed(path: Path) -> None:
    path.write_text("seed: 1\n")
    assert mistake(path) == f"{path}: sources: this key is needed"
    path.write_text(TEXT.replace("format: jsonl, ", ""))
    assert mistake(path) == f"{path}: sources.mine.format: this key is needed"


# ------------------------------------------------------------------------------------------------------------ YAML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "not valid YAML: "),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("seed: 1\nsources: {a: {path: x, path: y}}\n", "the key 'path' is given twice"),
        (
            "!!python/object/apply:os.system ['true']\n",
            ", line 1, column 1: the tag !!python/object/apply:os.system is not",
        ),
        ("", "expected keys and values, as in `seed: 0`"),
        ("just text", "expected keys and values"),
        ("1: 2\n", "the key 1 is not a text; put quotes around it"),
    ],
)
def test_yaml_that_is_no_configuration(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    assert message in mistake(path)


def test_a_merge_key_of_yaml_is_no_key_twice(path: Path) -> None:
    path.write_text(TEXT.replace("sequence: {length: 64}", "sequence: &s {length: 64}\nshard: {sequences: 5}"))
    assert load_config(path).shard.sequences == 5
    path.write_text("base: &b {length: 32}\n" + TEXT.replace("{length: 64}", "{<<: *b, packing: concat}"))
    # `base` is no key of a configuration; that is the only thing wrong.
    assert "base: unknown key 'base'" in mistake(path)


def test_a_file_that_is_no_text(path: Path) -> None:
    path.write_bytes(b"seed: \xff\n")
    assert "the configuration cannot be read (not UTF-8 text, byte " in mistake(path)
    path.unlink()
    path.mkdir()
    assert "the configuration cannot be read (a folder, not a file)" in mistake(path)


def test_values_that_are_no_text_keys_are_told_by_their_place() -> None:
    with pytest.raises(
        BylineError, match=r"^_manifest\.json: tokenizer\.file: input should be a valid string; found 7$"
    ):
        parse_config({**yaml.safe_load(TEXT), "tokenizer": {"file": 7}}, "_manifest.json")
