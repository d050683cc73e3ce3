"""Tokens, prefixes and framed documents against literal examples, worked out by hand from docs/formats.md."""

import math
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.reference import layout
from tests.reference.byte_tokens import byte_tokenizer, ids


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def text_only(tokenizer: Tokenizer) -> Tokenizer:
    return layout.as_text_only(Tokenizer.from_str(tokenizer.to_str()))


def test_special_looking_text_is_tokenized_as_text(tokenizer: Tokenizer, text_only: Tokenizer) -> None:
    assert 256 in tokenizer.encode("a<|end|>").ids
    assert layout.tokenize(text_only, "a<|end|>bé") == ids("a<|end|>bé")
    assert layout.tokenize(text_only, "a<tag>b") == [97, 257, 98]


def test_load_tokenizer_reads_a_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert layout.tokenize(layout.load_tokenizer(tmp_path / "tokenizer.json"), "<|end|>") == ids("<|end|>")


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("URL: {host}\n\n", "URL: a.org\n\n"),
        ("{host}{host}|{none}|{absent}", "a.orga.org|?|?"),
        ("{{host}} {{{host}}} }}{{", "{host} {a.org} }{"),
        ("{empty}.", "."),
        ("", ""),
    ],
)
def test_fill(template: str, filled: str) -> None:
    assert layout.fill(template, {"host": "a.org", "none": None, "empty": "", "x": "{host}"}, "?") == filled


def test_fill_does_not_fill_values() -> None:
    assert layout.fill("{x}", {"x": "{host}", "host": "a"}, "?") == "{host}"


@pytest.mark.parametrize("template", ["{", "}", "{host", "{ho st}", "{}", "a } b", "{host!r}", "{0}"])
def test_fill_refuses(template: str) -> None:
    with pytest.raises(ValueError):
        layout.fill(template, {}, "?")


def test_framed_of_each_condition() -> None:
    def marks(prefix: list[int] | None, position: str, bos_id: int | None = 1) -> list[tuple[int, int]]:
        return [(token.id, token.loss) for token in layout.frame([5, 6], prefix, position, bos_id, 2)]

    assert marks(None, "before") == [(1, 1), (5, 1), (6, 1), (2, 1)]
    assert marks([8, 9], "before") == [(1, 0), (8, 0), (9, 0), (5, 1), (6, 1), (2, 1)]
    assert marks([8, 9], "after") == [(1, 1), (5, 1), (6, 1), (8, 1), (9, 1), (2, 1)]
    assert marks([8], "before", bos_id=None) == [(8, 0), (5, 1), (6, 1), (2, 1)]
    # A prefix without tokens is no prefix: its BOS is trained.
    assert marks([], "before") == [(1, 1), (5, 1), (6, 1), (2, 1)]
    assert [token.kind for token in layout.frame([5], [8], "before", 1, None)] == ["bos", "prefix", "doc"]


def test_masked_ranges_are_of_a_documents_own_tokens() -> None:
    def losses(prefix: list[int] | None, position: str, masked: list[tuple[int, int]]) -> list[int]:
        return [token.loss for token in layout.frame([5, 6, 7], prefix, position, 1, 2, masked)]

    assert losses(None, "before", [(0, 1), (2, 3)]) == [1, 0, 1, 0, 1]
    assert losses([8, 9], "before", [(0, 2)]) == [0, 0, 0, 0, 0, 1, 1]
    assert losses([8, 9], "after", [(0, 3)]) == [1, 0, 0, 0, 1, 1, 1]


def test_a_formatted_text_names_tokens_and_trains_spans(text_only: Tokenizer) -> None:
    # <U> é a <end> b: two bytes of é are two tokens, and a cut that names nothing changes nothing here.
    text, special, names = "<U>éa<end>b<U>", [0, 3, 4, 4, 5, 10], {"<U>": 400, "<end>": 401}
    tokens = [400, *ids("éa"), 401, *ids("b<U>")]
    assert layout.tokenize_marked(text_only, text, None, special, names) == (tokens, [])
    assert layout.tokenize_marked(text_only, text, [], special, names) == (tokens, [(0, 9)])
    assert layout.tokenize_marked(text_only, text, [3, 4, 9, 11], special, names) == (tokens, [(0, 1), (3, 4), (6, 9)])
    assert layout.tokenize_marked(text_only, "a<tag>b", [2, 3], None, {}) == ([97, 257, 98], [(0, 1), (2, 3)])


def test_bins_and_top_values() -> None:
    condition = layout.Condition("", top={"h": {"a", "b"}}, bins={"n": [0.5, 0.5, 2], "none": []})

    def known(host: str | None, number: float | None) -> list[str | None]:
        values = layout.known_values(condition, {"h": host, "x": "y"}, {"n": number, "none": number})
        assert values["x"] == "y"
        return [values[name] for name in ("h", "n", "none")]

    assert known("a", 0.5) == ["a", "2", "0"]
    assert known("c", 0.4) == [None, "0", "0"]
    assert known("b", 2) == ["b", "3", "0"]
    assert known(None, None) == known(None, math.nan) == [None, None, None]


def test_markers_belong_to_the_prefix(text_only: Tokenizer) -> None:
    condition = layout.Condition("{a}", unknown="?", begin=400, end=401)
    assert layout.prefix_of(condition, {"a": "12"}, text_only, 8) == ([400, *ids("12"), 401], False)
    assert layout.prefix_of(condition, {"a": "123"}, text_only, 8) == ([400, *ids("?"), 401], True)
    only_begin = layout.Condition("", begin=400)
    assert layout.prefix_of(only_begin, {}, text_only, 8) == ([400], False)
    with pytest.raises(ValueError, match="takes 5 tokens"):
        layout.prefix_of(layout.Condition("123", begin=400, end=401), {}, text_only, 8)


def test_a_prefix_of_more_than_half_a_row_is_replaced(text_only: Tokenizer) -> None:
    condition = layout.Condition("{a}{b}", unknown="?")
    assert layout.prefix_of(condition, {"a": "12", "b": "34"}, text_only, 8) == (ids("1234"), False)
    assert layout.prefix_of(condition, {"a": "12", "b": "34"}, text_only, 9) == (ids("1234"), False)
    assert layout.prefix_of(condition, {"a": "12", "b": "345"}, text_only, 8) == (ids("??"), True)
    with pytest.raises(ValueError, match="takes 10 tokens without any value; half a row is 4"):
        layout.prefix_of(layout.Condition("1234567890"), {}, text_only, 8)
