"""Mutations of bytes, of JSON values and of configurations, all decided by a generator that is given."""

import copy
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Values that stand at the border of something.
INTEGERS = (0, 1, -1, 2, 3, 7, 8, 127, 255, 256, 2**15, 2**16, 2**31 - 1, -(2**31), 2**32 - 1, 2**32, 2**53 + 1, 2**63)
NUMBERS = (0.5, -0.0, 1e300, 1e-300, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    "",
    " ",
    "\n",
    "\0",
    "\x1b[2J",
    "\u202e",
    "\ud800",
    "\U0010ffff",
    "../..",
    "/dev/zero",
    "/",
    ".",
    "~",
    "$HOME",
    "a:b",
    "a.b:c",
    "s3://",
    "s3://b/../k",
    "file:///x",
    "{",
    "{host}",
    "{{",
    "[red]x[/]",
    "null",
    "1e999999999",
    "1/0",
    "1e15",
    "99T",
    "-1",
    "0x10",
    "9" * 400,
    "%s%n",
    "{a,b}" * 30,
    "*" * 300,
    "(" * 200,
    "x" * 70_000,
    "<|endoftext|>",
    "__label__",
)
VALUES: tuple[Any, ...] = (
    *INTEGERS,
    *NUMBERS,
    *TEXTS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": 0},
    {"a": {"a": {}}},
)


def mutated_bytes(chance: random.Random, content: bytes, spans: Sequence[tuple[int, int]] = ()) -> bytes:
    """Content with one to four changes.

    Args:
        chance: decides which.
        content: of a whole file.
        spans: (position, bytes of the number there) that are worth more changes than others: 1, 4 or 8 bytes each.
    """
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if spans and chance.random() < 0.6:
            _set_number(chance, data, *chance.choice(spans))
        elif data:
            chance.choice(_CHANGES)(chance, data)
    return bytes(data)


def _set_number(chance: random.Random, data: bytearray, position: int, size: int) -> None:
    if position + size <= len(data):
        value = chance.choice(INTEGERS) if chance.random() < 0.7 else chance.getrandbits(8 * size)
        data[position : position + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _flip(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice((0, 10, 34, 44, 92, 123, 125, 127, 128, 255))


def _cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _remove(chance: random.Random, data: bytearray) -> None:
    begin = chance.randrange(len(data))
    del data[begin : begin + chance.choice((1, 4, 8, 100, 1000))]


def _repeat(chance: random.Random, data: bytearray) -> None:
    begin = chance.randrange(len(data))
    data[begin:begin] = data[begin : begin + chance.choice((1, 4, 8, 100, 1000))] * chance.choice((1, 2, 50))


def _set_word(chance: random.Random, data: bytearray) -> None:
    _set_number(chance, data, chance.randrange(len(data)), chance.choice((4, 8)))


def _set_float(chance: random.Random, data: bytearray) -> None:
    position = chance.randrange(len(data))
    if position + 4 <= len(data):
        data[position : position + 4] = struct.pack("<f", chance.choice((float("nan"), float("inf"), 3e38, -0.0)))


_CHANGES: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip,
    _flip,
    _set_byte,
    _cut,
    _remove,
    _repeat,
    _set_word,
    _set_float,
)


def mutated_value(chance: random.Random, value: Any) -> Any:
    """A copy of plain values with one to three of them replaced, removed, doubled or put elsewhere."""
    changed = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        spots = list(spots_of(changed))
        if not spots:
            return chance.choice(VALUES)
        holder, key = chance.choice(spots)
        how = chance.random()
        if how < 0.6:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif how < 0.7:
            del holder[key]
        elif how < 0.8:
            other, other_key = chance.choice(spots)
            if _holds(other, other_key):
                holder[key] = copy.deepcopy(other[other_key])
        elif isinstance(holder, dict):
            name = chance.choice((*TEXTS[:-3], "names", "file", "name"))
            holder[name] = holder.pop(key) if how < 0.9 else copy.deepcopy(chance.choice(VALUES))
        else:
            holder.insert(key, copy.deepcopy(holder[key]))
    return changed


def _holds(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def spots_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key or index) of every value inside of another."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, item in items:
        yield value, key
        yield from spots_of(item)
