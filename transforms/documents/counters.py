"""What the engine shows of a running job: Beam's counters, all in the namespace `byline`.

```
prepare     runs  documents_read  text_bytes_read  dropped_<reason>  documents_kept  text_bytes_kept  tokens_kept
            documents_formatted  format_milliseconds  documents_scored  score_milliseconds
            documents_filtered  filter_milliseconds
assemble    shards  sequences  documents_drawn  positions  loss_tokens  padding  tokens_discarded
both        store_retries   (retried calls on an object store, without the client's own retries)
```

A step adds to them once for each batch or shard that it has written. They are for people who watch a job; the ledger
and the manifest are made from the files themselves, because an engine that repeats a task may count it twice, while
its file exists once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import BatchInfo, info_of
from byline.schemas.ledger import DrawCounts, ShardRecord
from byline.schemas.store import RunInfo

NAMESPACE = "byline"
# Counters whose values are in no file.
NOT_IN_LEDGER = frozenset(
    {"documents_formatted", "format_milliseconds", "documents_scored", "score_milliseconds"}
    | {"documents_filtered", "filter_milliseconds", "store_retries"}
)


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name, without those that are 0."""
    sums: Counter[str] = Counter()
    for addends in counts:
        sums.update(addends)
    return {name: value for name, value in sums.items() if value}


def batch_counts(batch: pa.RecordBatch) -> dict[str, int]:
    """What a batch of tokenized documents adds; each batch becomes one run."""
    text_bytes, tokens = (pc.sum(batch[name]).as_py() or 0 for name in ("num_bytes", "num_tokens"))
    return _run_counts(info_of(batch), batch.num_rows, text_bytes, tokens)


def run_counts(run: RunInfo) -> dict[str, int]:
    """As `batch_counts`, from the run that was written."""
    return _run_counts(run, run.rows, run.text_bytes, run.tokens)


def _run_counts(info: BatchInfo | RunInfo, rows: int, text_bytes: int, tokens: int) -> dict[str, int]:
    return {
        "runs": 1,
        "documents_read": info.rows_read,
        "text_bytes_read": info.bytes_read,
        **{f"dropped_{reason}": number for reason, number in info.dropped.items()},
        "documents_kept": rows,
        "text_bytes_kept": text_bytes,
        "tokens_kept": tokens,
    }


def shard_counts(record: ShardRecord) -> dict[str, int]:
    """What a shard adds."""
    drawn = sum(record.contents.sources.values(), DrawCounts())
    return {
        "shards": 1,
        "sequences": record.entry.rows,
        "documents_drawn": drawn.documents,
        "positions": drawn.positions,
        "loss_tokens": drawn.loss_tokens,
        "padding": record.contents.padding,
        "tokens_discarded": sum(drawn.discarded.values()),
    }
