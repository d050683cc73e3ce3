"""Where the buffers of an uncompressed Arrow IPC file lie, so that part of a column can be read on its own.

```
file       ARROW1  schema  batch 0  batch 1  ...  footer  length of the footer  ARROW1
footer     the schema, and where each batch begins
batch      message  body                    message   rows, nulls of each column, where each buffer lies in the body
body       shuffle_key  row  ...  tokens    tokens    offsets, values
```

The format is public and stable (https://arrow.apache.org/docs/format/Columnar.html): footer and message are
flatbuffers, of which only these fields are read. pyarrow can skip whole columns, but not rows of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_MAGIC = b"ARROW1"
# A file ends with the length of its footer (int32) and the magic.
END_BYTES = 4 + len(_MAGIC)
# Before a message: four bytes 0xFF, then its length (int32).
PREFIX_BYTES = 8
# pyarrow expects a file before the footer, but reads none of it to get the schema.
_BLANK_FILE = bytes(64)

# Numbers of the fields in Arrow's flatbuffers (format/File.fbs, Message.fbs).
_FOOTER_BATCHES = 3
_MESSAGE_HEADER = 2
_BATCH_ROWS, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = range(4)

# Bytes of a batch's body from one offset to another.
ReadBody = Callable[[int, int], pa.Buffer]


class _Table:
    """A table of a flatbuffer: fields by number, any of which may be absent."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._start = start
        self._fields = start - _int(data, start, 4)

    @classmethod
    def root(cls, data: bytes) -> "_Table":
        return cls(data, _int(data, 0, 4))

    def offset(self, number: int) -> int | None:
        """Where the field's value lies in the flatbuffer; None if the field is absent."""
        slot = 4 + 2 * number
        if slot >= _int(self._data, self._fields, 2):
            return None
        offset = _int(self._data, self._fields + slot, 2)
        return self._start + offset if offset else None

    def number(self, number: int) -> int:
        """A field of 64 bits; 0 if it is absent."""
        offset = self.offset(number)
        return 0 if offset is None else _int(self._data, offset, 8)

    def table(self, number: int) -> "_Table":
        offset = self.offset(number)
        if offset is None:
            raise ValueError(f"its flatbuffer has no field {number}")
        return _Table(self._data, offset + _int(self._data, offset, 4))

    def structs(self, number: int, words: int) -> np.ndarray:
        """int64 [n, words]: a list of n structs, each of `words` 64-bit words."""
        offset = self.offset(number)
        if offset is None:
            return np.zeros((0, words), np.int64)
        start = offset + _int(self._data, offset, 4)
        count = _int(self._data, start, 4)
        return np.frombuffer(self._data, "<i8", count * words, start + 4).reshape(count, words)


