"""Counts the fields of a batch of tokenized documents, for the description of its run.

```
url             host    quality          known  null  unknown
http://a.org/   a.org   0.25      url        1     1        1
""              null    NaN       host       1     1        1
null            null    null      quality    1     1        1
```
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import HOST, REGISTERED_DOMAIN, URL
from byline.schemas.field_counts import FieldCounts, total_fields
from byline.schemas.store import RunInfo

# The columns of a run that are no field.
_NOT_FIELDS = frozenset(
    {"shuffle_key", "row", "file", "num_tokens", "num_bytes", "masked", "weighed", "range_weights", "tokens"}
)
_OF_URLS = (HOST.name, REGISTERED_DOMAIN.name)


def count_fields(batch: pa.RecordBatch) -> dict[str, FieldCounts]:
    """Counts every field of a batch.

    Args:
        batch: n documents with the columns of a run, in any order; without a column `url`, hosts are counted alone.

    Returns:
        Counts by name of the column, in the order of the columns; each sums to n.
    """
    urls = batch[URL.name] if URL.name in batch.schema.names else None
    counts = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name not in _NOT_FIELDS:
            has_value = urls if name in _OF_URLS and urls is not None else column
            counts[name] = _counted(column, has_value, _unusable(name, column))
    return counts


def _counted(column: pa.Array, given: pa.Array, unusable: int) -> FieldCounts:
    """Counts of a column that is made of `given`; `unusable`: values of the column that are worth no more than null."""
    known = len(column) - column.null_count - unusable
    null = given.null_count if column is given else _both_null(column, given)
    return FieldCounts(known, null, len(column) - known - null)


def _both_null(column: pa.Array, given: pa.Array) -> int:
    return pc.sum(pc.and_(column.is_null(), given.is_null())).as_py() or 0


def _unusable(name: str, column: pa.Array) -> int:
    """Values that are NaN, and empty URLs; an empty kept text is a value."""
    if pa.types.is_floating(column.type):
        return pc.sum(pc.is_nan(column)).as_py() or 0
    if name == URL.name:
        return pc.sum(pc.equal(pc.binary_length(column), 0)).as_py() or 0
    return 0


def fields_of_sources(runs: Iterable[RunInfo]) -> dict[str, dict[str, FieldCounts]]:
    """Source -> field -> counts of all its runs, by source."""
    by_source: dict[str, list[RunInfo]] = {}
    for run in runs:
        by_source.setdefault(run.source, []).append(run)
    return {source: total_fields(run.fields for run in by_source[source]) for source in sorted(by_source)}
