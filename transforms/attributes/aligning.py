"""The file of an attribute beside a run: its values in the run's order, in the run's record batches.

```
values of chunk a    row 0 bread    row 3 sport        run of a    shuffle_key  row      file    shuffle_key  topic
                                                                   12           3                12           sport
                                                                   15           1                15           null
                                                                   19           0                19           bread
```

A merged run has the values of all its chunks. They come from `values`, or, where a run was merged after its attribute
was made, from the attribute's files beside the runs that it was merged from, which need not be there any more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pyarrow as pa

from byline.schemas.attribute_kinds.attribute import ColumnType
from byline.schemas.field_counts import FieldCounts
from byline.transforms.attributes.batch_files import plain
from byline.transforms.attributes.values import read_values, values_of
from byline.transforms.files.sealed_files import open_sealed, write_sealed
from byline.transforms.files.storage import exists, open_random
from byline.transforms.store.field_counting import count_fields
from byline.transforms.store.run_pieces import as_one, reading_run
from byline.transforms.store.run_reading import open_run
from byline.transforms.store.store_index import read_run_file

# In the metadata of an attribute's file: column -> documents with a value, without, with one that is none.
COUNTS_KEY = b"byline.attribute"
_KEYS = ("shuffle_key", "row", "file")


@dataclass(frozen=True)
class AlignWork:
    """One file to write, as a line.

    Attributes:
        run: address of the run.
        target: of the attribute's file.
        values: of each chunk of the run, in their order, address of its values; the file need not exist.
        earlier: of each chunk, a file of the attribute that has its values already, and its number in it; or None.
    """

    run: str
    target: str
    values: list[str]
    earlier: list[tuple[str, int] | None]

    def to_json(self) -> str:
        """As a line."""
        return json.dumps([self.run, self.target, self.values, self.earlier])

    @classmethod
    def from_json(cls, line: str) -> "AlignWork":
        """What `to_json` made this of."""
        run, target, values, earlier = json.loads(line)
        return cls(run, target, values, [None if known is None else (known[0], known[1]) for known in earlier])


@dataclass(frozen=True)
class Align:
    """Writes the files of an attribute; `columns` by name with their types."""

    columns: Mapping[str, ColumnType]

    def __call__(self, line: str) -> None:
        """Writes one file, unless it is there."""
        work = AlignWork.from_json(line)
        if exists(work.target):
            return
        batches = list(open_run(work.run, _KEYS).batches())
        index = as_one(batches, batches[0].schema) if batches else open_run(work.run, _KEYS).whole()
        chunk = index["file"].to_numpy() if "file" in index.schema.names else np.zeros(index.num_rows, np.int32)
        chunks = [
            self._of_chunk(work, number, index["row"].to_numpy()[chunk == number]) for number in range(len(work.values))
        ]
        # The documents of chunk 0, then those of chunk 1, ...: back to the run's order.
        back = np.empty(index.num_rows, np.int64)
        back[np.argsort(chunk, kind="stable")] = np.arange(index.num_rows)
        columns = {
            name: pa.concat_arrays([chunk[name] for chunk in chunks]).take(pa.array(back)) for name in self.columns
        }
        _write(work, index, [batch.num_rows for batch in batches], columns)

    def _of_chunk(self, work: AlignWork, number: int, rows: np.ndarray) -> dict[str, pa.Array]:
        """The columns of the documents of one chunk."""
        earlier = work.earlier[number]
        values = read_values(work.values[number]) if earlier is None else _read_earlier(*earlier, list(self.columns))
        return {name: values_of(values, rows, name, kind) for name, kind in self.columns.items()}


def _read_earlier(uri: str, number: int, names: Sequence[str]) -> pa.RecordBatch:
    """The values of a chunk, by row, from a file of the attribute."""
    values = open_run(uri, [*_KEYS, *names]).whole()
    own = np.arange(values.num_rows)
    if "file" in values.schema.names:
        own = np.flatnonzero(values["file"].to_numpy() == number)
    order = pa.array(own[np.argsort(values["row"].to_numpy()[own])])
    columns = [plain(values[name].take(order)) for name in names]
    return pa.RecordBatch.from_arrays([values["row"].take(order), *columns], ["row", *names])


def _as_batch(columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def read_counts(uri: str) -> dict[str, FieldCounts]:
    """How many documents of a run have a value of each column of an attribute, as its file says."""
    with reading_run(uri), open_random(uri) as source:
        counts = json.loads((open_sealed(source).schema.metadata or {})[COUNTS_KEY])
        return {name: FieldCounts(*numbers) for name, numbers in counts.items()}


def _write(work: AlignWork, index: pa.RecordBatch, sizes: list[int], columns: Mapping[str, pa.Array]) -> None:
    """Writes the columns in record batches of these sizes, with the description of the run."""
    file = read_run_file(work.run, 0)
    described = file.to_metadata() if file.is_merged else file.chunks[0].to_metadata()
    fields = [*index.schema, *(pa.field(name, column.type) for name, column in columns.items())]
    counts = {name: astuple(count) for name, count in count_fields(_as_batch(columns)).items()}
    schema = pa.schema(fields, {**described, COUNTS_KEY: json.dumps(counts).encode()})
    whole = pa.RecordBatch.from_arrays([*index.columns, *columns.values()], schema=schema)
    start = 0
    with write_sealed(work.target, schema) as writer:
        for size in sizes:
            writer.write_batch(whole.slice(start, size))
            start += size
