"""Exact similarity."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.duplicates.jaccard import are_similar, shared_shingles
from byline.transforms.duplicates.normalizing import normalized
from byline.transforms.duplicates.shingles import Sets, Shingling, shingle_sets
from tests.reference.duplicates import jaccard, ngrams


def test_what_two_documents_share() -> None:
    sets = Sets(np.array([0, 4, 7, 7]), np.array([1, 2, 5, 9, 2, 5, 7], np.uint64))
    shared, together = shared_shingles(sets, np.array([0, 1, 2, 2]), np.array([1, 1, 0, 2]))
    assert (shared.tolist(), together.tolist()) == ([2, 3, 0, 0], [5, 3, 4, 0])
    assert are_similar(shared, together, Fraction(2, 5)).tolist() == [True, True, False, False]
    assert are_similar(shared, together, Fraction("0.400001")).tolist() == [False, True, False, False]


@given(st.lists(st.text(st.sampled_from("abc"), max_size=12), min_size=2, max_size=5), st.integers(1, 4))
def test_similarities_are_those_of_the_reference(texts: list[str], size: int) -> None:
    sets = shingle_sets(normalized(pa.array(texts, pa.large_string()), "exact"), Shingling(size, "characters"))
    firsts, seconds = np.divmod(np.arange(len(texts) ** 2), len(texts))
    shared, together = shared_shingles(sets, firsts, seconds)
    slow = [set(ngrams(text, size, "characters")) for text in texts]
    expected = [jaccard(slow[one], slow[other]) for one, other in zip(firsts, seconds, strict=True)]
    assert [Fraction(int(a), max(int(b), 1)) for a, b in zip(shared, together, strict=True)] == expected
