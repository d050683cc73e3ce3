"""Parquet files: `parquet` with the columns of shards, `hf` with those that a trainer of transformers or TRL takes.

```
parquet   conditioned/00003-of-00012.parquet   input_ids  loss_mask  seq_lengths  doc_ids  doc_offsets  phase
hf        conditioned/00003-of-00012.parquet   input_ids  labels  position_ids  seq_lengths
          README.md                            what `datasets.load_dataset(DIR)` finds the files by
both      ..., of a build with loss weights    loss_weight, float32, in `hf` 0 where nothing is predicted
```

A row group has the rows of one batch (`ShardRows.batches`), zstd.
"""

import json
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from byline.forms import IGNORED
from byline.targets import Spread
from byline.transforms.exports.export_format import ExportedShard, ExportFormat, ShardFiles, ShardRows

_COMPRESSION = "zstd"


def _fixed(values: np.ndarray) -> pa.Array:
    """[n, L] as fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def _lists(spread: Spread, values: np.ndarray) -> pa.Array:
    """Values of all segments, [S], as a list for each row."""
    ends = np.cumsum(spread.rows["segments"], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(np.append(np.int32(0), ends)), pa.array(values))


class Parquet(ExportFormat):
    """All columns of the shards, and the phase."""

    name = "parquet"
    line = (
        "`PHASE/*.parquet`: the columns of a shard (`loss_weight` as float32), and `phase` | pandas, polars, DuckDB, "
        "Spark, Ray, any reader of Parquet | nothing"
    )
    keeps_weights = True
    note = "readers of Parquet know nothing of loss_mask and seq_lengths: both are columns, for you to apply"

    def columns(self, spread: Spread) -> dict[str, pa.Array]:
        """The columns of a batch, by name."""
        rows = spread.rows
        columns = {
            "input_ids": _fixed(rows["input_ids"]),
            "loss_mask": _fixed(rows["loss_mask"]),
            "seq_lengths": _lists(spread, rows["seq_lengths"]),
            "doc_ids": _lists(spread, rows["doc_ids"]),
            "doc_offsets": _lists(spread, rows["doc_offsets"]),
            "phase": pa.array(rows["phase"].tolist(), pa.string()),
        }
        if "loss_weight" in rows:
            columns["loss_weight"] = _fixed(rows["loss_weight"].astype(np.float32))
        return columns

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        with files.create(f"{rows.stem}.parquet", rows.count) as sink:
            tables = (pa.table(self.columns(spread)) for spread in rows.batches())
            first = next(tables)
            out = pa.PythonFile(sink, "w")
            with pq.ParquetWriter(out, first.schema, compression=_COMPRESSION, use_dictionary=["phase"]) as writer:
                for table in chain([first], tables):
                    writer.write_table(table, row_group_size=table.num_rows)
        return 0


class HuggingFace(Parquet):
    """What transformers and TRL train on; a configuration of `datasets` for each phase, and one for all."""

    name = "hf"
    line = (
        "`PHASE/*.parquet`: `input_ids`, `labels` (-100 where nothing is to be predicted), `position_ids`, "
        "`seq_lengths`, `loss_weight` (float32, beside the labels) of a build with weights; "
        "`README.md` | `datasets.load_dataset(DIR)`: the timeline; `load_dataset(DIR, PHASE)` | "
        "doc ids and doc offsets"
    )
    note = "set the trainer's sampler to sequential, or phases are mixed"

    def columns(self, spread: Spread) -> dict[str, pa.Array]:
        int32, weights = np.dtype(np.int32), spread.weights
        columns = {
            "input_ids": _fixed(spread.rows["input_ids"]),
            "labels": _fixed(spread.labels(int32, IGNORED)),
            "position_ids": _fixed(spread.position_ids(int32)),
            "seq_lengths": _lists(spread, spread.rows["seq_lengths"]),
        }
        if weights is not None:
            columns["loss_weight"] = _fixed(weights)
        return columns

    def whole(self, shards: Sequence[ExportedShard], length: int) -> dict[str, bytes]:
        phases = list(dict.fromkeys(shard.phase for shard in shards if shard.rows))
        patterns = {phase: f"{phase}/*.parquet" for phase in phases}
        configs = {"default": list(patterns.values())}
        configs |= {phase: [pattern] for phase, pattern in patterns.items() if phase != "default"}
        lines = ["---", "configs:"]
        for name, paths in configs.items():
            # JSON strings are YAML strings.
            lines += [f"- config_name: {json.dumps(name)}", "  data_files:", "  - split: train"]
            lines += ["    path:", *(f"    - {json.dumps(path)}" for path in paths)]
        rows = f"{sum(shard.rows for shard in shards):,} rows of {length:,} tokens, in training order."
        text = "\n".join([*lines, "---", "", rows, ""])
        return {"README.md": text.encode()} if phases else {}
