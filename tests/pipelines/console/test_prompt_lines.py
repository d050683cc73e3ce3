"""`byline prompt` on a tiny build with a tokenizer made here."""

import json

import pytest

from byline.errors import BylineError
from byline.pipelines.console.prompt_lines import show_pair, show_prompt
from tests.support.byte_tokenizer import byte_tokenizer, settings_of
from tests.support.shards import CONFIG, numbered_build


@pytest.fixture
def build(tmp_path):
    file = tmp_path / "tokenizer.json"
    tokenizer = byte_tokenizer(file)
    numbered_build(tmp_path / "out", {"conditioned": [1]}, 64, **settings_of(file))
    return tmp_path / "out", file, tokenizer


def shown(capsys) -> tuple[str, list[int]]:
    text, ids = capsys.readouterr().out.splitlines()
    assert text.startswith("text  ")
    assert ids.startswith("ids   ")
    return json.loads(text[6:]), json.loads(ids[6:])


def test_text_and_ids(build, capsys):
    out, _, tokenizer = build
    show_prompt(out, {"host": "a.h"}, "e <s>he")
    text, ids = shown(capsys)
    assert text == "URL: a.h\n\ne <s>he"
    # One token a byte, `he` merged within the text; text that looks like a special token is no special token.
    assert ids[0] == 257
    assert len(ids) == 1 + len("URL: a.h\n\n") + len("e <s>he") - 1
    assert ids[-1] == 256
    assert 257 not in ids[1:]
    assert tokenizer.decode(ids[1:], skip_special_tokens=False) == text


def test_no_merge_across_the_border(tmp_path, capsys):
    file = tmp_path / "tokenizer.json"
    byte_tokenizer(file)
    settings = settings_of(file)
    condition = {**CONFIG["phases"][0]["condition"], "template": "{host}"}
    settings["config"]["phases"] = [{"name": "conditioned", "condition": condition}]
    numbered_build(tmp_path / "out", {"conditioned": [1]}, 64, **settings)
    show_prompt(tmp_path / "out", {"host": "h"}, "e")
    assert 256 not in shown(capsys)[1]
    show_prompt(tmp_path / "out", {"host": "he"}, "")
    assert shown(capsys)[1] == [257, 256]


def test_tokens_around_the_template(tmp_path, capsys):
    file = tmp_path / "tokenizer.json"
    byte_tokenizer(file)
    settings = settings_of(file)
    condition = {**CONFIG["phases"][0]["condition"], "template": "{host}", "begin": "<m>", "end": "<s>"}
    settings["config"]["phases"] = [{"name": "conditioned", "condition": condition}]
    settings["tokenizer"] |= {"added": {"<m>": 259}, "markers": {"<m>": 259, "<s>": 257}}
    numbered_build(tmp_path / "out", {"conditioned": [1]}, 64, **settings)
    show_prompt(tmp_path / "out", {"host": "he"}, "he<m>")
    text, ids = shown(capsys)
    assert text == "<m>he<s>he<m>"
    assert ids[:5] == [257, 259, 256, 257, 256]
    # The name in the text stays text.
    assert len(ids[5:]) == 3
    assert 259 not in ids[5:]


def test_a_pair(build, capsys):
    out, _, _ = build
    show_pair(out, {"host": "a.h"}, "he")
    *lines, way_text, way_ids = capsys.readouterr().out.splitlines()
    show_prompt(out, {"host": "a.h"}, "he")
    assert lines == capsys.readouterr().out.splitlines()
    assert (way_text, way_ids) == ('unknown text  "URL: unknown\\n\\nhe"', f"unknown ids   {unknown_ids(out, capsys)}")
    show_pair(out, {"host": "a.h"}, "he", way="none")
    assert capsys.readouterr().out.splitlines()[2:] == ['none text  "he"', "none ids   [257, 256]"]


def unknown_ids(out, capsys) -> list[int]:
    show_prompt(out, {}, "he")
    return shown(capsys)[1]


def test_a_terminal_gets_no_escape_codes(build, capsys):
    show_prompt(build[0], {"host": "\x1b[31m"}, "é")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "é" in printed


def test_a_tokenizer_that_moved(build, tmp_path, capsys):
    out, file, _ = build
    file.rename(tmp_path / "moved.json")
    with pytest.raises(BylineError, match=r"tokenizer\.json: cannot be opened .* with --tokenizer FILE"):
        show_prompt(out, {}, "x")
    show_prompt(out, {}, "x", tokenizer_file=str(tmp_path / "moved.json"))
    assert shown(capsys)[0] == "URL: unknown\n\nx"


def test_another_tokenizer(build, tmp_path):
    (tmp_path / "other.json").write_text(build[1].read_text() + "\n")
    with pytest.raises(BylineError, match=r"other\.json: sha256 .* but the build was made with 'tiny' of sha256"):
        show_prompt(build[0], {}, "x", tokenizer_file=str(tmp_path / "other.json"))
