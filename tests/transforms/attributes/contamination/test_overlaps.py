"""Overlaps with evaluation items: literally, and against all n-grams as tuples of words."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.attributes.contamination import ngrams, overlaps, words
from byline.transforms.attributes.contamination.ngrams import EvaluationNgrams, make_ngrams
from byline.transforms.attributes.contamination.overlaps import Overlaps, find_overlaps
from byline.transforms.attributes.contamination.words import hash_words, normalize_words
from byline.transforms.documents.text_parts import text_buffers
from tests.reference import overlaps as reference
from tests.support.thorough import examples

ITEM = "Natalia sold 48 clips to her friends in April; then she sold half as many in May. How many in all?"


def evaluation(items: list[str], size: int = 13, least: int = 8) -> EvaluationNgrams:
    texts = pa.array(["é", *items], pa.large_string()).slice(1)
    borders, data = text_buffers(texts)
    return make_ngrams(data, hash_words(data, borders), size, least)


def overlaps_of(documents: list[str], made: EvaluationNgrams) -> Overlaps:
    result = find_overlaps(pa.array(["é", *documents], pa.large_string()).slice(1), made.table)
    result.ranges.validate(full=True)
    return result


def covered_text(document: str, made: EvaluationNgrams) -> list[str]:
    borders = overlaps_of([document], made).ranges[0].as_py()
    return [document[start:stop] for start, stop in zip(borders[::2], borders[1::2], strict=True)]


def items_of(result: Overlaps, made: EvaluationNgrams, row: int) -> set[int]:
    matches = result.matches[result.offsets[row] : result.offsets[row + 1]]
    return {item for at in matches for item in made.items[made.offsets[at] : made.offsets[at + 1]].tolist()}


# -------------------------------------------------------------------------------------------------------- literally


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ('It\'s 3.50,  "Said" -- HE...', ["its", "350", "said", "he"]),
        ("ÉCOLE\u3000«Ångström»\u2028x\u00a0— ΣΑΣ", ["école", "ångström", "x", "σασ"]),
        ("İ ß ＡＢ 中文 😀 a\u0301", ["İ", "ß", "ａｂ", "中文", "a\u0301"]),
        (" ... \n\t", []),
        ("", []),
    ],
)
def test_words(text: str, normal: list[str]) -> None:
    assert [word.normal for word in reference.words_of(text)] == normal
    data = np.frombuffer(text.encode() or b"\0", np.uint8)
    split = hash_words(data, np.array([0, len(text.encode())]))
    points, starts = normalize_words(data, split)
    assert ["".join(map(chr, points[starts[at] : starts[at + 1]])) for at in range(len(starts) - 1)] == normal


def test_every_code_point() -> None:
    codes = words.normal_codes()
    for point in [*range(0x3000), *range(0x3000, 0x110000, 7)]:
        character = chr(point)
        split = [] if 0xD800 <= point < 0xE000 else reference.words_of(character)
        if split:
            assert chr(codes[point]) == split[0].normal, hex(point)
        else:
            assert codes[point] < 0 or 0xD800 <= point < 0xE000, hex(point)


def test_a_planted_item_is_covered_from_its_first_to_its_last_word() -> None:
    made = evaluation([ITEM])
    assert covered_text(f"Problem 5.\n\n{ITEM}\n\nAnswer: 72", made) == [ITEM]
    # In other white space, case and punctuation.
    loose = ITEM.upper().replace(" ", "\n  ").replace(";", " --")
    assert covered_text(f"“{loose}”", made) == [f"“{loose}”"]


def test_n_words_are_covered_and_n_minus_one_are_not() -> None:
    made, parts = evaluation([ITEM]), ITEM.split()
    inside = " ".join(parts[3:16])
    assert covered_text(f"He said: {inside} fell.", made) == [inside]
    assert covered_text(f"He said: {' '.join(parts[3:15])} fell.", made) == []


def test_text_behind_a_changed_word_is_a_range_of_its_own() -> None:
    made = evaluation(["a b c d e f"], size=2, least=2)
    assert covered_text("x a b. c X d (e) f x", made) == ["a b. c", "d (e) f"]
    # Ranges of two n-grams that follow each other do not touch.
    assert covered_text("a b e f", made) == ["a b", "e f"]


def test_a_short_item_is_one_ngram_or_not_checked() -> None:
    made = evaluation(["one two three four", "five six", "...", "a b c d e f g"], size=5, least=3)
    assert made.is_checked.tolist() == [True, False, False, True]
    assert made.table.sizes.tolist() == [4, 5]
    assert covered_text("zero one two three four five six", made) == ["one two three four"]
    assert covered_text("one two three", made) == []
    # A longer n-gram that ends later may begin earlier.
    both = evaluation(["b c", "a b c d"], size=4, least=2)
    assert covered_text("a b c d", both) == ["a b c d"]
    assert overlaps_of(["a b c d"], both).covered.tolist() == [4]


def test_items_of_each_ngram() -> None:
    made = evaluation(["a b c", "b c d", "b c", "b c b c"], size=2, least=2)
    result = overlaps_of(["b c", "x", "c d"], made)
    matched = [
        sorted(
            {item for at in result.matches[low:high] for item in made.items[made.offsets[at] : made.offsets[at + 1]]}
        )
        for low, high in zip(result.offsets[:-1], result.offsets[1:], strict=True)
    ]
    assert matched == [[0, 1, 2, 3], [], [1]]


def test_without_items_or_documents() -> None:
    assert overlaps_of(["a b"], evaluation([])).ranges.to_pylist() == [[]]
    assert overlaps_of(["a b"], evaluation(["a"])).words.tolist() == [2]
    assert overlaps_of([], evaluation([ITEM])).ranges.to_pylist() == []
    assert overlaps_of(["", " "], evaluation([ITEM])).words.tolist() == [0, 0]


def test_unrelated_text_is_untouched() -> None:
    made = evaluation([ITEM])
    unrelated = "She sold clips in April. How many friends in May? " * 50
    assert covered_text(unrelated, made) == []


def test_words_are_compared_where_all_hashes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of n-grams with one hash each is one of its own, and no other words are taken for one of them."""
    real = hash_words

    def collided(data: np.ndarray, borders: np.ndarray) -> words.Words:
        split = real(data, borders)
        return split._replace(hashes=np.ones_like(split.hashes))

    monkeypatch.setattr(overlaps, "hash_words", collided)
    texts = pa.array(["a b c d", "a b", "x y"], pa.large_string())
    borders, data = text_buffers(texts)
    made = make_ngrams(data, collided(data, borders), 2, 2)
    assert len(made.table.hashes) == len(made.offsets) - 1 == 4
    assert len(set(made.table.hashes.tolist())) == 1
    assert covered_text("b a b e x y d c", made) == ["a b", "x y"]


