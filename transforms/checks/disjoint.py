"""Checks that no model reads a document twice: the doc ids of all shards are marked in a bitmap of all records.

```
timeline      a: shard 0   shard 1   b: shard 0         marks      row 0 1 2 3 4 5 ...
branch c            '-------- c: shard 0                a, shard 0     x   x
                                                        a, shard 1       x   x
              c marks a copy of the marks of shard 0    b, shard 0         x         twice: reported
```

A bit a record takes 500 MB for 4 T tokens in documents of 1,000, where doc ids would take 32 GB; shards are read one by
one.
"""

from collections import defaultdict
from collections.abc import Callable

import numba
import numpy as np

from byline.manifest import Manifest, PhaseEntry

# (phase or branch, number of the shard) -> its doc ids, int64, each once.
DocumentsOf = Callable[[str, int], np.ndarray]


def check_disjoint(manifest: Manifest, documents: DocumentsOf, input_rows: np.ndarray) -> tuple[int, list[str]]:
    """Checks that no document is in two shards of a phase, in two phases, or in a branch and the timeline before it.

    What is held out is in nothing else.

    Args:
        manifest: of the build.
        documents: returns the doc ids of a shard, all of which name a record.
        input_rows: int64 [files], records of each input file.

    Returns:
        The number of documents in all shards, and one line for each problem.
    """
    total, twice = _marked_twice(manifest, documents, input_rows)
    if len(twice) == 0:
        return total, []
    duplicates = {
        phase.name: [_only(documents(phase.name, number), twice) for number in range(len(phase.shards))]
        for phase in manifest.phases
    }
    return total, _explain(manifest, duplicates)


def _only(documents: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return documents[np.isin(documents, wanted)]


class _Marks:
    """A bit for each record of the input files."""

    def __init__(self, input_rows: np.ndarray) -> None:
        ends = np.cumsum(input_rows, dtype=np.int64)
        self._starts = ends - input_rows
        self._bits = np.zeros((int(ends[-1]) >> 3) + 1 if len(ends) else 0, np.uint8)

    def copy(self) -> "_Marks":
        copied = _Marks(np.zeros(0, np.int64))
        copied._starts, copied._bits = self._starts, self._bits.copy()
        return copied

    def mark(self, documents: np.ndarray) -> np.ndarray:
        """Marks doc ids (int64) and returns those that were already marked."""
        records = self._starts[documents >> 32] + (documents & (2**32 - 1))
        return documents[_mark(self._bits, records)]


@numba.njit(cache=True, nogil=True)
def _mark(bits: np.ndarray, records: np.ndarray) -> np.ndarray:
    """bool [n]: whether each record's bit was already set."""
    was_set = np.zeros(len(records), np.bool_)
    for number in range(len(records)):
        record = records[number]
        bit = np.uint8(1 << (record & 7))
        was_set[number] = (bits[record >> 3] & bit) != 0
        bits[record >> 3] |= bit
    return was_set


def _marked_twice(manifest: Manifest, documents: DocumentsOf, input_rows: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of documents, and the ids (int64, sorted) of those that some model reads more than once."""
    branches: dict[tuple[str, int], list[PhaseEntry]] = defaultdict(list)
    for phase in manifest.phases:
        if phase.branch is not None and not phase.is_holdout:
            branches[phase.branch["phase"], phase.branch["shards"]].append(phase)
    marks, total, twice = _Marks(input_rows), 0, [np.zeros(0, np.int64)]

    def mark(marks: _Marks, phase: PhaseEntry, number: int) -> None:
        nonlocal total
        doc_ids = documents(phase.name, number)
        total += len(doc_ids)
        twice.append(marks.mark(doc_ids))

    for phase in manifest.phases:
        if phase.is_holdout:
            for number in range(len(phase.shards)):
                mark(marks, phase, number)
    for phase, shards in manifest.training_order():
        for number in range(shards + 1):
            for branch in branches[phase.name, number]:
                copy = marks.copy()
                for index in range(len(branch.shards)):
                    mark(copy, branch, index)
            if number < shards:
                mark(marks, phase, number)
    return total, np.unique(np.concatenate(twice))


def _explain(manifest: Manifest, duplicates: dict[str, list[np.ndarray]]) -> list[str]:
    """One line for each pair of shards or phases that shares some of these documents, of which there are few."""
    joined: dict[tuple[str, int], np.ndarray] = {}

    def first_shards(phase: PhaseEntry, shards: int) -> np.ndarray:
        key = (phase.name, shards)
        if key not in joined:
            joined[key] = np.unique(np.concatenate([np.zeros(0, np.int64), *duplicates[phase.name][:shards]]))
        return joined[key]

    problems = []
    for phase in manifest.phases:
        in_phase, by_shard = first_shards(phase, len(phase.shards)), duplicates[phase.name]
        if len(in_phase) < sum(map(len, by_shard)):
            ordered = np.sort(np.concatenate(by_shard))
            problems.append(f"two shards of phase {phase.name} share {_described(ordered[1:][np.diff(ordered) == 0])}")
        order = manifest.training_order(None if phase.branch is None else phase.name)
        before = order[: [entry.name for entry, _ in order].index(phase.name)]
        if not phase.is_holdout:
            before += [(entry, len(entry.shards)) for entry in manifest.phases if entry.is_holdout]
        for earlier, shards in before:
            shared = np.intersect1d(first_shards(earlier, shards), in_phase, assume_unique=True)
            if len(shared):
                problems.append(f"phases {earlier.name} and {phase.name} share {_described(shared)}")
    return problems


def _described(documents: np.ndarray) -> str:
    """The number of these documents, and the first one."""
    file, row = int(documents[0]) >> 32, int(documents[0]) & (2**32 - 1)
    return f"{len(np.unique(documents)):,} documents (first: file {file} of _inputs.ipc, row {row})"
