"""Bytes of texts, eight at a time: what kernels do with a number that holds them, the first one lowest.

```
text             "no 12 é"         bytes 6e 6f 20 31 32 20 c3 a9, the number 0xA9C3203231206F6E
equal to space   . . 80 . . 80 . .        marks
digits, others   . . . 80 80 . 80 80
before first     2, and 3: how many bytes stand before a mark
```

All numbers are uint64. Few words have eight letters, so one step takes about a word where bytes would take six.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite.ir import Constant, IntType
from numba import njit, types
from numba.extending import intrinsic

EIGHT = np.uint64(8)
ONES = np.uint64(0x0101010101010101)
HIGH = np.uint64(0x8080808080808080)
_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)
_SEVEN_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_FROM_0, _BEHIND_9 = (np.uint64(0x80 - byte) * ONES for byte in (ord("0"), ord("9") + 1))


@njit(nogil=True, cache=True, forceinline=True)
def load(data: np.ndarray, at: int, end: int) -> int:
    """Up to eight bytes of `data[at:end]` as a number, padded with zeros; `at` and `end` are uint64."""
    value = np.uint64(0)
    if at + EIGHT > np.uint64(len(data)):
        for i in range(min(end - at, EIGHT)):
            value |= np.uint64(data[at + np.uint64(i)]) << (EIGHT * np.uint64(i))
        return value
    for i in range(8):  # the compiler makes one load of them
        value |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    return value if end - at >= EIGHT else first_bytes(value, end - at)


@njit(nogil=True, cache=True, forceinline=True)
def store(out: np.ndarray, at: int, value: int) -> None:
    """Writes eight bytes to `out[at:]`, of which there must be so many; `at` is uint64."""
    for i in range(8):  # and one store
        out[at + np.uint64(i)] = np.uint8(value >> np.uint64(8 * i))


@njit(nogil=True, cache=True, forceinline=True)
def digits_and_others(value: int) -> int:
    """Marks the ASCII digits, and the bytes that are not ASCII."""
    low = value & _SEVEN_BITS
    return ((low + _FROM_0) & ~(low + _BEHIND_9) | value) & HIGH


@njit(nogil=True, cache=True, forceinline=True)
def equal_to(value: int, pattern: int) -> int:
    """Marks bytes that are those of a pattern; behind the first one there may be marks that are wrong."""
    other = value ^ pattern
    return (other - ONES) & ~other & HIGH


def _count_trailing_zeros(context: Any, value: Any) -> Any:
    del context, value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.cttz(arguments[0], Constant(IntType(1), 0))

    return types.uint64(types.uint64), generate


# How many bits of a uint64 are zeros below its lowest one, 64 of 0: one instruction of the processor.
_trailing_zeros = cast(Callable[[int], int], intrinsic(_count_trailing_zeros))


@njit(nogil=True, cache=True, forceinline=True)
def before_first(marks: int) -> int:
    """How many bytes stand before the first that is marked; 8 where none is."""
    return _trailing_zeros(marks) >> np.uint64(3)


@njit(nogil=True, cache=True, forceinline=True)
def first_bytes(value: int, length: int) -> int:
    """The first of the eight bytes, and zeros behind them; of eight at most."""
    half = np.uint64(4) * length  # a shift by 64 bits at once is none
    return value & ~(_ALL << half << half)
