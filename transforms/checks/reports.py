"""What was found in one shard, as a small file: a worker writes it, and whoever sums the shards reads it.

```
3.arrow     document (int64)    4294967299  4294967301  ...            doc ids of the shard, each once, sorted
            metadata            {"path": "conditioned/00003-of-00012.arrow", "problems": [], "counts": {...}, ...}
```
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from byline.schemas.ledger import PhaseLedger
from byline.transforms.checks.documents import SegmentSample
from byline.transforms.checks.rows import RowCounts
from byline.transforms.files.storage import open_random, write_file

_KEY = "byline"


@dataclass(frozen=True)
class SourceCounts:
    """What the rows of a shard have of one source.

    Attributes:
        positions, loss_tokens: of its documents, and those whose loss counts.
        drawn, conditioned: documents that begin in the shard, and those whose first position is masked.
    """

    positions: int
    loss_tokens: int
    drawn: int
    conditioned: int


@dataclass(frozen=True)
class ShardCounts:
    """What the rows of a shard come to; `sources` has all of a build."""

    rows: int
    padding: int
    loss_tokens: int
    sources: dict[str, SourceCounts]

    @classmethod
    def of(cls, found: RowCounts, file_sources: np.ndarray) -> "ShardCounts":
        """Sums over input files; `file_sources` is str [files], the source of each."""
        by_file = (found.positions, found.loss_by_file, found.drawn, found.conditioned)
        sources = {
            str(name): SourceCounts(*(int(values[file_sources == name].sum()) for values in by_file))
            for name in np.unique(file_sources)
        }
        return cls(found.rows, found.padding, found.loss_tokens, sources)


@dataclass(frozen=True)
class ShardReport:
    """What was found in one shard.

    Attributes:
        path: of the shard, below the build's folder.
        counts: of its rows; None where it could not be read.
        is_whole: whether every row's segments divide it, so that they can be looked at one by one.
        said: what the shard's metadata says of its contents.
        problems, row_problems, store_problems: of the file and its metadata, of its rows, and of what the token store
            gives for it; one line each.
        samples: some of its segments.
    """

    path: str
    counts: ShardCounts | None
    is_whole: bool
    said: PhaseLedger
    problems: list[str]
    row_problems: list[str]
    store_problems: list[str]
    samples: list[SegmentSample]


def write_report(report: ShardReport, documents: np.ndarray, uri: str) -> None:
    """Writes a report to a file.

    Args:
        report: of a shard.
        documents: int64, the shard's doc ids that name a record, each once, sorted.
        uri: of the file.
    """
    values: dict[str, Any] = {**vars(report)}
    values["counts"] = None if report.counts is None else asdict(report.counts)
    values["said"] = asdict(report.said)
    values["samples"] = [
        {**vars(sample), "ids": sample.ids.tolist(), "mask": sample.mask.tolist()} for sample in report.samples
    ]
    table = pa.table({"document": pa.array(documents, pa.int64())})
    table = table.replace_schema_metadata({_KEY: json.dumps(values)})
    with write_file(uri) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_documents(uri: str) -> np.ndarray:
    """The doc ids of a file."""
    with open_random(uri) as source:
        return pa.ipc.open_file(source).read_all()["document"].to_numpy()


def read_report(uri: str) -> ShardReport:
    """The report of a file, from its footer alone."""
    with open_random(uri) as source:
        schema = pa.ipc.open_file(source).schema
    values = json.loads(schema.metadata[_KEY.encode()])
    counts = values.pop("counts")
    samples = [
        SegmentSample(**{**own, "ids": np.array(own["ids"], np.int64), "mask": np.array(own["mask"], np.uint8)})
        for own in values.pop("samples")
    ]
    return ShardReport(
        counts=None if counts is None else _counts_of(counts),
        said=PhaseLedger.from_json(values.pop("said")),
        samples=samples,
        **values,
    )


def _counts_of(values: dict[str, Any]) -> ShardCounts:
    return ShardCounts(
        **{**values, "sources": {name: SourceCounts(**counts) for name, counts in values["sources"].items()}}
    )
