"""A scan over the runs of the token store: every run is counted, and the counts are merged; with Beam, or here.

```
COUNTER.json    {"kind": "DrawCounter",
                 "predicates": [{"field": "host", "not_in": ["a.org", "b.org"]}],
                 "counter": {"stages": [{"name": "main", "predicates": {"c4": [0], ...}, ...}], ...}}
runs            a.arrow            b.arrow
CountRun        counts of a        counts of b
MergeCounts     counts of both, one batch  ->  COUNTS.arrow      what `count_here` gives
```

`count_here` does the same in this process, without any file, where a job would take longer to start.

The graph of the pipeline names the counter's file and holds nothing of it: a counter may list a million hosts, and
runners limit the size of a job's description. The file is JSON, not a pickle, so that nobody who can write to the
token store can run code where it is read. A predicate that stages and sources share stands there once.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from byline.addresses import is_object_address
from byline.schemas.predicates import PredicateNumbers, predicate_from_json
from byline.transforms.files.object_store import AT_ONCE, in_order
from byline.transforms.files.storage import read_bytes, write_file
from byline.transforms.scans.counting import RunCounter
from byline.transforms.scans.digit_counting import DigitCounter
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.scans.label_counts import LabelCounter
from byline.transforms.scans.list_matches import ListCounter
from byline.transforms.scans.measuring import SampleCounter, ShuffleKeyCounter
from byline.transforms.scans.value_counts import ValueCounter
from byline.transforms.store.attribute_columns import (
    NO_ATTRIBUTES,
    NOTHING_REPLACED,
    AttributeFolders,
    ReplacedColumns,
    StoredRun,
)

_COUNTERS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (DigitCounter, ValueCounter, ListCounter, LabelCounter, SampleCounter, ShuffleKeyCounter, DrawCounter)
}
# Counts are merged when so many rows wait, not one by one: merging sorts all of them.
WAITING_ROWS = 1 << 20
_READING = threading.Lock()


# ------------------------------------------------------------------------------------------------------------ counters


def write_counter(
    uri: str,
    counter: RunCounter,
    attributes: AttributeFolders = NO_ATTRIBUTES,
    replaced: ReplacedColumns = NOTHING_REPLACED,
) -> None:
    """Writes a counter to a file, where the columns of attributes are, and which of their ranges are replaced."""
    with write_file(uri) as sink:
        own: dict[str, Any] = {"attributes": dict(attributes)} if attributes else {}
        if replaced:
            own["replaced"] = {source: list(columns) for source, columns in replaced.items()}
        sink.write(json.dumps({**to_json(counter), **own}).encode())


def read_counter(uri: str) -> RunCounter:
    """The process's one copy of a counter; a path stands for one content."""
    return read_once(uri)[0]


def read_once(uri: str) -> tuple[RunCounter, AttributeFolders, ReplacedColumns]:
    """A counter, where the columns of attributes are, and which of their ranges are replaced."""
    # A worker sets up its threads at once, and each would read the file.
    with _READING:
        return _read_counter(uri)


@lru_cache(maxsize=1)
def _read_counter(uri: str) -> tuple[RunCounter, AttributeFolders, ReplacedColumns]:
    document = json.loads(read_bytes(uri))
    return from_json(document), document.get("attributes", {}), document.get("replaced", {})


def to_json(counter: RunCounter) -> dict[str, Any]:
    """A counter as values that `json` writes."""
    numbers = PredicateNumbers()
    kind = type(counter).__name__
    # Not pydantic's JSON, which has no infinity, and a border may be one.
    content = _COUNTERS[kind].dump_python(counter, context=numbers)
    predicates = [predicate.to_json() for predicate in numbers.predicates]
    return {"kind": kind, "predicates": predicates, "counter": content}


def from_json(document: Mapping[str, Any]) -> RunCounter:
    """The counter that `to_json` made this of."""
    predicates = [predicate_from_json(values) for values in document["predicates"]]
    counter: RunCounter = _COUNTERS[document["kind"]].validate_python(document["counter"], context=predicates)
    return counter


# ------------------------------------------------------------------------------------------------------- this process


def count_here(
    counter: RunCounter,
    uris: Sequence[str],
    attributes: AttributeFolders = NO_ATTRIBUTES,
    replaced: ReplacedColumns = NOTHING_REPLACED,
) -> pa.RecordBatch:
    """What `CountRuns` gives, in this process.

    Args:
        counter: what to count.
        uris: of runs, all on a disk or all in an object store.
        attributes: where the columns of attributes are.
        replaced: those whose ranges are replaced.

    Raises:
        BylineError: a run cannot be read, or what the counter asks of it is a mistake of the recipe's.
    """
    merged, waiting, rows = counter.merge([]), [], 0
    for counts in _count_each(counter, uris, attributes, replaced):
        waiting.append(counts)
        rows += counts.num_rows
        if rows > merged.num_rows + WAITING_ROWS:
            merged, waiting, rows = counter.merge([merged, *waiting]), [], 0
    return counter.merge([merged, *waiting])


def _count_each(
    counter: RunCounter, uris: Sequence[str], attributes: AttributeFolders, replaced: ReplacedColumns
) -> Iterator[pa.RecordBatch]:
    """Counts of each run, in their order; of an object store, many runs are read at a time."""
    runs: Sequence[str | StoredRun] = [StoredRun(uri, attributes, replaced) for uri in uris] if attributes else uris
    if any(map(is_object_address, uris)):
        return in_order(counter.count, runs, _threads())
    # What is mapped into memory is not waited for: eight threads took 1.2 to 2 times as long as one.
    return map(counter.count, runs)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Not those that read: a count waits for reads."""
    return ThreadPoolExecutor(AT_ONCE, "byline-count")
