"""A block of JSON objects, one a line, read at once with Arrow's parser.

```
{"text": "a"} LF {"text": "b", "z": 1} LF        text  a  b
{"text": "a"} {"text": "b"} LF                   not taken: two objects on a line
null LF                                          not taken: no object
```

That parser accepts more than orjson does: several objects on one line, one over several lines, bytes that are not
UTF-8, NaN, and more than 1024 levels. A block with any of the first three is not given to it; the others are allowed
for where lines are read one by one (`json_objects.py`). It is told the type of all that is asked for (`json_types.py`).
"""

import numpy as np
import pyarrow as pa
import pyarrow.json

from byline.transforms.corpora.json_columns import JsonColumns, finished
from byline.transforms.corpora.record_values import Columns, Reader, Want, follow


def parse_block(block: bytes, lines: np.ndarray, columns: JsonColumns) -> list[pa.Array] | None:
    """Parses a block that ends with a newline; None where a line of it has to be read otherwise."""
    explicit = columns.explicit
    if explicit is None or not _one_object_a_line(block, lines) or not _is_utf8(block):
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(block),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pyarrow.json.ParseOptions(explicit_schema=explicit, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):  # the latter where Arrow's own message cuts a character
        return None
    if table.num_rows != len(lines):
        return None
    record = table.combine_chunks().to_batches()[0]
    made = Columns()
    follow(record.to_struct_array(), columns.leads, Reader(_leaf, columns.texts, _as_they_are), made)
    if made.reasons:
        return None
    return [made.column(want, len(lines)) for want in columns.wants]


def _one_object_a_line(block: bytes, lines: np.ndarray) -> bool:
    """Whether every line is one object, given that Arrow's parser finds as many objects as lines and no error.

    For that parser a newline is a space, and it stops at a NUL. But a line that ends with `}` and a next one that
    begins with `{` cannot be inside one object: a comma would be missing. So each line holds an object and perhaps more
    behind it, and by their number no more. A first line that begins otherwise must not reach it: pyarrow 25 crashes
    on `null`.
    """
    data = np.frombuffer(block, np.uint8)
    begin = (data[lines[:, 0]] == ord("{")).all()
    return bool(begin and (data[lines[:, 1] - 1] == ord("}")).all()) and b"\0" not in block


def _is_utf8(block: bytes) -> bool:
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(block)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _leaf(values: pa.Array, want: Want) -> tuple[pa.Array, dict[int, str]]:
    values = finished(values, want)
    return values if values.type == want.field.type else values.cast(want.field.type), {}


def _as_they_are(texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    return texts.cast(pa.large_string()), {}
