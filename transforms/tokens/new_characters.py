"""Finds texts with characters on which gigatoken and tokenizers disagree: the letters and digits that Unicode 17 added.

Tokenizers split a text into words by which characters are letters and which are digits. gigatoken has the tables of
Unicode 17, tokenizers has older ones, so the two may split a text with one of these 4,700 characters differently. Such
texts go to tokenizers, whose ids are the reference.

```
text      "abc"   "a U+323B0 b"   "emoji U+1F600"
has one   False   True            False
```
"""

import numba
import numpy as np
import pyarrow as pa

# First and last character of each range, ascending. A test tries every character of Unicode.
UNICODE_17 = np.array(
    [
        (0x088F, 0x088F),  # Arabic
        (0x0C5C, 0x0C5C),  # Telugu
        (0x0CDC, 0x0CDC),  # Kannada
        (0xA7CE, 0xA7D4),  # Latin
        (0xA7F1, 0xA7F1),
        (0x10940, 0x1095F),  # Sidetic
        (0x10EC5, 0x10EC7),  # Arabic
        (0x11DB0, 0x11DEF),  # Tolong Siki
        (0x16EA0, 0x16EDF),  # Beria Erfe
        (0x16FF2, 0x16FF6),  # Ideographic symbols
        (0x187F8, 0x187FF),  # Tangut
        (0x18D09, 0x18DFF),
        (0x1E6C0, 0x1E6FF),  # Tai Yo
        (0x2B73A, 0x2B73F),  # CJK
        (0x2CEA2, 0x2CEAD),
        (0x323B0, 0x33479),
    ],
    np.int64,
)


def has_new_characters(texts: pa.Array) -> np.ndarray:
    """bool [n]: which texts have one.

    Args:
        texts: large_string [n] without nulls, in valid UTF-8.
    """
    if len(texts) == 0:
        return np.zeros(0, bool)
    _, offsets, data = texts.buffers()
    if data is None:
        return np.zeros(len(texts), bool)
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return _find(np.frombuffer(data, np.uint8), bounds, UNICODE_17)


@numba.njit(cache=True, nogil=True)
def _find(data: np.ndarray, bounds: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    has_one = np.zeros(len(bounds) - 1, np.bool_)
    for text in range(len(has_one)):
        position, end = bounds[text], bounds[text + 1]
        while position < end:
            byte = data[position]
            if byte < 0xE0:
                # Part of a character of one or two bytes, none of which is new.
                position += 1
                continue
            size = 3 if byte < 0xF0 else 4
            character = np.int64(byte & (0x0F if size == 3 else 0x07))
            for offset in range(1, size):
                character = character << 6 | np.int64(data[position + offset] & 0x3F)
            position += size
            for number in range(len(ranges)):
                if character <= ranges[number, 1]:
                    has_one[text] |= character >= ranges[number, 0]
                    break
    return has_one
