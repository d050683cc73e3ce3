"""The report on one shard, as a small file: a worker writes it, and the driver, which sums the shards, reads it.

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
    """Counts of one source in the rows of a shard.

    Attributes:
        positions, loss_tokens: positions of its documents, and those that count in the loss.
        drawn, conditioned: documents that begin in the shard, and those of them whose first position is masked.
        loss_weight: the sum of the weights of its positions; 0 in a build without weights.
        placeholders: positions with one of its placeholders.
    """

    positions: int
    loss_tokens: int
    drawn: int
    conditioned: int
    loss_weight: float = 0.0
    placeholders: int = 0


@dataclass(frozen=True)
class ShardCounts:
    """Counts of the rows of a shard; `sources` has every source of the build."""

    rows: int
    padding: int
    loss_tokens: int
    loss_tokens_in_rows: int
    loss_tokens_in_segments: int
    sources: dict[str, SourceCounts]

    @classmethod
    def of(cls, counts: RowCounts, file_sources: np.ndarray) -> "ShardCounts":
        """Sums over input files; `file_sources` is str [files], the source of each."""
        sources = {str(name): _of_source(counts, file_sources == name) for name in np.unique(file_sources)}
        return cls(
            counts.rows,
            counts.padding,
            counts.loss_tokens,
            counts.loss_tokens_in_rows,
            counts.loss_tokens_in_segments,
            sources,
        )


def _of_source(counts: RowCounts, own: np.ndarray) -> SourceCounts:
    """Sums over the files of a source; `own` is bool [files]."""
    by_file = (counts.positions, counts.loss_by_file, counts.drawn, counts.conditioned, counts.placeholders)
    positions, loss_tokens, drawn, conditioned, placeholders = (int(values[own].sum()) for values in by_file)
    weight = float(counts.weight_by_file[own].sum())
    return SourceCounts(positions, loss_tokens, drawn, conditioned, weight, placeholders)


@dataclass(frozen=True)
class ShardReport:
    """What a check of one shard found.

    Attributes:
        path: of the shard, relative to the build's folder.
        counts: of its rows; None if it could not be read.
        is_whole: whether every row is exactly covered by its segments, so that these can be checked one by one.
        said: what the shard's metadata says about its contents.
        domains: of an import, the domain that samples name -> how many do, as the metadata says.
        problems, row_problems, store_problems: with the file and its metadata, with its rows, and in comparison with
            the token store; one line each.
        samples: some of its segments.
    """

    path: str
    counts: ShardCounts | None
    is_whole: bool
    said: PhaseLedger
    domains: dict[str, int]
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
    values["said"] = report.said.to_json()
    values["samples"] = [sample.to_json() for sample in report.samples]
    table = pa.table({"document": pa.array(documents, pa.int64())})
    table = table.replace_schema_metadata({_KEY: json.dumps(values)})
    with write_file(uri) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_documents(uri: str) -> np.ndarray:
    """The doc ids of a report file."""
    with open_random(uri) as source:
        return pa.ipc.open_file(source).read_all()["document"].to_numpy()


def read_report(uri: str) -> ShardReport:
    """The report in a file; reads only its footer."""
    with open_random(uri) as source:
        schema = pa.ipc.open_file(source).schema
    values = json.loads(schema.metadata[_KEY.encode()])
    counts = values.pop("counts")
    samples = [SegmentSample.from_json(sample) for sample in values.pop("samples")]
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
