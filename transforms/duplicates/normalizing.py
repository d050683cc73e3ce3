"""What counts as the same text: a text in a normal form, and 128 bits of it.

```
form          "Café —  No. 1,250!\\n"
exact         "Café —  No. 1,250!\\n"     the bytes as they are
text          "cafe no 1250"              lower case, no accents, no punctuation, one space between words
simplified    "cafe no 0"                 the same, and each run of digits is 0
```

`simplified` is what datatrove does to a text before MinHash (its `simplify_text`), `text` the same with numbers kept,
as pages that differ in a price or a date alone are not the same. Each form says less than the one before it, so texts
that are equal in one are equal in all below.

For every character of the basic plane (the others stay as they are):

| character | becomes |
|---|---|
| white space (`str.isspace`) | one space for all that stand together; none at the ends |
| punctuation, symbols, control and format characters (categories P, S, Cc, Cf, other Zs) | nothing |
| combining accents U+0300 to U+036F | nothing |
| any other | its lower case without those accents, if that is one character; else its lower case |
| a decimal digit of any script, in `simplified` | 0, and several together one 0 |

So a composed and a decomposed é are the same. Categories and decompositions are those of Unicode 3.2, which every
Python has beside its own: the form of a text does not depend on the Python that makes it. Characters that are younger
stay as they are. What differs from datatrove: it has its own list of punctuation, shorter than these categories, and
removes the vowel signs of Indian scripts with the accents.

A text of which nothing is left is the same as another only if its bytes are.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numba import njit

from byline.transforms.documents.text_parts import text_buffers
from byline.transforms.duplicates.eight_bytes import (
    EIGHT,
    HIGH,
    before_first,
    digits_and_others,
    load,
    store,
)
from byline.transforms.duplicates.hashing import murmur3

Form = Literal["exact", "text", "simplified"]
# From the one that tells most texts apart to the one that tells fewest.
FORMS: tuple[Form, ...] = get_args(Form)
_PLANE = 1 << 16
# Characters that stay, most of the plane: ideographs; then Hangul, surrogates and what is for private use.
_SAME = (range(0x3400, 0xA000), range(0xAC00, 0xF900))
_ACCENTS = range(0x0300, 0x0370)
_GONE, _SPACE, _ZERO = 0, 32, ord("0")
# Beside the number of a character: it stays, or it is a space.
_S24, _S25, _POINT = np.uint64(24), np.uint64(25), np.uint64((1 << 24) - 1)
_STAYS, _SPACES = np.uint64(1 << 24), np.uint64(1 << 25)
_ONE, _TWO, _THREE, _FOUR = (np.uint64(number) for number in (1, 2, 3, 4))


class Texts(NamedTuple):
    """Texts as kernels read them.

    Attributes:
        borders: int64 [n + 1], where each begins in `data`.
        data: uint8, UTF-8.
    """

    borders: np.ndarray
    data: np.ndarray


def coarsest(*forms: Form) -> Form:
    """The form that says least, of some."""
    return max(forms, key=FORMS.index)


def normalized(texts: pa.Array, form: Form) -> Texts:
    """Texts in a normal form.

    Args:
        texts: large_string [n] without nulls.
        form: which.

    Returns:
        n texts; those of `exact` share the bytes of `texts`.
    """
    plain = Texts(*text_buffers(texts))
    return coarser(plain, "exact", form)


def coarser(texts: Texts, form: Form, wanted: Form) -> Texts:
    """Texts that are in one form in another that says less, or the same."""
    if wanted == form:
        return texts
    if form == "exact":
        texts = _made(_normalize, texts, _characters())
    return texts if wanted == "text" else _made(_merge_digits, texts, _digits())


def _made(kernel: Callable[..., None], texts: Texts, table: np.ndarray) -> Texts:
    # Eight bytes may be written behind the end.
    out = np.empty(texts.borders[-1] - texts.borders[0] + 8, np.uint8)
    borders = np.zeros(len(texts.borders), np.int64)
    kernel(*texts, table, borders, out)
    return Texts(borders, out[: borders[-1]])


def text_hashes(texts: pa.Array, normal: Texts) -> np.ndarray:
    """128 bits of each text: MurmurHash3 (x64), with seed 0, of its normal form.

    Where nothing is left of a text, that of its bytes with seed 1: those are the same only if their bytes are.

    Args:
        texts: large_string [n] without nulls.
        normal: the same in the form that counts.

    Returns:
        uint64 [n, 2].
    """
    hashes = np.empty((len(texts), 2), np.uint64)
    _hash_texts(*normal, *text_buffers(texts), hashes)
    return hashes


@cache
def _characters() -> np.ndarray:
    """What each character of the basic plane becomes in the form `text`: uint32 [65,536] with flags."""
    table = np.arange(_PLANE, dtype=np.uint32)
    for point in range(_PLANE):
        if not any(point in same for same in _SAME):
            table[point] = _character(chr(point))
    kinds = np.where(table == _SPACE, _SPACES, np.where(table == _GONE, np.uint64(0), _STAYS))
    return table | kinds.astype(np.uint32)


@cache
def _digits() -> np.ndarray:
    """Whether each character of the basic plane is a digit: bool [65,536]."""
    return np.array([unicodedata.ucd_3_2_0.category(chr(point)) == "Nd" for point in range(_PLANE)])


def _character(character: str) -> int:
    category = unicodedata.ucd_3_2_0.category(character)
    if character.isspace():
        return _SPACE
    if category[0] in "PS" or category in ("Cc", "Cf", "Zs") or ord(character) in _ACCENTS:
        return _GONE
    if category == "Cn":
        return ord(character)
    lower = character.lower()
    bare = [one for one in unicodedata.ucd_3_2_0.normalize("NFD", lower) if ord(one) not in _ACCENTS]
    shortest = "".join(bare) if len(bare) == 1 else lower
    return ord(shortest) if len(shortest) == 1 and ord(shortest) < _PLANE else ord(character)


@njit(nogil=True, cache=True)
def _normalize(
    borders: np.ndarray, data: np.ndarray, table: np.ndarray, new_borders: np.ndarray, out: np.ndarray
) -> None:
    """Fills `out` with the form `text`, none longer than its text, and `new_borders` with where each begins.

    A character is written before it is known whether it stays: what does not is written over. Where words begin cannot
    be predicted, so this is faster than branches.
    """
    used = np.uint64(0)
    for row in range(len(borders) - 1):
        first, after_space = used, _ONE
        at, end = np.uint64(borders[row]), np.uint64(borders[row + 1])
        while at < end:
            if end - at >= EIGHT and load(data, at, end) & HIGH == 0:
                for i in range(8):
                    become = np.uint64(table[data[at + np.uint64(i)]])
                    out[used] = become
                    used, after_space = _behind(become, used, after_space, _ONE)
                at += EIGHT
                continue
            point, length = _character_at(data, at)
            at += length
            become = np.uint64(table[point]) if point < _PLANE else _STAYS | np.uint64(_PLANE)
            if become & _POINT < 0x80:
                out[used] = become
                length = _ONE
            else:
                length = _write(become & _POINT, out, used, data, at)
            used, after_space = _behind(become, used, after_space, length)
        used -= after_space & np.uint64(used > first)
        new_borders[row + 1] = used


@njit(nogil=True, cache=True, forceinline=True)
def _behind(become: int, used: int, after_space: int, length: int) -> tuple[int, int]:
    """Where the next character goes, and whether a space would be one too many before it (1 or 0), all uint64."""
    stays, is_space = become >> _S24 & _ONE, become >> _S25
    used += length * (stays | (is_space & ~after_space))
    return used, is_space | (after_space & ~stays)


@njit(nogil=True, cache=True)
def _merge_digits(
    borders: np.ndarray, data: np.ndarray, is_digit: np.ndarray, new_borders: np.ndarray, out: np.ndarray
) -> None:
    """Fills `out` with texts whose runs of digits are a 0 each, and `new_borders` with where each begins."""
    used = np.uint64(0)
    for row in range(len(borders) - 1):
        follows = np.uint64(0)
        at, end = np.uint64(borders[row]), np.uint64(borders[row + 1])
        while at < end:
            eight = load(data, at, end)
            marks = digits_and_others(eight)
            if marks & np.uint64(0xFF) == 0:
                store(out, used, eight)
                length = min(EIGHT if marks == 0 else before_first(marks), end - at)
                used += length
                at += length
                follows = np.uint64(0)
                continue
            point, length = _character_at(data, at)
            at += length
            digit = np.uint64(point < _PLANE and is_digit[point])
            if digit:
                out[used] = _ZERO
                used += _ONE - follows
            else:
                used += _write(point, out, used, data, at)
            follows = digit
        new_borders[row + 1] = used


@njit(nogil=True, cache=True, forceinline=True)
def _character_at(data: np.ndarray, at: int) -> tuple[int, int]:
    """The code point that begins at a byte, `_PLANE` for any outside of the basic plane, and its bytes (uint64)."""
    byte = np.int64(data[at])
    if byte < 0x80:
        return byte, _ONE
    second = np.int64(data[at + _ONE]) & 0x3F
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | second, _TWO
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | second << 6 | (np.int64(data[at + _TWO]) & 0x3F), _THREE
    return _PLANE, _FOUR


@njit(nogil=True, cache=True)
def _write(point: int, out: np.ndarray, used: int, data: np.ndarray, at: int) -> int:
    """Writes a code point that is not ASCII, or the four bytes before `at`; returns how many bytes (uint64)."""
    if point < 0x800:
        out[used], out[used + _ONE] = 0xC0 | point >> 6, 0x80 | (point & 0x3F)
        return _TWO
    if point < _PLANE:
        out[used], out[used + _ONE] = 0xE0 | point >> 12, 0x80 | (point >> 6 & 0x3F)
        out[used + _TWO] = 0x80 | (point & 0x3F)
        return _THREE
    for i in range(4):
        out[used + np.uint64(i)] = data[at - _FOUR + np.uint64(i)]
    return _FOUR


@njit(nogil=True, cache=True)
def _hash_texts(
    borders: np.ndarray, data: np.ndarray, plain_borders: np.ndarray, plain: np.ndarray, hashes: np.ndarray
) -> None:
    for row in range(len(hashes)):
        if borders[row + 1] > borders[row]:
            halves = murmur3(data, borders[row], borders[row + 1], np.uint64(0))
        else:
            halves = murmur3(plain, plain_borders[row], plain_borders[row + 1], np.uint64(1))
        hashes[row, 0], hashes[row, 1] = halves
