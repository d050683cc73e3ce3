"""White space in UTF-8 bytes, for kernels: what `str.isspace` says, without decoding.

```
bytes           20   09   C2 A0   E2 80 83   E3 80 81   61
space_length     1    1       2          3          0    0
```
"""

import numpy as np
from numba import njit

# What a byte that begins a character says of it.
WORD, SPACE, MAYBE_SPACE = 0, 1, 2
BYTE_KINDS = np.full(256, WORD, np.uint8)
BYTE_KINDS[list(b"\t\n\v\f\r\x1c\x1d\x1e\x1f ")] = SPACE
BYTE_KINDS[[0xC2, 0xE1, 0xE2, 0xE3]] = MAYBE_SPACE  # begins a wide space, or any other character


@njit(nogil=True, cache=True)
def space_length(data: np.ndarray, at: int, end: int) -> int:
    """Bytes of the white space (`str.isspace`) that begins at `at`; 0 where none does."""
    byte = data[at]
    if BYTE_KINDS[byte] != MAYBE_SPACE:
        return 1 if BYTE_KINDS[byte] == SPACE else 0
    if byte == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if at + 2 >= end:
        return 0
    second, third = data[at + 1], data[at + 2]
    if byte == 0xE1:
        is_space = second == 0x9A and third == 0x80  # U+1680
    elif byte == 0xE3:
        is_space = second == 0x80 and third == 0x80  # U+3000
    elif second == 0x81:
        is_space = third == 0x9F  # U+205F
    else:  # U+2000 to U+200A, U+2028, U+2029, U+202F
        is_space = second == 0x80 and (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    return 3 if is_space else 0


@njit(nogil=True, cache=True)
def strip(data: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The part of `data[begin:end]` that `str.strip` leaves."""
    while begin < end:
        length = space_length(data, begin, end)
        if length == 0:
            break
        begin += length
    while begin < end:
        last = end - 1
        while last > begin and data[last] & 0xC0 == 0x80:
            last -= 1
        if space_length(data, last, end) != end - last:
            break
        end = last
    return begin, end
