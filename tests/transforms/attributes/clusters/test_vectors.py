"""Features, their weights, vectors and the nearest centres: by hand, and against floats of plain Python."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.attributes.clusters.features import (
    LOG_BITS,
    Features,
    bucket_documents,
    bucket_weights,
    features_of,
    log2_fixed,
)
from byline.transforms.attributes.clusters.vectors import LENGTH, SQUARE, nearest, scale_columns, vectors_of
from tests.reference import clusters as reference
from tests.support.thorough import examples

BITS = 12


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.large_string())


def test_logarithms_are_floors():
    values = np.array([1, 2, 3, 4, 255, 256, 257, 10**6, 2**40 - 1, 2**40])
    # Exact, by powers of whole numbers.
    exact = [(int(value) ** (1 << LOG_BITS)).bit_length() - 1 for value in values]
    assert log2_fixed(values).tolist() == exact


@examples(100)
@given(st.lists(st.integers(1, 2**31), max_size=20))
def test_logarithms_are_those_of_whole_numbers(values):
    exact = [(value ** (1 << LOG_BITS)).bit_length() - 1 for value in values]
    assert np.abs(log2_fixed(np.array(values, np.int64)) - exact).max(initial=0) <= 1


def test_features_by_hand():
    features = features_of(texts("Butter, butter and salt", None, "", "Salt " * 300), BITS)
    assert features.offsets.tolist() == [0, 3, 3, 3, 4]
    assert features.counts.tolist() == [2, 1, 1, 255]
    assert features.buckets[2] == features.buckets[3]
    assert len(set(features.buckets.tolist())) == 3


def test_features_do_not_depend_on_where_a_batch_is_cut():
    values = texts("one two", "three", None, "two one one")
    whole = features_of(values, BITS)
    parts = [features_of(values.slice(row, 1), BITS) for row in range(4)]
    assert whole.buckets.tolist() == [bucket for part in parts for bucket in part.buckets.tolist()]
    assert whole.counts.tolist() == [count for part in parts for count in part.counts.tolist()]
    assert np.diff(whole.offsets).tolist() == [int(part.offsets[-1]) for part in parts]


def test_what_is_in_all_documents_weighs_least():
    documents = np.array([0, 1, 7, 15])
    assert bucket_weights(documents, 15).tolist() == [4 * 256, 3 * 256, 256, 1]


def test_a_vector_by_hand():
    features = Features(np.array([0, 2, 2]), np.array([5, 2], np.uint32), np.array([1, 2], np.uint8))
    weights = np.ones(8, np.int32)
    weights[[5, 2]] = 300, 200
    vectors = vectors_of(features, weights)
    assert vectors.values.tolist() == [round(LENGTH * 0.6), round(LENGTH * 0.8)]
    # 300 : 200 * 2 = 3 : 4


@examples(60)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "Cc", "dd", "ee", "漢"]), max_size=30), min_size=4, max_size=12))
def test_cosines_are_those_of_floats(documents):
    values = texts(*(" ".join(words) for words in documents))
    features = features_of(values, BITS)
    vectors = vectors_of(features, bucket_weights(bucket_documents(features, BITS), len(documents)))
    buckets = {word: int(features_of(texts(word), BITS).buckets[0]) for word in ("a", "b", "cc", "dd", "ee", "漢")}
    assert len(set(buckets.values())) == len(buckets)
    as_buckets = [[buckets[word.lower()] for word in words] for words in documents]
    weights = reference.weights_of(as_buckets, buckets.values())
    slow = [reference.vector_of(document, weights) if document else {} for document in as_buckets]
    groups = [[one for one in slow[start::2] if one] for start in (0, 1)]
    if not all(groups):
        return
    sums = np.zeros((1 << BITS, 2), np.int64)
    for row in range(len(documents)):
        features_of_row = slice(vectors.offsets[row], vectors.offsets[row + 1])
        sums[vectors.buckets[features_of_row], row % 2] += vectors.values[features_of_row]
    centres = np.zeros(sums.shape, np.int16)
    scale_columns(sums, centres)
    numbers, products = nearest(*vectors, centres)
    for row, vector in enumerate(slow):
        cosines = [reference.cosine(vector, reference.mean(group)) for group in groups]
        # A logarithm is known to 1/256, which weighs most for a bucket that nearly all documents have.
        if not vector:
            assert numbers[row] == -1
            continue
        assert products[row] / SQUARE == pytest.approx(max(cosines), abs=0.02)
        if abs(cosines[0] - cosines[1]) > 0.04:
            assert numbers[row] == int(np.argmax(cosines))


def test_ties_go_to_the_first_centre_and_no_words_to_none():
    features = Features(np.array([0, 1, 1, 2]), np.array([1, 0], np.uint32), np.array([1, 1], np.uint8))
    vectors = vectors_of(features, np.ones(2, np.int32))
    centres = np.array([[0, 0, LENGTH], [LENGTH, LENGTH, 0]], np.int16)
    numbers, products = nearest(*vectors, centres)
    assert numbers.tolist() == [0, -1, 2]
    assert products.tolist() == [SQUARE, 0, SQUARE]


def test_columns_of_any_size_are_scaled():
    sums = np.array([[3, 0, 3 << 50], [4, 0, 4 << 50]], np.int64)
    centres = np.full((2, 3), 7, np.int16)
    lengths = scale_columns(sums, centres)
    assert centres[:, 1].tolist() == [7, 7]
    assert centres[:, 2].tolist() == [round(LENGTH * 0.6), round(LENGTH * 0.8)]
    assert lengths[1] == 0
    small = np.zeros((2, 1), np.int16)
    assert scale_columns(sums[:, :1].copy(), small).tolist() == [5]
    assert small[:, 0].tolist() == centres[:, 2].tolist()
    assert math.hypot(*small[:, 0].tolist()) == pytest.approx(LENGTH, rel=1e-4)
