"""YAML that would fill the memory, never end, or build something else than plain values."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.config_file import load_config
from byline.schemas.yaml_text import MOST_BYTES, MOST_CHARACTERS, MOST_VALUES, YamlError, load_yaml, parse_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
RECIPE = """
sources:
  mine: {format: jsonl, path: "data/*.jsonl"}
tokenizer: {file: tokenizer.json, eos: "</s>"}
sequence: {length: 64}
phases:
  - {name: only, share: 1}
"""


def problem(text: str) -> str:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            BOMB,
            "line 6, column 15: more than 50,000 values, those of anchors counted wherever they are named; put long ",
        ),
        ("".join(f"k{n}: 1\n" for n in range(200_000)), ", line 25000, column 9: more than 50,000 values"),
        ("a: " + "[" * 100_000, "line 1, column 35: values stand in more than 32 others; write fewer brackets"),
        ("a: " + "{a: " * 1000, "values stand in more than 32 others"),
        ("a: &x [*x]", "line 1, column 8: 'x' stands in itself; remove the alias"),
        ("a: *x", "undefined alias"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1: a second document begins; one file holds one"),
        ("a: 2001-99-99", "line 1, column 4: not valid YAML: '2001-99-99' is no value of its kind; put quotes around"),
        ("a: !!int x", "line 1, column 4: not valid YAML: 'x' is no value of its kind"),
        ("a: !!int ''", "line 1, column 4: not valid YAML: '' is no value of its kind"),
        ("a: !!float [1]", "line 1, column 4: not valid YAML: "),
        ("a: !!bool maybe", "line 1, column 4: not valid YAML: 'maybe' is no value of its kind"),
        ("a: !!map foo", "line 1, column 4: not valid YAML: expected a mapping node, but found scalar"),
        ("a: !!map [1]", "line 1, column 4: not valid YAML: expected a mapping node, but found sequence"),
        ("a: 1:30", "line 1, column 4: '1:30' would be a number to the base of 60; put quotes around it, or write"),
        ("a: [190:20:30.15]", "line 1, column 5: '190:20:30.15' would be a number to the base of 60"),
        ("a: " + ":".join(["59"] * 20_000), "would be a number to the base of 60"),
        ("a: 010", "line 1, column 4: '010' would be a number to the base of 8"),
        (f"a: {'9' * 5000}", "line 1, column 4: not valid YAML: '999"),
        ("a: 0x" + "f" * 5000, ": a: a whole number beyond 64 bits; write a smaller one"),
        ("a: [{b: 18446744073709551616}]", ": a.0.b: a whole number beyond 64 bits"),
        ("a: .nan", ": a: expected a number, found nan"),
        ("a: [-.inf]", ": a.0: expected a number, found -inf"),
        ("a: 2001-01-01", ": a: '2001-01-01' is a date, which is no value here; put quotes around it"),
        ("a: 2001-01-01 10:00:00", "is a time, which is no value here"),
        ("a: !!binary AAAA", "line 1, column 4: the tag !!binary is not known here; only plain values are read"),
        ("a: !!set {x}", "the tag !!set is not known here"),
        ("a: !!timestamp x", "the tag !!timestamp is not known here"),
        ("a: !!python/name:os.system", "the tag !!python/name:os.system is not known here"),
        ("a: !own x", "the tag !own is not known here"),
        ("a: =", "not valid YAML"),
        ("1: 2", ": the key 1 is not a text; put quotes around it"),
        ("a: {~: 2}", ": a: the key None is not a text"),
        ("? [a]\n: 1", "not valid YAML"),
        ("a: {b: 1, b: 2}", "line 1, column 11: not valid YAML: the key 'b' is given twice"),
        ("a: {<<: 1}", "not valid YAML"),
        ('a: "\\0"', r": a: '\x00' has the control character U+0000; remove it"),
        ('"\\e[2J": 1', r"'\x1b[2J' has the control character U+001B; remove it"),
        ("a: 1\nb: \x01", "line 2, column 4: has the control character U+0001; remove it"),
        ("a: \ud800", "line 1, column 4: has the control character U+D800; remove it"),
        ('a: "\\ud800"', "not valid YAML"),
        (f"a: {'x' * (MOST_CHARACTERS + 1)}", "line 1, column 4: a text of 65,537 characters; at most 65,536 are read"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    assert expected in problem(text)


def test_anchors_make_values_that_are_not_shared() -> None:
    values = parse_yaml("a: &x {k: [1]}\nb: *x\nc: {<<: *x, m: 2}\n")
    values["a"]["k"].append(2)
    assert values == {"a": {"k": [1, 2]}, "b": {"k": [1]}, "c": {"k": [1], "m": 2}}


def test_as_many_values_as_are_allowed() -> None:
    # One mapping, a key, a list, its items.
    assert len(parse_yaml(f"a: [{', '.join(['1'] * (MOST_VALUES - 3))}]")["a"]) == MOST_VALUES - 3
    assert "more than 50,000 values" in problem(f"a: [{', '.join(['1'] * (MOST_VALUES - 2))}]")


SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
CONTROLS = "".join(map(chr, range(0x7F, 0xA0)))
PLAIN = st.recursive(
    SCALARS | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters=CONTROLS), max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc é", max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_are_read_as_yaml_reads_them(values: Any) -> None:
    text = yaml.safe_dump(values, allow_unicode=True)
    assert parse_yaml(text) == yaml.safe_load(text)


# ----------------------------------------------------------------------------------------------------------- files


def mistake(path: Path, *overrides: str) -> str:
    with pytest.raises(BylineError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected keys and values, as in `seed: 0`"),
        (b"seed: \xfc\n", "the configuration cannot be read (not UTF-8 text, byte 6)"),
        (RECIPE.encode("utf-16"), "the configuration cannot be read (not UTF-8 text, byte 0)"),
        (
            b"#" * (MOST_BYTES + 1),
            "the configuration cannot be read (more than the 4,194,304 bytes that are read",
        ),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert f"{path}: {expected}" in mistake(path)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert load_yaml(path) == {"seed": 1}


def test_an_extends_that_is_no_file_or_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "r.yaml"
    for base, kind in {"pipe": "a named pipe", "/dev/zero": "a device", ".": "a folder"}.items():
        path.write_text(f"extends: {base}\n")
        assert f"the configuration cannot be read ({kind}, not a file)" in mistake(path)
    for number in range(1500):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    (tmp_path / "1500.yaml").write_text(RECIPE)
    assert "32.yaml: `extends` leads through more than 32 files; write fewer" in mistake(tmp_path / "0.yaml")
    assert load_config(tmp_path / "1480.yaml").sequence.length == 64


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=\ud800", r"--set seed=\ud800: has the control character U+D800; remove it"),
        ("se\0ed=1", r"--set se\x00ed=1: 'se\x00ed' has the control character U+0000; remove it"),
        ('output="\\e[2J"', r"has the control character U+001B; remove it"),
        ("seed=2001-99-99", "--set seed=2001-99-99: the value is not valid YAML; put quotes around it"),
        ("seed=2001-01-01", "--set seed=2001-01-01: '2001-01-01' is a date, which is no value here"),
        ("phases.0.name.x=1", "--set phases.0.name.x=1: 'name' is 'only', which has no keys below it"),
        ("phases.0=1", "phases.0: "),
        (f"{'a.' * 100}b=1", "keys stand in at most 32 others"),
        (f"phases.{'x' * 5000}=1", "here; there are only"),
        (f"seed={'[' * 100}", "values stand in more than 32 others"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, override: str, expected: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    assert expected in mistake(path, override)


@pytest.mark.parametrize(
    "share", ["1e999999999", "1/0", "1e-999999999", "1_", "nan", "1e301", "9" * 500, "1/1" + "0" * 500]
)
def test_numbers_without_end(tmp_path: Path, share: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("share: 1", f"share: '{share}'"))
    assert "phases.0.share: expected a number" in mistake(path)
