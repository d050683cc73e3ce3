"""Centres: planted topics are told apart, by any seed; few, equal and empty documents."""

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from byline.splitmix import splitmix64
from byline.transforms.attributes.clusters.centres import Centres, find_centres
from byline.transforms.attributes.clusters.features import bucket_documents, bucket_weights, features_of
from byline.transforms.attributes.clusters.merging import merge_clusters
from byline.transforms.attributes.clusters.telling_words import labels, telling_words, word_scores
from byline.transforms.attributes.clusters.vectors import LENGTH, SQUARE, Vectors, nearest, vectors_of
from tests.reference import clusters as reference

BITS = 12
TOPICS = {
    "bread": ["knead", "dough", "oven", "flour", "yeast", "crust", "loaf", "butter"],
    "sport": ["goal", "team", "coach", "match", "league", "score", "season", "player"],
    "stars": ["planet", "orbit", "galaxy", "telescope", "comet", "moon", "light", "sky"],
}
COMMON = ["the", "and", "with", "for", "was", "that"]


def hashed(*numbers: int) -> int:
    value = np.zeros(1, np.uint64)
    for number in numbers:
        value = splitmix64(value ^ np.uint64(number))
    return int(value[0])


@functools.lru_cache
def planted(documents: int) -> tuple[list[str], np.ndarray]:
    """Texts of three topics, each half common words, and the topic of each."""
    topics, texts = np.array([hashed(1, row) % 3 for row in range(documents)]), []
    for row, topic in enumerate(topics.tolist()):
        vocabulary = list(TOPICS.values())[topic]
        words = [
            (COMMON if word % 2 else vocabulary)[hashed(2, row, word) % (6 if word % 2 else 8)]
            for word in range(20 + hashed(3, row) % 30)
        ]
        texts.append(" ".join(words))
    return texts, topics


def vectors_from(texts: Sequence[str | None]) -> Vectors:
    features = features_of(pa.array(texts, pa.large_string()), BITS)
    return vectors_of(features, bucket_weights(bucket_documents(features, BITS), len(texts)))


def centres_from(texts: Sequence[str | None], number: int, seed: int = 0) -> Centres:
    return find_centres(vectors_from(texts), 1 << BITS, number, 5, seed)


