"""JSON lines for tests: files of them, what is read of one, and both parsers on one block."""

import pyarrow as pa

from byline.schemas.corpora import Malformed
from byline.schemas.documents import InputFile
from byline.transforms.corpora import json_blocks, json_lines, json_objects
from byline.transforms.corpora.decompressing import line_bounds
from byline.transforms.corpora.json_texts import json_columns
from byline.transforms.corpora.record_values import leads_of, wants_of

SCHEMA = pa.schema(
    [
        ("text", pa.large_string()),
        ("url", pa.large_string()),
        ("score", pa.float32()),
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("deep", pa.int64()),
    ]
)
PATHS = {"text": "text", "url": "m.u", "score": "score", "i": "i", "f": "f", "s": "s", "b": "b", "deep": "m.i"}
BROKEN = b'{"text": 1}'


def write(folder, content, name="a.jsonl"):
    path = folder / name
    path.write_bytes(content)
    return InputFile("mine", name, str(path), len(content))


def columns_of(schema, paths):
    return json_columns(leads_of(wants_of(schema, paths)))


def read(file, schema=SCHEMA, paths=PATHS, malformed=Malformed.DROP, block_bytes=1 << 24):
    """All records: a dictionary of what is not null, or None where malformed."""
    rows = []
    for batch, mask, *_ in json_lines.read_json_lines(file, schema, paths, malformed, block_bytes):
        batch.validate(full=True)
        assert batch.schema == schema
        values = [{key: value for key, value in row.items() if value is not None} for row in batch.to_pylist()]
        assert not any(row for row, bad in zip(values, mask, strict=True) if bad)
        rows += [None if bad else row for row, bad in zip(values, mask, strict=True)]
    return rows


def hold_parsers_together(lines, columns):
    block = b"\n".join([*lines, b""])
    bounds = line_bounds(block)
    fast = json_blocks.parse_block(block, bounds, columns)
    slow, reasons = json_objects._read_lines(block, bounds, columns)
    if fast is not None:
        assert not reasons
        assert all(array.equals(other) for array, other in zip(fast, slow, strict=True))


def as_object(items):
    return "{" + ",".join(f"{key}: {value}" for key, value in items) + "}"
