"""Where the runs of each source are, as a small file that every worker reads before its first shard.

```
source  file  uri
web     0     STORE/web/5f3e.../a-00000.arrow
web     1     STORE/web/5f3e.../merged-91c3.arrow      chunks 0 and 1 of a merged run are of files 1 and 2
web     2     STORE/web/5f3e.../merged-91c3.arrow
```
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from byline.transforms.files.refusals import Sink
from byline.transforms.files.storage import open_random

INDEX_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class RunIndex:
    """Where the runs of each source are: source -> (uri, file number of each of its stages)."""

    runs: dict[str, list[tuple[str, list[int]]]]

    @classmethod
    def read(cls, uri: str) -> "RunIndex":
        """Reads an Arrow IPC file of `INDEX_SCHEMA`."""
        with open_random(uri) as source:
            table = pa.ipc.open_file(source).read_all()
        return cls.of(zip(*(table[name].to_pylist() for name in INDEX_SCHEMA.names), strict=True))

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str]]) -> "RunIndex":
        """From (source, file number, uri) of every chunk; those of a merged run in order of its stages."""
        files: dict[tuple[str, str], list[int]] = {}
        for source, file, uri in rows:
            files.setdefault((source, uri), []).append(file)
        runs: dict[str, list[tuple[str, list[int]]]] = {}
        for (source, uri), numbers in files.items():
            runs.setdefault(source, []).append((uri, numbers))
        return cls(runs)


def write_index(index: list[tuple[str, int, str]], sink: Sink) -> None:
    """Writes (source, file number, uri) of every run."""
    columns = list(zip(*index, strict=True)) if index else [(), (), ()]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, INDEX_SCHEMA, strict=True)], INDEX_SCHEMA)
    with pa.ipc.new_file(sink, INDEX_SCHEMA) as writer:
        writer.write_table(table)
