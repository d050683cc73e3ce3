"""Where buffers lie in Arrow files, held against what pyarrow reads, for every type that a run has."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.arrow_file import (
    END_BYTES,
    PREFIX_BYTES,
    columns_of,
    footer_size,
    message_size,
    read_batch_layout,
    read_footer,
)
from byline.schemas.documents import MASKED, tokens_field
from tests.support.thorough import examples

FIELDS: list[tuple[pa.Field, st.SearchStrategy[Any]]] = [
    (pa.field("location", pa.uint64(), nullable=False), st.integers(0, 2**64 - 1)),
    (pa.field("row", pa.int64(), nullable=False), st.integers(-(2**63), 2**63 - 1)),
    (pa.field("file", pa.int32(), nullable=False), st.integers(0, 2**31 - 1)),
    (pa.field("score", pa.float32()), st.none() | st.floats(width=32, allow_nan=False)),
    (pa.field("ratio", pa.float64()), st.none() | st.floats(allow_nan=False)),
    (pa.field("open", pa.bool_()), st.none() | st.booleans()),
    (pa.field("host", pa.string()), st.none() | st.text(max_size=5)),
    (pa.field("url", pa.large_string()), st.none() | st.text(max_size=5)),
    (MASKED, st.lists(st.integers(0, 9), max_size=4)),
    (tokens_field(pa.uint16()), st.lists(st.integers(0, 2**16 - 1), max_size=9)),
    (tokens_field(pa.int32()).with_name("tokens32"), st.lists(st.integers(0, 2**31 - 1), max_size=9)),
]


@st.composite
def batches(draw: st.DrawFn) -> list[pa.RecordBatch]:
    """Batches of one schema, each a part of a longer one."""
    chosen = draw(st.lists(st.sampled_from(range(len(FIELDS))), min_size=1, unique=True))
    schema = pa.schema([FIELDS[number][0] for number in chosen], draw(st.sampled_from([None, {b"key": b"v" * 99}])))
    slices = []
    for _ in range(draw(st.integers(0, 3))):
        rows = draw(st.integers(1, 12))
        columns = [
            pa.array(draw(st.lists(FIELDS[number][1], min_size=rows, max_size=rows)), FIELDS[number][0].type)
            for number in chosen
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        slices.append(batch.slice(draw(st.integers(0, rows - 1))))
    return slices or [batch_of_nothing(schema)]


def batch_of_nothing(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def written(some: list[pa.RecordBatch], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, some[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in some:
            if batch.num_rows:
                writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def body_reader(content: bytes, body: int) -> Callable[[int, int], pa.Buffer]:
    return lambda start, end: pa.py_buffer(content[body + start : body + end])


@examples(150)
@given(batches())
def test_every_column_alone_is_what_pyarrow_reads(some: list[pa.RecordBatch]) -> None:
    content = written(some)
    reader = pa.ipc.open_file(pa.py_buffer(content))
    schema, starts = read_footer(content[len(content) - footer_size(content[-END_BYTES:]) :])
    assert schema.equals(reader.schema, check_metadata=True)
    assert len(starts) == reader.num_record_batches
    for number, start in enumerate(starts.tolist()):
        size = message_size(content[start : start + PREFIX_BYTES])
        layout = read_batch_layout(content[start : start + size])
        expected = reader.get_batch(number)
        assert layout.rows == expected.num_rows
        for column in columns_of(schema):
            low, high = layout.extent(column)
            array = layout.array(column, body_reader(content, start + layout.body))
            array.validate(full=True)
            assert array.equals(expected[column.name])
            # The column's bytes lie where `extent` says: it is read with everything else missing.
            alone = bytes(start + layout.body + low) + content[start + layout.body + low : start + layout.body + high]
            assert layout.array(column, body_reader(alone, start + layout.body)).equals(array)


def test_what_is_no_arrow_file() -> None:
    for end in (b"", b"ARROW", b"{}" * 20, written([batch_of_nothing(pa.schema([("a", pa.int32())]))])[:-1]):
        with pytest.raises(ValueError, match="not an Arrow IPC file"):
            footer_size(end)


def test_a_batch_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no message where its footer says"):
        message_size(bytes(8))


def test_compressed_buffers_are_refused() -> None:
    content = written([pa.RecordBatch.from_pydict({"a": list(range(1000))})], compression="lz4")
    start = read_footer(content)[1][0]
    with pytest.raises(ValueError, match="compressed"):
        read_batch_layout(content[start:])


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.int8())]), pa.null()])
def test_types_that_are_not_read_in_parts(kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"columns of type .* cannot be read in parts"):
        columns_of(pa.schema([("a", kind)]))
