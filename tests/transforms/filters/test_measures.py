"""What rules measure: by hand, and against the slow reference."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.filters import document_view
from byline.transforms.filters.document_view import DocumentView, blocks
from byline.transforms.filters.every_rule import GROUPS, RULES
from byline.transforms.filters.marks import alphabetic_words
from byline.transforms.filters.rules import Bounds, read_settings
from tests.reference import filters as reference
from tests.support.thorough import examples


def view(*texts: str | None) -> DocumentView:
    return DocumentView(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def measured(rule: str, text: str | None, **given_settings: object) -> float:
    made = read_settings(RULES[rule], {"at_least": 0, **given_settings})
    assert isinstance(made, Bounds)
    return made.measure(view("in front.", text, "Behind\n"))[1]


@pytest.mark.parametrize(
    ("rule", "text", "number"),
    [
        ("characters", "naïve 😀", 7),
        ("characters", None, 0),
        ("words", " One  two.\r\n\u3000three\u00a0four\u200bfive ", 4),
        ("gopher_word_length", "aa bbbb", 3),
        ("gopher_word_length", " ", 0),
        ("gopher_hashes", "# a ## b", 3 / 4),
        ("gopher_ellipses", "Well... …. ......", 4 / 3),
        ("gopher_bullet_lines", "- a\n • b\n\nc\n* d", 2 / 4),
        ("gopher_ellipsis_lines", "a...\r\nb… \n..\n.", 2 / 4),
        ("gopher_alphabetic_words", "42 a1 -- ß 漢", 3 / 5),
        ("gopher_stop_words", 'The end (of) "THE" way: other', 2),
        ("gopher_duplicate_lines", "a\nb\r\n a\na\n\n", 2 / 4),
        ("gopher_duplicate_line_characters", "ab\ncd\nab\n", 2 / 9),
        ("gopher_duplicate_paragraphs", "a\nb\n\nc\n \na\nb\n", 1 / 3),
        ("gopher_duplicate_paragraph_characters", "a\nb\n\na\nb", 3 / 8),
        ("c4_sentences", 'One. Two! "Three?" (Four.) Five', 4),
        ("c4_sentences", "一。二！三 four...", 3),
        ("fineweb_line_punctuation", "A.\nB\n“C”\n“D!”", 3 / 4),
        ("fineweb_duplicate_line_characters", "ab\n ab\nabc", 2 / 7),
        ("fineweb_short_lines", "a" * 30 + "\n" + "b" * 29, 1 / 2),
    ],
)
def test_a_measure_by_hand(rule, text, number):
    assert measured(rule, text) == number


@pytest.mark.parametrize(
    ("rule", "size", "text", "characters"),
    [
        ("gopher_top_ngram", 2, "a b a b c", 6),  # "a b" twice
        ("gopher_top_ngram", 2, "a b c d", 0),  # nothing comes again
        ("gopher_top_ngram", 3, "a a a a", 10),  # "a a a" twice, one over the other
        ("gopher_top_ngram", 2, "long er x long er a b a b", 14),  # of two as frequent, the first
        ("gopher_duplicate_ngrams", 5, "a b c d e f a b c d e f", 5),  # then "f" is left
        ("gopher_duplicate_ngrams", 5, "a b c d e f a b c d x f", 0),
        ("gopher_duplicate_ngrams", 6, "a b c d e f a b c d e f a b c d e f", 12),
    ],
)
def test_ngrams_by_hand(rule, size, text, characters):
    assert measured(rule, text, size=size) == characters / len(text)


WORDS = ["a", "b", "ab", "The", "the,", "of", "#", "...", "…", "•", "-", "é", "漢字。", "end.", '"q!"', "1", "_", "\0"]
SPACES = [" ", "  ", "\n", "\r\n", "\n\n", "\n \n", "\t", "\u3000", "\u2028", "\x85", "\xa0", "\x1f", "\r"]
TEXTS = st.lists(st.sampled_from(WORDS) | st.sampled_from(SPACES), max_size=60).map("".join) | st.lists(
    st.sampled_from(["a", "b", "c"]), max_size=60
).map(" ".join)
CASES = [
    *((rule, {}) for rule in ("characters", "words")),
    *((rule.kind, settings) for group in GROUPS.values() for rule, settings in group if issubclass(rule, Bounds)),
    ("fineweb_short_lines", {"length": 3}),
    ("fineweb_line_punctuation", {"marks": "é。a"}),
    ("gopher_stop_words", {"words": ["É", "ab", "Of"]}),
]


@examples(60)
@given(st.lists(TEXTS | st.text(max_size=40) | st.none(), max_size=5))
def test_measures_are_those_of_the_reference(texts):
    documents = view(*texts)
    for rule, given_settings in CASES:
        made = read_settings(RULES[rule], {"at_least": 0, **given_settings})
        numbers = [reference.measure(rule, given_settings, text or "") for text in texts]
        assert made.measure(documents).tolist() == numbers, (rule, given_settings)


@examples(100)
@given(st.lists(st.sampled_from(["xy", "abcdefgh", "abcdefgi", "abcdefghi", "abcdefghj", "é" * 9]), max_size=40))
def test_words_of_every_length_are_told_apart(words):
    text = " ".join(words)
    for size in (2, 5):
        rule = "gopher_top_ngram" if size == 2 else "gopher_duplicate_ngrams"
        assert measured(rule, text, size=size) == reference.measure(rule, {"size": size}, text)


def test_the_defaults_are_the_published_ones():
    for name, bounds in reference.PUBLISHED.items():
        ((rule, given_settings),) = [
            (rule, given_settings)
            for group in GROUPS.values()
            for rule, given_settings in group
            if given_settings.get("name", rule.kind) == name
        ]
        made = read_settings(rule, given_settings)
        assert isinstance(made, Bounds)
        assert {"at_least": made.at_least, "at_most": made.at_most} == {"at_least": None, "at_most": None, **bounds}


def test_blocks_are_the_batch_and_hold_a_document_at_least(monkeypatch):
    monkeypatch.setattr(document_view, "BLOCK_BYTES", 4)
    texts = ["aaaaaaaaaa", None, "b", "cc", "", "dddd"]
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    parts = [block["text"].to_pylist() for block in blocks(batch)]
    assert [text for part in parts for text in part] == texts
    assert [len(part) for part in parts] == [3, 2, 1]
    assert [block.num_rows for block in blocks(batch.slice(0, 0))] == [0]


def test_a_slice_is_measured_alone():
    batch = pa.record_batch({"text": pa.array(["a a", "b", "c c c"], pa.large_string())})
    assert DocumentView(batch.slice(1)).words.counts.tolist() == [1, 3]
    assert DocumentView(batch.slice(1, 1)).characters.tolist() == [1]


def test_white_space_is_pythons():
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    text = "x".join(points)
    words = view(text).words
    data = text.encode()
    found = [data[begin:end].decode() for begin, end in zip(words.begins, words.ends, strict=True)]
    assert found == text.split()
    assert words.lengths.tolist() == [len(word) for word in found]


def test_letters_are_pythons():
    words = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000 and not chr(point).isspace()]
    expected = [char.isalpha() for char in words]
    documents = view(*words)
    assert alphabetic_words(documents.data, documents.words).tolist() == [int(flag) for flag in expected]
