"""Reads some records of a file of JSON lines: the others are decompressed and counted, and not parsed.

```
rows 1 3     {"text": "a"} LF {"text": "b"} LF {"text": "c"} LF {"text": "d"} LF {"text": "e"} LF
text         b  d                                                                  not read
```

What a line is and means is what `json_lines.py` says.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.transforms.corpora.decompressing import LINE_LIMIT, line_bounds, read_blocks
from byline.transforms.corpora.json_objects import BLOCK_BYTES, parse_lines
from byline.transforms.corpora.json_texts import json_columns
from byline.transforms.corpora.record_values import leads_of, wants_of

# How many times as long as a document a line may be: its text may be escaped, and other fields stand beside it.
_LINES_OF_DOCUMENT = 4


def read_json_rows(
    file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str], rows: np.ndarray
) -> Iterator[pa.RecordBatch]:
    """Reads some records.

    Args:
        file: the file.
        source: of the file.
        schema: the columns to give, as of `read_json_lines`.
        paths: column -> path of its values.
        rows: int64 [n], numbers of records in the file, ascending.

    Yields:
        Those records in their order, some at a time; fewer than were asked for if the file has fewer.

    Raises:
        FaultyFileError: the file cannot be read or decompressed.
    """
    columns = json_columns(leads_of(wants_of(schema, paths)))
    first = begun = 0
    long_lines: dict[int, int] = {}
    for offset, block in read_blocks(file.uri, BLOCK_BYTES, line_limit(source.max_document), long_lines):
        if begun == len(rows):
            return
        # The head of a line that is too long counts though it may be blank.
        lines = np.array([[0, len(block) - 1]]) if offset in long_lines else line_bounds(block)
        ended = int(np.searchsorted(rows, first + len(lines)))
        if ended > begun:
            arrays, _ = parse_lines(*only_lines(block, lines[rows[begun:ended] - first]), columns)
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        first, begun = first + len(lines), ended


def only_lines(block: bytes, lines: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Some lines of a block as one, and where they begin and end in it (both int64[lines, 2])."""
    parts = [block[start:end] for start, end in lines.tolist()]
    ends = np.cumsum([len(part) + 1 for part in parts], dtype=np.int64)
    return b"\n".join([*parts, b""]), np.stack([ends - np.diff(lines)[:, 0] - 1, ends - 1], axis=1)


def line_limit(max_document: int) -> int:
    """From how many bytes on a line is too long, whatever is in it."""
    return min(_LINES_OF_DOCUMENT * max_document, LINE_LIMIT)
