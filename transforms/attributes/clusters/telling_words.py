"""The words that tell the documents of a cluster from all others, and a label made of them.

```
documents with        recipe   butter   the      score in cluster 7
in cluster 7, of 100      80       60    99      recipe  22.2   butter  19.7   the  -0.4
elsewhere, of 900         20       30   890      label   07-recipe-butter-...
```

The score is the log-odds ratio of having the word, in standard deviations: log((a + 1/2) / (c + 1/2)) of the documents
here, a with the word and c without, minus the same of b and d elsewhere, over the square root of the sum of
1 / (x + 1/2) of all four. Source: Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 16 (2008), section
3.3, with documents for words and 1/2 as the prior. Logarithms are those of `features.py`, so that no machine decides a
tie.

A word tells one cluster alone, that in which the largest share of documents has it; so labels are told apart by their
words. Words of less than three bytes or more than 48 do not tell, nor do those in one document.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from byline.transforms.attributes.clusters.features import LOG_BITS, log2_fixed
from byline.transforms.attributes.clusters.words import LONGEST_TEXT, MOST_WORDS, character_tables, scan_words
from byline.transforms.documents.text_parts import text_buffers

_SHORTEST, _LONGEST = 3, 48
_FEWEST_DOCUMENTS = 2
# The most frequent words; a rarer one is in too few documents of any cluster.
_MOST_WORDS = 20_000
_LABEL_WORDS = 3


class _Occurrences(NamedTuple):
    """Words of documents, each once a document.

    Attributes:
        hashes: uint64 [n].
        rows: int32 [n], of the documents, ascending.
        begins: int64 [n], the first byte of its first occurrence.
        lengths: int32 [n], its bytes.
    """

    hashes: np.ndarray
    rows: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray


def telling_words(texts: pa.Array, numbers: np.ndarray, clusters: int, most: int) -> list[list[str]]:
    """For each cluster the words that score highest above 0, at most `most`, highest first.

    Args:
        texts: large_string [n]; a null has no words.
        numbers: int [n], the cluster of each; -1 for none.
        clusters: how many there are, 1 at least.
        most: words of a cluster.
    """
    offsets, data = text_buffers(texts)
    occurrences = _occurrences(data, offsets, character_tables())
    firsts, table = _frequent(occurrences, numbers, clusters)
    documents = np.bincount(numbers[numbers >= 0], minlength=clusters)
    most_often = ((table + 0.5) / (documents + 1)).argmax(axis=1)
    telling = []
    for cluster in range(clusters):
        scores = np.where(most_often == cluster, word_scores(table, documents, cluster), 0)
        best = np.argsort(-scores, kind="stable")[:most]
        telling.append([_spelled(data, occurrences, firsts[word]) for word in best if scores[word] > 0])
    return telling


def _frequent(occurrences: _Occurrences, numbers: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent words: the first occurrence of each, and in how many documents of each cluster it is.

    Returns:
        int64 [words] and int64 [words, clusters].
    """
    _, firsts, indices, counts = np.unique(
        occurrences.hashes, return_index=True, return_inverse=True, return_counts=True
    )
    frequent = np.argsort(-counts, kind="stable")[:_MOST_WORDS]
    frequent = frequent[counts[frequent] >= _FEWEST_DOCUMENTS]
    words = np.full(len(firsts), -1)
    words[frequent] = np.arange(len(frequent))
    word, cluster = words[indices], numbers[occurrences.rows]
    counted = (word >= 0) & (cluster >= 0)
    cells = np.bincount(word[counted] * clusters + cluster[counted], minlength=len(frequent) * clusters)
    return firsts[frequent], cells.reshape(len(frequent), clusters)


def _spelled(data: np.ndarray, occurrences: _Occurrences, occurrence: int) -> str:
    begin = occurrences.begins[occurrence]
    return data[begin : begin + occurrences.lengths[occurrence]].tobytes().decode().lower()


def word_scores(table: np.ndarray, documents: np.ndarray, cluster: int) -> np.ndarray:
    """The score of each word, float64 [words].

    Args:
        table: int64 [words, clusters], documents with the word.
        documents: int64 [clusters].
        cluster: the one that is told from the others.
    """
    here = table[:, cluster]
    elsewhere = table.sum(axis=1) - here
    others = documents.sum() - documents[cluster]
    ratio, deviation = np.zeros(len(table), np.int64), np.zeros(len(table))
    for sign, count in ((1, here), (-1, documents[cluster] - here), (-1, elsewhere), (1, others - elsewhere)):
        ratio += sign * log2_fixed(2 * count + 1)
        deviation += 1 / (count + 0.5)
    return ratio / (1 << LOG_BITS) / np.sqrt(deviation)


def labels(words: Iterable[list[str]]) -> list[str]:
    """The label of each cluster: its number, in as many digits as the last one has, two at least, and three words."""
    words = list(words)
    digits = max(2, len(str(len(words) - 1)))
    return ["-".join([f"{number:0{digits}}", *of_one[:_LABEL_WORDS]]) for number, of_one in enumerate(words)]


def _occurrences(data: np.ndarray, offsets: np.ndarray, tables: tuple[np.ndarray, np.ndarray]) -> _Occurrences:
    room = int((np.minimum(np.diff(offsets), LONGEST_TEXT) // (_SHORTEST + 1) + 1).sum())
    hashes, rows = np.empty(room, np.uint64), np.empty(room, np.int32)
    begins, lengths = np.empty(room, np.int64), np.empty(room, np.int32)
    used = _fill_occurrences(data, offsets, tables, hashes, rows, begins, lengths)
    return _Occurrences(hashes[:used], rows[:used], begins[:used], lengths[:used])


@njit(nogil=True, cache=True)
def _fill_occurrences(
    data: np.ndarray,
    offsets: np.ndarray,
    tables: tuple[np.ndarray, np.ndarray],
    hashes: np.ndarray,
    rows: np.ndarray,
    begins: np.ndarray,
    lengths: np.ndarray,
) -> int:
    """Fills the arrays of `_Occurrences`; returns how many there are."""
    words, spans = np.empty(MOST_WORDS, np.uint64), np.empty((MOST_WORDS, 2), np.int64)
    used = 0
    for row in range(len(offsets) - 1):
        count = scan_words(data, offsets[row], offsets[row + 1], tables, words, spans)
        # Stable, so that the first of equal ones is the first in the text.
        order = np.argsort(words[:count], kind="mergesort")
        for index in range(count):
            word = order[index]
            length = spans[word, 1] - spans[word, 0]
            is_first = index == 0 or words[order[index - 1]] != words[word]
            if is_first and _SHORTEST <= length <= _LONGEST:
                hashes[used], rows[used], begins[used], lengths[used] = words[word], row, spans[word, 0], length
                used += 1
    return used
