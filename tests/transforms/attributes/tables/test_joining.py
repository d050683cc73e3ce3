"""The join of one partition, against dictionaries in plain Python."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from byline.splitmix import splitmix64
from byline.transforms.attributes.exchange import partition_of
from byline.transforms.attributes.tables.joining import distinct_rows, key_hashes, key_numbers


def strings(*values):
    return pa.array(values, pa.large_string())


def joined(table, documents):
    """Values of the documents' keys, and the rows that contradict; `table` is [(key, file, row, value, number)]."""
    keys, files, rows, values, numbers = zip(*table, strict=True) if table else ((), (), (), (), ())
    of_table, of_documents = key_numbers(strings(*keys), strings(*documents))
    columns = [pa.array(values, pa.large_string()), pa.array(numbers, pa.float64())]
    distinct = distinct_rows(of_table, np.array(files, np.int32), np.array(rows, np.int64), columns)
    matched = distinct.match(of_documents)
    chosen = [None if index < 0 else table[distinct.rows[index]] for index in matched]
    return chosen, [table[row] for row in distinct.contradicted], [table[row] for row in distinct.first]


def test_literal_rows():
    table = [("b", 0, 0, "bread", None), ("a", 0, 1, "sport", 0.5), ("b", 1, 0, "bread", None), ("é", 1, 1, None, 2.0)]
    chosen, contradicted, _ = joined(table, ["a", "b", "c", "b", "é", "e\u0301", ""])
    assert chosen == [table[1], table[0], None, table[0], table[3], None, None]
    assert contradicted == []


def test_other_values_contradict_the_first_row_by_file_and_row():
    table = [("a", 1, 0, "y", None), ("a", 0, 9, "x", None), ("b", 0, 3, "x", None), ("a", 0, 8, "x", None)]
    table += [("b", 0, 2, "x", 1.0)]
    chosen, contradicted, first = joined(table, ["a", "b"])
    assert chosen == [table[3], table[4]]
    assert contradicted == [table[2], table[0]]
    assert first == [table[4], table[3]]


def test_nothing_to_join():
    assert joined([], ["a"]) == ([None], [], [])
    assert joined([("a", 0, 0, "x", 1.0)], []) == ([], [], [])
    assert joined([], []) == ([], [], [])


def obvious(table, documents):
    by_key = {}
    contradicted = []
    for entry in sorted(table, key=lambda entry: entry[1:3]):
        first = by_key.setdefault(entry[0], entry)
        if first[3:] != entry[3:]:
            contradicted.append(entry)
    return [by_key.get(key) for key in documents], contradicted


key = st.text("aé\0", max_size=2)
entry = st.tuples(key, st.sampled_from(["x", "y", None]), st.sampled_from([0.5, None]))


@given(st.lists(entry, max_size=12), st.lists(key, max_size=6), st.randoms(use_true_random=False))
def test_as_dictionaries_in_any_order(entries, documents, random):
    table = [(name, number % 3, number, *values) for number, (name, *values) in enumerate(entries)]
    chosen, contradicted = obvious(table, documents)
    random.shuffle(table)
    assert joined(table, documents)[:2] == (chosen, contradicted)


def test_counts_of_keys():
    distinct = distinct_rows(np.array([5, 2, 5, 5]), np.zeros(4, np.int32), np.arange(4), [])
    assert distinct.numbers.tolist() == [2, 5]
    assert distinct.counts.tolist() == [1, 3]
    assert distinct.doubled == 2


def test_hashes_depend_on_the_key_alone():
    keys = strings("", "a", "http://例え.jp/ü", "a" * 1000, "b")
    hashes = key_hashes(keys)
    assert len(set(hashes.tolist())) == 5
    assert hashes.tolist() == key_hashes(pa.concat_arrays([strings("zz"), keys]).slice(1)).tolist()
    # FNV-1a of no bytes and of "a", by its authors' test vectors, then mixed.
    vectors = np.array([0xCBF29CE484222325, 0xAF63DC4C8601EC8C], np.uint64)
    assert hashes[:2].tolist() == splitmix64(vectors).tolist()
    assert len(key_hashes(strings())) == 0


def test_partitions_are_even():
    hashes = key_hashes(strings(*(f"http://example.org/{number}" for number in range(4096))))
    counts = np.bincount(partition_of(hashes, 16), minlength=16)
    assert counts.min() > 200
    assert counts.max() < 320