def _int(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little", signed=size > 2)


def footer_size(end: bytes) -> int:
    """How many bytes from a file's end its footer begins.

    Args:
        end: at least the last `END_BYTES` of the file.

    Raises:
        ValueError: the file is not an Arrow IPC file.
    """
    if len(end) < END_BYTES or not end.endswith(_MAGIC):
        raise ValueError("not an Arrow IPC file")
    size = _int(end, len(end) - END_BYTES, 4)
    if size < 0:
        raise ValueError(f"its footer has a length of {size}")
    return size + END_BYTES


def read_footer(end: bytes) -> tuple[pa.Schema, np.ndarray]:
    """The schema, and where each record batch begins in the file (int64 [batches]).

    Args:
        end: at least the last `footer_size` bytes of the file.
    """
    footer = end[len(end) - footer_size(end) :]
    return pa.ipc.open_file(pa.py_buffer(_BLANK_FILE + footer)).schema, batch_ranges(end)[:, 0].copy()


def batch_ranges(end: bytes) -> np.ndarray:
    """Where each record batch begins in the file, where its body does, and where it ends; int64 [batches, 3].

    Args:
        end: at least the last `footer_size` bytes of the file.
    """
    starts, messages, bodies = _Table.root(end[len(end) - footer_size(end) :]).structs(_FOOTER_BATCHES, 3).T
    # The size of a message has 32 bits, and 32 more that mean nothing.
    starts_of_bodies = starts + (messages & 0xFFFFFFFF)
    return np.stack([starts, starts_of_bodies, starts_of_bodies + bodies], axis=1)


@dataclass(frozen=True)
class BatchLayout:
    """What the message of a record batch says.

    Attributes:
        rows: in the batch.
        body: where the body begins, in bytes from the batch's start.
        nodes: int64 [nodes, 2], length and null count of each column and of each list's values, depth first.
        buffers: int64 [buffers, 2], offset in the body and length of each buffer, in the same order.
    """

    rows: int
    body: int
    nodes: np.ndarray
    buffers: np.ndarray

    def extent(self, column: "Column") -> tuple[int, int]:
        """Where a column's buffers begin and end in the body."""
        buffers = self.buffers[column.buffer : column.buffer + buffer_count(column.type)]
        return int(buffers[0, 0]), int(buffers[-1].sum())

    def array(self, column: "Column", read: ReadBody) -> pa.Array:
        """A whole column, from the bytes of its buffers."""
        return self._array(column.type, column.node, column.buffer, read)

    def _array(self, kind: pa.DataType, node: int, buffer: int, read: ReadBody) -> pa.Array:
        children_start = buffer + _own_buffers(kind)
        buffers = [self._buffer(number, read) for number in range(buffer, children_start)]
        children = [self._array(kind.value_type, node + 1, children_start, read)] if _is_list(kind) else None
        length, nulls = self.nodes[node].tolist()
        # The first buffer is the validity bitmap, which a column without nulls does without.
        buffers[0] = buffers[0] if nulls else None
        return pa.Array.from_buffers(kind, length, buffers, nulls, 0, children)

    def _buffer(self, number: int, read: ReadBody) -> pa.Buffer:
        offset, length = self.buffers[number].tolist()
        return read(offset, offset + length)


def message_size(head: bytes) -> int:
    """How many bytes the message of a record batch takes, from the batch's first `PREFIX_BYTES`."""
    if head[:4] != b"\xff\xff\xff\xff":
        raise ValueError("no message where its footer says that a record batch begins")
    return PREFIX_BYTES + _int(head, 4, 4)


def read_batch_layout(head: bytes) -> BatchLayout:
    """Reads the message of a record batch.

    Args:
        head: at least the first `message_size` bytes of the batch.

    Raises:
        ValueError: the file is damaged, or its buffers are compressed.
    """
    size = message_size(head)
    batch = _Table.root(head[PREFIX_BYTES:size]).table(_MESSAGE_HEADER)
    if batch.offset(_BATCH_COMPRESSION) is not None:
        raise ValueError("its buffers are compressed")
    return BatchLayout(
        rows=batch.number(_BATCH_ROWS),
        body=size,
        nodes=batch.structs(_BATCH_NODES, 2),
        buffers=batch.structs(_BATCH_BUFFERS, 2),
    )


@dataclass(frozen=True)
class Column:
    """A column of a schema: its name and type, and the numbers of its first node and first buffer in every batch."""

    name: str
    type: pa.DataType
    node: int
    buffer: int


def columns_of(schema: pa.Schema) -> list[Column]:
    """All columns of a schema.

    Raises:
        ValueError: one has a type that cannot be read here (a dictionary, a struct).
    """
    columns, node, buffer = [], 0, 0
    for field in schema:
        columns.append(Column(field.name, field.type, node, buffer))
        node, buffer = node + _node_count(field.type), buffer + buffer_count(field.type)
    return columns


def buffer_count(kind: pa.DataType) -> int:
    """How many buffers a column of this type has, those of a list's values included."""
    return _own_buffers(kind) + (buffer_count(kind.value_type) if _is_list(kind) else 0)


def _node_count(kind: pa.DataType) -> int:
    return 1 + (_node_count(kind.value_type) if _is_list(kind) else 0)


def _own_buffers(kind: pa.DataType) -> int:
    """How many buffers the type itself has: nulls, then values or offsets (strings both, lists of one length none)."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return 3
    if pa.types.is_fixed_size_list(kind):
        return 1
    if _is_list(kind) or (pa.types.is_primitive(kind) and not pa.types.is_dictionary(kind)):
        return 2
    raise ValueError(f"columns of type {kind} cannot be read in parts")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
