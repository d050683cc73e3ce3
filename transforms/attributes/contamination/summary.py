"""What is said of each evaluation set, when all documents have been read.

```
arc: 2,590 items, 2,401 checked, 31 occur (1.3%), in documents: 42 of web, 2 of wiki
gsm8k: 1,319 items, 1,319 checked, none occurs
189 items have too few words to be checked, first: arc: evals/arc/test.parquet, record 3
in most documents, 12: 'which of the following is the best explanation of why the moon is' of arc
```

An item occurs if one of its n-grams does. Counts are of the documents that were read for this: those of the input files
that had no values yet.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from byline.transforms.attributes.batch_files import read_batch
from byline.transforms.attributes.contamination.items import Items
from byline.transforms.attributes.contamination.ngrams import EvaluationNgrams
from byline.transforms.attributes.rounds import Summary
from byline.transforms.files.storage import side_by_side

# In the metadata of a file of counts: its source, documents, and documents by set.
DOCUMENTS_KEY = b"byline.contamination"
_NAMED, _RANKED = 10, 500


def summarize(items: Items, ngrams: EvaluationNgrams, uris: Sequence[str]) -> Summary:
    """The summary of all counts.

    Args:
        items: of the sets.
        ngrams: of the items.
        uris: of the files of counts, in any order.
    """
    documents = np.zeros(len(ngrams.offsets) - 1, np.int64)
    by_source: dict[str, np.ndarray] = {}
    total = 0
    for counts, numbers, of_ngrams in side_by_side(_read, uris):
        documents[numbers] += of_ngrams
        by_set = by_source.setdefault(counts["source"], np.zeros(len(items.names), np.int64))
        by_set += counts["sets"]
        total += counts["documents"]
    occurs = np.zeros(len(items.texts), bool)
    occurs[ngrams.items[np.repeat(documents > 0, np.diff(ngrams.offsets))]] = True
    sets = {
        name: _of_set(items.sets == number, ngrams.is_checked, occurs, _of_sources(by_source, number))
        for number, name in enumerate(items.names)
    }
    unchecked = np.flatnonzero(~ngrams.is_checked)
    summary: Summary = {
        "documents": total,
        "sets": sets,
        "not_checked": [items.name_of(item) for item in unchecked[:_NAMED].tolist()],
        "most_frequent": _most_frequent(items, ngrams, documents),
    }
    return {**summary, "lines": _lines(summary, len(unchecked))}


def _read(uri: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Of one chunk: what its metadata says, its n-grams, and in how many documents each is."""
    batch = read_batch(uri)
    return json.loads(batch.schema.metadata[DOCUMENTS_KEY]), batch["ngram"].to_numpy(), batch["documents"].to_numpy()


def _of_sources(by_source: dict[str, np.ndarray], number: int) -> dict[str, int]:
    return {source: int(counts[number]) for source, counts in sorted(by_source.items()) if counts[number]}


def _of_set(
    is_of_set: np.ndarray, is_checked: np.ndarray, occurs: np.ndarray, sources: dict[str, int]
) -> dict[str, Any]:
    return {
        "items": int(is_of_set.sum()),
        "items_checked": int((is_of_set & is_checked).sum()),
        "items_that_occur": int((is_of_set & occurs).sum()),
        "documents": sum(sources.values()),
        "documents_by_source": sources,
    }


def _most_frequent(items: Items, ngrams: EvaluationNgrams, documents: np.ndarray) -> list[dict[str, Any]]:
    """The n-grams that most documents have: often the words of a task, not of an item. Of neighbours the first."""
    order = np.lexsort((np.arange(len(documents)), -documents))[:_RANKED]
    firsts, named = ngrams.table.firsts, list[int]()
    for number in order.tolist():
        if all(abs(firsts[number] - firsts[other]) >= ngrams.table.counts[other] for other in named):
            named.append(number)
    return [
        {
            "ngram": _spelled(ngrams, number),
            "documents": int(documents[number]),
            "sets": sorted({items.names[items.sets[item]] for item in _items_of(ngrams, number)}),
        }
        for number in named[:_NAMED]
        if documents[number]
    ]


def _items_of(ngrams: EvaluationNgrams, number: int) -> list[int]:
    items: list[int] = ngrams.items[ngrams.offsets[number] : ngrams.offsets[number + 1]].tolist()
    return items


def _spelled(ngrams: EvaluationNgrams, number: int) -> str:
    table = ngrams.table
    first = table.firsts[number]
    borders = table.starts[first : first + table.counts[number] + 1].tolist()
    return " ".join("".join(map(chr, table.points[start:stop])) for start, stop in pairwise(borders))


def _lines(summary: Summary, unchecked: int) -> list[str]:
    lines = [_line(name, of_set) for name, of_set in summary["sets"].items()]
    if unchecked:
        lines.append(f"{unchecked:,} items have too few words to be checked, first: {summary['not_checked'][0]}")
    for frequent in summary["most_frequent"][:1]:
        sets = " and ".join(frequent["sets"])
        lines.append(f"in most documents, {frequent['documents']:,}: {frequent['ngram']!r} of {sets}")
    return lines


def _line(name: str, of_set: dict[str, Any]) -> str:
    checked, occur = of_set["items_checked"], of_set["items_that_occur"]
    start = f"{name}: {of_set['items']:,} items, {checked:,} checked"
    if not occur:
        return f"{start}, none occurs"
    sources = ", ".join(f"{count:,} of {source}" for source, count in of_set["documents_by_source"].items())
    return f"{start}, {occur:,} occur ({occur / checked:.1%}), in documents: {sources}"
