"""What counts as the same text."""

import sys
from itertools import pairwise

import mmh3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.duplicates.normalizing import FORMS, Form, coarsest, normalized, text_hashes
from tests.reference.duplicates import identity, normal_form
from tests.support.thorough import examples


def hashes_of(texts: pa.Array, form: Form) -> np.ndarray:
    return text_hashes(texts, normalized(texts, form))


def forms_of(texts: list[str], form: Form) -> list[str]:
    borders, data = normalized(pa.array(texts, pa.large_string()), form)
    return [bytes(data[begin:end]).decode() for begin, end in pairwise(borders)]


@pytest.mark.parametrize(
    ("text", "normal", "simplified"),
    [
        ("Café —  No. 1,250!\n", "cafe no 1250", "cafe no 0"),
        ("Cafe\u0301 no 1250", "cafe no 1250", "cafe no 0"),
        ("", "", ""),
        (" . \n", "", ""),
        ("It's 3.14; re-use it", "its 314 reuse it", "its 0 reuse it"),
        ("\u00a0А\u0306й\u3000İIı", "аи iiı", "аи iiı"),
        ("zero\u200bwidth soft\u00adhyphen \ufeffbom", "zerowidth softhyphen bom", "zerowidth softhyphen bom"),
        ("１２ ٣٤ 5½", "１２ ٣٤ 5½", "0 0 0½"),
        ("x² Ωhm \u212a \ud55c\uae00", "x² ωhm k \ud55c\uae00", "x² ωhm k \ud55c\uae00"),
        ("A\U0001f600 \U0001d400 ꟽ", "a\U0001f600 \U0001d400 ꟽ", "a\U0001f600 \U0001d400 ꟽ"),
    ],
)
def test_forms(text: str, normal: str, simplified: str) -> None:
    assert [forms_of([text], form) for form in FORMS] == [[text], [normal], [simplified]]
    assert [normal_form(text, form) for form in FORMS] == [text, normal, simplified]


@pytest.mark.parametrize("form", FORMS)
def test_every_character_is_as_in_the_reference_and_no_longer(form: Form) -> None:
    characters = [chr(point) for point in range(0x11000) if not 0xD800 <= point < 0xE000]
    texts = [f"a{character}b{character}" for character in characters]
    assert forms_of(texts, form) == [normal_form(text, form) for text in texts]
    alone = forms_of(characters, form)
    assert all(len(one.encode()) <= len(other.encode()) for one, other in zip(alone, characters, strict=True))


@examples(300)
@given(st.lists(st.text(max_size=30)), st.sampled_from(FORMS), st.integers(0, 3))
def test_forms_are_those_of_the_reference_wherever_a_batch_is_cut(texts: list[str], form: Form, cut: int) -> None:
    array = pa.array([*["x!"] * cut, *texts], pa.large_string()).slice(cut)
    borders, data = normalized(array, form)
    expected = [normal_form(text, form) for text in texts]
    assert [bytes(data[a:b]).decode() for a, b in pairwise(borders)] == expected
    hashes = hashes_of(array, form)
    assert np.array_equal(hashes, hashes_of(pa.array(texts, pa.large_string()), form))
    same = {(identity(one, form), tuple(pair)) for one, pair in zip(texts, hashes.tolist(), strict=True)}
    assert len(same) == len({one for one, _ in same}) == len({pair for _, pair in same})


@given(st.text())
def test_a_coarser_form_tells_no_two_texts_apart_that_are_the_same(text: str) -> None:
    for finer, coarser in (("exact", "text"), ("text", "simplified")):
        assert normal_form(normal_form(text, finer), coarser) == normal_form(text, coarser)
    assert coarsest("exact", "simplified", "text") == "simplified"


@given(st.lists(st.binary(max_size=40).map(lambda data: data.decode("latin-1"))))
def test_hashes_are_murmur3(texts: list[str]) -> None:
    expected = [mmh3.hash64(text.encode(), seed=0 if text else 1, signed=False) for text in texts]
    assert hashes_of(pa.array(texts, pa.large_string()), "exact").tolist() == [list(pair) for pair in expected]


def test_documents_of_which_nothing_is_left() -> None:
    texts = pa.array(["...", "—", "...", ""], pa.large_string())
    hashes = [tuple(pair) for pair in hashes_of(texts, "text").tolist()]
    assert hashes[0] == hashes[2] == mmh3.hash64(b"...", seed=1, signed=False)
    assert len(set(hashes)) == 3


def test_old_categories_do_not_depend_on_the_python() -> None:
    assert __import__("unicodedata").ucd_3_2_0.unidata_version == "3.2.0", sys.version