# --------------------------------------------------------------------------------------------- against the reference

PIECES = ("a", "b", "B", "b.", "c", "É", "é!", "中", "--", "'", "1", "aa", "a-a", "ß")
SPACES = (" ", "  ", "\n", "\u3000", " \t")


@st.composite
def texts(draw: st.DrawFn, most: int = 12) -> str:
    text = draw(st.sampled_from(["", " "]))
    for piece in draw(st.lists(st.sampled_from(PIECES), max_size=most)):
        text += piece + draw(st.sampled_from(SPACES))
    return text if draw(st.booleans()) else text.rstrip()


@given(st.lists(texts(), max_size=4), st.lists(texts(24), max_size=4), st.integers(1, 4), st.integers(0, 4))
@examples(300)
def test_against_tuples_of_words(items: list[str], documents: list[str], size: int, least: int) -> None:
    made = evaluation(items, size, least)
    slow = reference.ngrams_of(items, size, least)
    assert len(made.offsets) - 1 == len(slow)
    result = overlaps_of(documents, made)
    for row, document in enumerate(documents):
        matches = result.matches[result.offsets[row] : result.offsets[row + 1]]
        items_of_row = items_of(result, made, row)
        given = (result.words[row], result.covered[row], result.ranges[row].as_py(), items_of_row, len(matches))
        assert given == reference.overlap_of(document, slow)


def test_many_ngrams_fill_the_table_and_its_bits() -> None:
    random = np.random.default_rng(5)
    items = [" ".join(map(str, random.integers(0, 50, 40))) for _ in range(200)]
    made, slow = evaluation(items, 3, 2), reference.ngrams_of(items, 3, 2)
    assert len(made.table.hashes) == len(slow)
    assert np.unpackbits(made.table.bits).mean() < 0.2
    documents = [" ".join(map(str, random.integers(0, 50, 60))) for _ in range(50)]
    result = overlaps_of(documents, made)
    for row, document in enumerate(documents):
        assert result.ranges[row].as_py() == reference.overlap_of(document, slow).ranges
    assert ngrams.bit_shift(64) == 64 - 9