@pytest.mark.parametrize("seed", range(5))
def test_planted_topics_are_told_apart(seed):
    texts, topics = planted(600)
    centres = centres_from(texts, 3, seed)
    numbers, products = nearest(*vectors_from(texts), centres.columns)
    assert len({(topic, number) for topic, number in zip(topics, numbers, strict=True)}) == 3
    assert centres.documents.tolist() == sorted(np.bincount(topics).tolist(), reverse=True)
    assert (products > SQUARE // 2).all()


def test_what_tells_planted_topics():
    texts, topics = planted(600)
    order = {name: number for number, name in enumerate(TOPICS)}
    words = telling_words(pa.array(texts, pa.large_string()), topics, 3, 8)
    for name, number in order.items():
        assert sorted(words[number]) == sorted(TOPICS[name])
    assert labels(words)[0] == "-".join(["00", *words[0][:3]])


def test_more_documents_of_a_topic_make_a_lower_number():
    texts = ["knead dough"] * 3 + ["goal team"] * 5
    centres = centres_from(texts, 2)
    assert centres.documents.tolist() == [5, 3]
    assert nearest(*vectors_from(texts), centres.columns)[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def test_fewer_documents_than_clusters():
    texts = ["knead dough", "goal team", "planet orbit"]
    centres = centres_from(texts, 24)
    assert centres.documents.tolist() == [1, 1, 1]
    numbers, products = nearest(*vectors_from(texts), centres.columns)
    assert sorted(numbers.tolist()) == [0, 1, 2]
    assert products / SQUARE == pytest.approx(1, abs=1e-3)


def test_equal_documents_are_one_cluster():
    texts = ["The same words"] * 50
    centres = centres_from(texts, 5)
    assert centres.documents.tolist() == [50]
    assert nearest(*vectors_from(texts), centres.columns)[0].tolist() == [0] * 50


@pytest.mark.parametrize("texts", [[], [None, "", "123 !"]])
def test_without_words_there_are_no_clusters(texts):
    centres = centres_from(texts, 3)
    assert centres.columns.shape == (1 << BITS, 0)
    assert centres.documents.tolist() == []


def test_documents_without_words_change_nothing():
    texts, _ = planted(100)
    features = features_of(pa.array(texts, pa.large_string()), BITS)
    weights = bucket_weights(bucket_documents(features, BITS), len(texts))
    sparse: list[str | None] = [item for text in texts for item in (None, text, "")]
    thin = vectors_of(features_of(pa.array(sparse, pa.large_string()), BITS), weights)
    one = find_centres(vectors_of(features, weights), 1 << BITS, 3, 5, 0)
    other = find_centres(thin, 1 << BITS, 3, 5, 0)
    assert np.array_equal(one.columns, other.columns)


def test_the_same_bytes_whenever_they_are_found():
    texts, _ = planted(300)
    one, other = centres_from(texts, 6, 7), centres_from(texts, 6, 7)
    assert one.columns.tobytes() == other.columns.tobytes()
    # Pinned, so that another machine, or another version of numba, has to come to it, too.
    assert hashlib.sha256(one.columns.astype("<i2").tobytes()).hexdigest()[:16] == "f716a6ed574b2bc6"


def test_centres_are_of_one_length():
    texts, _ = planted(300)
    columns = centres_from(texts, 6).columns.astype(np.float64)
    assert np.sqrt((columns**2).sum(axis=0)) == pytest.approx(LENGTH, rel=1e-2)


def test_merges_cost_least():
    # Two equal ones, one across, and a small one between.
    centres = np.array([[LENGTH, LENGTH, 0, 11585], [0, 0, LENGTH, 11585]], np.int16)
    assert merge_clusters(centres, np.array([100, 90, 95, 4]), 3).tolist() == [0, 0, 1, 2]
    assert len(set(merge_clusters(centres, np.array([100, 90, 95, 4]), 2)[:3].tolist())) == 2
    assert merge_clusters(centres, np.array([100, 90, 95, 4]), 1).tolist() == [0, 0, 0, 0]
    assert merge_clusters(centres, np.array([100, 90, 95, 4]), 9).tolist() == [0, 1, 2, 3]


def test_an_empty_cluster_is_merged_first():
    centres = np.array([[LENGTH, 0, 16000], [0, LENGTH, 3530]], np.int16)
    assert len(set(merge_clusters(centres, np.array([5, 5, 0]), 2)[:2].tolist())) == 2


def test_scores_are_those_of_floats():
    table, documents = np.array([[8, 0, 3], [10, 6, 50], [0, 0, 2], [1, 1, 5]]), np.array([10, 7, 55])
    for cluster in range(3):
        slow = [
            reference.score(
                int(row[cluster]), int(documents[cluster]), int(row.sum() - row[cluster]), 72 - int(documents[cluster])
            )
            for row in table
        ]
        assert word_scores(table, documents, cluster) == pytest.approx(slow, abs=0.01)


def test_a_word_tells_one_cluster():
    texts = ["rare word"] * 8 + ["word"] * 2 + ["word other rare"] * 20 + ["once"]
    numbers = np.array([0] * 10 + [1] * 20 + [-1])
    assert telling_words(pa.array(texts, pa.large_string()), numbers, 2, 5) == [[], ["other", "rare", "word"]]


def test_labels_have_as_many_digits_as_the_last_number():
    assert labels([["a", "b", "c", "d"], []]) == ["00-a-b-c", "01"]
    assert labels([[]] * 101)[7] == "007"
