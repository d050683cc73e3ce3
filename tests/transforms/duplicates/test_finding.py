"""Which documents are kept: by hand, against the slow reference, and in any order."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.duplicates.deciding import (
    KEPT,
    REMOVED,
    UNKNOWN,
    Ranks,
    band_pairs,
    lowest_of_groups,
    settle,
)
from byline.transforms.duplicates.finding import find_duplicates
from byline.transforms.duplicates.normalizing import FORMS
from byline.transforms.duplicates.presets import PRESETS
from tests.reference.duplicates import KINDS, identity, kept_instead, similar_pairs
from tests.support.thorough import examples
from tests.transforms.duplicates.corpora import planted


def in_order(count: int) -> Ranks:
    return Ranks(np.zeros(count, np.int64), np.arange(count, dtype=np.uint64), np.arange(count, dtype=np.uint64))


def instead(texts: list[str], ranks: Ranks, *settings: object) -> list[int]:
    return find_duplicates(pa.array(texts, pa.large_string()), ranks, *settings).tolist()


def test_the_lowest_of_a_group_is_of_the_first_source_then_by_shuffle_key_then_by_number() -> None:
    ranks = Ranks(np.array([1, 0, 0, 0, 0]), np.array([0, 2**63, 5, 5, 9], np.uint64), np.arange(5, dtype=np.uint64))
    assert lowest_of_groups(np.array([7, 7, 8, 8, 9], np.uint64), ranks).tolist() == [1, 1, 2, 2, 4]
    pairs = np.array([[7, 0], [7, 0], [7, 1], [7, 0], [7, 1]], np.uint64)
    assert lowest_of_groups(pairs, ranks).tolist() == [3, 3, 2, 3, 2]
    assert lowest_of_groups(pairs[:0], ranks.take(np.arange(0))).tolist() == []


def test_a_band_makes_pairs_of_its_lowest_document_alone() -> None:
    count = 100_000
    documents = np.concatenate([np.arange(count), np.arange(count)])
    bands = np.repeat(np.array([3, 4], np.uint64), count)
    followers, leaders, members = band_pairs(bands, documents, in_order(count))
    assert (members == count).all()
    assert np.array_equal(followers, np.arange(1, count))
    assert not leaders.any()


def test_no_chain_removes_what_is_not_similar_to_what_is_kept() -> None:
    # 1 is similar to 0, 2 to 1, 3 to 2; 4 to 3 and 0.
    followers, leaders = np.array([1, 2, 3, 4, 4]), np.array([0, 1, 2, 0, 3])
    known = np.array([KEPT, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN])
    states, because = settle(followers, leaders, known)
    assert states.tolist() == [KEPT, REMOVED, KEPT, REMOVED, REMOVED]
    assert because.tolist() == [-1, 0, -1, 2, 0]


def test_what_cannot_be_said_yet() -> None:
    followers, leaders = np.array([1, 2, 3, 3]), np.array([0, 1, 0, 2])
    states, because = settle(followers, leaders, np.array([UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]))
    assert states.tolist() == [UNKNOWN] * 4
    followers, leaders = np.array([2, 2, 3]), np.array([0, 1, 0])
    states, because = settle(followers, leaders, np.array([UNKNOWN, KEPT, UNKNOWN, UNKNOWN]))
    assert states.tolist() == [UNKNOWN, KEPT, REMOVED, UNKNOWN]
    assert because.tolist() == [-1, -1, 1, -1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("preset", [None, *PRESETS])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_kept_is_as_in_the_reference(preset: str | None, form: str, seed: int) -> None:
    texts = planted(seed, 12)
    similarity = Fraction(7, 10)
    found = instead(texts, in_order(len(texts)), form, PRESETS.get(preset), similarity)
    assert found == kept_instead(texts, form, KINDS.get(preset), similarity)


@examples(30)
@given(st.integers(0, 10**6), st.sampled_from(sorted(PRESETS)), st.sampled_from(FORMS))
def test_nothing_is_removed_that_is_not_similar_to_what_is_kept(seed: int, preset: str, form: str) -> None:
    texts = planted(seed, 8, sizes=(1, 60))
    found = instead(texts, in_order(len(texts)), form, PRESETS[preset])
    similar = similar_pairs(texts, KINDS[preset], form, PRESETS[preset].similarity)
    for document, kept in enumerate(found):
        assert found[kept] == kept <= document
        same = identity(texts[document], form) == identity(texts[kept], form)
        assert same or (document, kept) in similar
    firsts: dict[tuple[str, bool], int] = {}
    for document, text in enumerate(texts):
        assert found[firsts.setdefault(identity(text, form), document)] == found[document]


@examples(30)
@given(st.integers(0, 10**6), st.sampled_from(sorted(PRESETS)))
def test_the_order_of_documents_changes_nothing(seed: int, preset: str) -> None:
    texts = planted(seed, 8, sizes=(1, 60))
    rng = np.random.default_rng(seed)
    count = len(texts)
    keys = rng.integers(0, 3, count).astype(np.uint64)
    ranks = Ranks(rng.integers(0, 2, count), keys, np.arange(count, dtype=np.uint64))
    found = instead(texts, ranks, "text", PRESETS[preset])
    order = rng.permutation(count)
    mixed = instead([texts[number] for number in order], ranks.take(order), "text", PRESETS[preset])
    assert {int(order[one]): int(order[kept]) for one, kept in enumerate(mixed)} == dict(enumerate(found))


def test_planted_copies() -> None:
    texts = planted(3, 60, sizes=(150, 300))
    for name, preset in PRESETS.items():
        found = instead(texts, in_order(len(texts)), "text", preset)
        similar = similar_pairs(texts, KINDS[name], "text", preset.similarity)
        followers = {one for one, _ in similar}
        removed = {one for one in followers if found[one] != one}
        assert len(removed) > 0.9 * len(followers), name


def test_a_thousand_equal_pages_and_as_many_that_differ_in_a_word() -> None:
    page = " ".join(f"word {number}" for number in range(400))
    texts = [page] * 1000 + [f"{page} {number}" for number in range(1000)]
    assert set(instead(texts, in_order(2000), "text", PRESETS["strict"])) == {0}


def test_nothing_is_fine() -> None:
    assert instead([], in_order(0), "text", PRESETS["nemo"]) == []
    assert instead(["", "..."], in_order(2), "text", PRESETS["nemo"]) == [0, 1]
