"""The sample, the clusters of it, the file that they are in, and what is said of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from byline.schemas.attribute_kinds.clusters import ClustersAttribute
from byline.schemas.documents import InputFile
from byline.schemas.store import RunInfo
from byline.transforms.attributes.clusters.clusters_file import Clusters, read_clusters, write_clusters
from byline.transforms.attributes.clusters.features import features_of
from byline.transforms.attributes.clusters.finding import FindClusters
from byline.transforms.attributes.clusters.kind import assigned, columns_of
from byline.transforms.attributes.clusters.sample import (
    Ranks,
    draw_files,
    highest_shuffle_key,
    read_features,
    read_texts,
)
from byline.transforms.attributes.clusters.summary import summarize, write_counts
from byline.transforms.attributes.clusters.vectors import SQUARE
from byline.transforms.attributes.clusters.words import LONGEST_TEXT, shortened
from byline.transforms.attributes.stored_documents import StoredChunk, StoredFile
from byline.transforms.files.sealed_files import write_sealed
from tests.reference import hashing
from tests.transforms.attributes.clusters.test_centres import TOPICS, hashed, planted

BITS = 12
Row = tuple[int, int, str]


def texts_of(*values: str | None) -> pa.Array:
    return pa.array(values, pa.large_string())


def write_sample(folder: Path, files: Sequence[Sequence[Row]]) -> list[str]:
    """Files of a sample, each of (shuffle key, row, text)."""
    uris = [str(folder / f"{number}.arrow") for number in range(len(files))]
    for uri, rows in zip(uris, files, strict=True):
        keys, numbers, texts = ([row[column] for row in rows] for column in range(3))
        columns = [pa.array(keys, pa.uint64()), pa.array(numbers, pa.int64()), pa.array(texts, pa.large_string())]
        batch = pa.RecordBatch.from_arrays(columns, ["shuffle_key", "row", "text"])
        with write_sealed(uri, batch.schema) as writer:
            writer.write_batch(batch)
    return uris


def found(uris: Sequence[str], uri: str, number: int, **settings: int) -> Clusters:
    sample = tuple((uri, "web", f"{number}.jsonl") for number, uri in enumerate(uris))
    FindClusters(ClustersAttribute(number=number, features=1 << BITS, **settings), sample, uri)("topic")
    return read_clusters(uri)


def test_a_sample_is_cut_a_little_above_what_is_wanted():
    assert highest_shuffle_key(100, 100) == 2**64 - 1
    assert highest_shuffle_key(100, 101) == 2**64 - 1
    assert highest_shuffle_key(10_000, 10**6) == 10_416 * (2**64 - 1) // 10**6


def stored(source: str, path: str, *rows: int) -> StoredFile:
    chunks = [
        StoredChunk(RunInfo("0" * 64, source, path, number, False, 9, count, 9, {}, 0, count, 9, 9))
        for number, count in enumerate(rows)
    ]
    return StoredFile(InputFile(source, path, path, 9), tuple(chunks))


def test_files_are_drawn_until_they_have_enough():
    web = [stored("web", f"{number}.jsonl", 300, 100) for number in range(50)]
    wiki = [stored("wiki", "a.jsonl", 500), stored("wiki", "b.jsonl", 0)]
    drawn, highest = draw_files([*web, *wiki], 41)
    # 40 of 20,000 documents of web: 640 read; 1 of 500: one file.
    order = sorted(web, key=lambda file: hashing.shuffle_key("web", file.file.path, 0))
    assert [file for file in drawn if file.file.source == "web"] == sorted(order[:2], key=lambda file: file.file.path)
    assert stored("wiki", "a.jsonl", 500) in drawn
    assert highest == {"web": (40 + 24 + 16) * (2**64 - 1) // 800, "wiki": (1 + 4 + 16) * (2**64 - 1) // 500}
    assert draw_files([*reversed(wiki), *reversed(web)], 41) == (drawn, highest)


def test_a_small_corpus_is_read_whole():
    files = [stored("web", "a", 5), stored("web", "b", 0, 7)]
    assert draw_files(files, 12) == (files, {"web": 2**64 - 1})
    assert draw_files([], 12) == ([], {})


def test_texts_are_kept_as_far_as_they_count():
    texts = texts_of("whole", "", "a" * LONGEST_TEXT + "b", "é" * LONGEST_TEXT, "last")
    short = shortened(texts.slice(1))
    assert short.to_pylist() == ["", "a" * LONGEST_TEXT, "é" * (LONGEST_TEXT // 2), "last"]
    assert shortened(texts.slice(0, 0)).to_pylist() == []


def test_ranks_are_those_of_hashed_shuffle_key_file_and_row(tmp_path: Path):
    uris = write_sample(
        tmp_path, [[(9, 0, "nine"), (4, 1, "four a"), (4, 3, "four b")], [], [(1, 7, "one one"), (4, 0, "four c")]]
    )
    ranks, features = read_features(uris, BITS, 4)
    assert sorted([9, 4, 1], key=hashing.splitmix64) == [4, 1, 9]
    assert ranks.files.tolist() == [0, 0, 2, 2]
    assert ranks.rows.tolist() == [1, 3, 0, 7]
    texts = read_texts(uris, ranks)
    assert texts.to_pylist() == ["four a", "four b", "four c", "one one"]
    slow = features_of(texts, BITS)
    assert [column.tolist() for column in features] == [column.tolist() for column in slow]
    assert read_texts(uris, Ranks(*(column[2:] for column in ranks))).to_pylist() == ["four c", "one one"]


def test_without_documents_there_are_no_clusters(tmp_path: Path):
    for files in ([], [[]], [[(1, 0, "1 2 3")]]):
        clusters = found(write_sample(tmp_path, files), str(tmp_path / "clusters.arrow"), 3)
        assert clusters.about == []
        numbers, products = assigned(texts_of("some words", ""), BITS, clusters)
        assert columns_of("t", [], numbers, products)["t"].to_pylist() == [None, None]
        assert columns_of("t", [], numbers, products)["t_similarity"].to_pylist() == [None, None]


def test_clusters_do_not_depend_on_how_documents_are_in_files(tmp_path: Path):
    texts, topics = planted(240)
    rows = [(hashed(9, row), row, text) for row, text in enumerate(texts)]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = found(write_sample(tmp_path / "one", [rows]), str(tmp_path / "one.arrow"), 3, sample=200)
    many = [rows[100:], rows[:50], rows[50:100]]
    other = found(write_sample(tmp_path / "many", many), str(tmp_path / "many.arrow"), 3, sample=200)
    assert one.columns.tobytes() == other.columns.tobytes()
    assert one.weights.tobytes() == other.weights.tobytes()
    assert [about["label"] for about in one.about] == [about["label"] for about in other.about]
    numbers, products = assigned(pa.array(texts, pa.large_string()), BITS, one)
    assert len(set(zip(numbers.tolist(), topics.tolist(), strict=True))) == 3
    for number, about in enumerate(one.about):
        topic = list(TOPICS)[topics[numbers == number][0]]
        assert set(about["label"].split("-")[1:]) < set(TOPICS[topic])
        nearest = about["representatives"][0]
        assert numbers[nearest["row"]] == number
        assert nearest["similarity"] == pytest.approx(products[nearest["row"]] / SQUARE, abs=1e-3)
        assert texts[nearest["row"]].startswith(nearest["text"])


def test_a_file_of_clusters_says_what_was_written(tmp_path: Path):
    columns = np.arange(8, dtype=np.int16).reshape(4, 2)
    about = [{"label": "00-é", "words": ["é"], "representatives": []}, {"label": "01", "words": []}]
    clusters = Clusters(np.arange(4, dtype=np.int32), columns, about)
    write_clusters(str(tmp_path / "a.arrow"), clusters)
    read = read_clusters(str(tmp_path / "a.arrow"))
    assert read.columns.tolist() == columns.tolist()
    assert read.columns.flags.c_contiguous
    assert read.weights.tolist() == [0, 1, 2, 3]
    assert read.about == about


def test_columns_by_hand():
    products = np.array([SQUARE // 2, SQUARE + 9, 0], np.int32)
    columns = columns_of("topic", ["00-a", "01-b"], np.array([1, 0, -1], np.int32), products)
    assert columns["topic"].to_pylist() == ["01-b", "00-a", None]
    assert columns["topic_similarity"].to_pylist() == [0.5, 1.0, None]
    assert columns["topic_similarity"].type == pa.float32()


def test_the_summary_by_hand(tmp_path: Path):
    shown = {"source": "web", "path": "a.jsonl", "row": 7, "similarity": 0.5, "text": "Knead \x1b[2J"}
    about = [
        {"label": "00-dough-oven", "words": ["dough", "oven"], "representatives": [shown]},
        {"label": "01-goal", "words": ["goal"], "representatives": []},
    ]
    uris = [str(tmp_path / name) for name in "abc"]
    write_counts(uris[0], "wiki", np.array([0, 0, -1]), np.array([5, 6, 7], np.int32), 2)
    write_counts(uris[1], "web", np.array([1, 0]), np.array([1, 2], np.int32), 2)
    write_counts(uris[2], "web", np.array([], np.int32), np.array([], np.int32), 2)
    summary = summarize(Clusters(np.zeros(0, np.int32), np.zeros((0, 2), np.int16), about), uris)
    assert summary["documents"] == 5
    assert summary["without_words"] == 1
    assert summary["clusters"][0] == {
        **about[0],
        "documents": 3,
        "tokens": 13,
        "documents_by_source": {"web": 1, "wiki": 2},
    }
    assert summary["lines"] == [
        "00-dough-oven  3 documents (60.0%), 13 tokens: 1 of web, 2 of wiki",
        "               dough oven",
        r"               web/a.jsonl row 7, 0.5: Knead \x1b[2J",
        "01-goal        1 documents (20.0%), 1 tokens: 1 of web",
        "               goal",
        "1 documents without words have no label",
    ]
    assert summarize(Clusters(np.zeros(0, np.int32), np.zeros((0, 0), np.int16), []), [])["lines"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 1000}, "greater than or equal to 1024"),
        ({"features": 3000}, "expected a power of two such as 65536, found 3000"),
        ({"number": 1000}, "features: expected 16,777 at most for 1000 clusters"),
        ({"number": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        ClustersAttribute(**settings)
