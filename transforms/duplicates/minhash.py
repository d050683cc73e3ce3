"""MinHash signatures, whose equal parts say how similar two texts are, and the bands that make candidates of them.

```
signature    3 9 | 4 1 | 7 7        2 rows a band: the chance that a band is equal is similarity^2
of another   3 9 | 4 2 | 7 6
bands        equal  -     -         one equal band makes the two a pair to be verified
```

A signature of k values is made as in Dahlgaard, Knudsen and Thorup, "Fast Similarity Sketching", FOCS 2017: in turn t
each shingle goes to one of k slots, with the value t * 2^32 + 32 bits of its hash; a slot keeps the lowest value; turns
end when no slot is empty. Each slot is equal in two texts with a chance of their Jaccard similarity, as with k
permutations of all shingles, which is what the presets' publishers take; but a long text needs one hash for a shingle
where permutations need k, so that 112 or 286 values cost about the same.

```
hash in turn t   x = the shingle in turn 0, mixed(shingle + t * 0x9E3779B97F4A7C15) later
slot             ((x >> 32) * k) >> 32 in turns below k, t - k in the k turns behind them, where none can stay empty
value            t << 32 | (x & 0xFFFFFFFF)
band b           h = mixed(b), then h = mixed(h ^ value) for each of its rows
```
"""

import numpy as np
from numba import njit

from byline.transforms.duplicates.hashing import GOLDEN, mixed
from byline.transforms.duplicates.normalizing import Texts
from byline.transforms.duplicates.presets import Preset
from byline.transforms.duplicates.shingles import Shingling, distinct, fill_shingles, most_shingles

_EMPTY = np.uint64(2**64 - 1)
_LOWER, _S32 = np.uint64(2**32 - 1), np.uint64(32)


def signatures(
    texts: Texts, shingling: Shingling, size: int, wanted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The signature of each text.

    Args:
        texts: n of them, in the form that is compared.
        shingling: what a shingle is.
        size: values of a signature.
        wanted: bool [n], of which texts; None for all.

    Returns:
        uint64 [n, size], 2^64 - 1 where a text has no shingle or is not wanted; bool [n], whether there are values.
    """
    out = np.full((len(texts.borders) - 1, size), _EMPTY, np.uint64)
    has_values = np.diff(texts.borders) > 0
    if wanted is not None:
        has_values &= wanted
    _fill_signatures(*texts, has_values, shingling.size, shingling.unit == "words", out)
    return out, has_values


def bands_of(signatures: np.ndarray, bands: int) -> np.ndarray:
    """The hash of each band: uint64 [n, bands], from uint64 [n, bands * rows]. Equal in two bands by chance alone."""
    out = np.empty((len(signatures), bands), np.uint64)
    _fill_bands(signatures, signatures.shape[1] // bands, out)
    return out


def band_hashes(texts: Texts, preset: Preset, wanted: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The bands of each text, and whether it has any: uint64 [n, bands], bool [n].

    Args:
        texts: n of them, in the form that is compared.
        preset: of the bands.
        wanted: bool [n], of which texts; the others are said to have none. None for all.
    """
    values, has_shingles = signatures(texts, preset.shingling, preset.bands * preset.rows, wanted)
    return bands_of(values, preset.bands), has_shingles


@njit(nogil=True, cache=True)
def _fill_signatures(
    borders: np.ndarray, data: np.ndarray, wanted: np.ndarray, size: int, is_words: bool, out: np.ndarray
) -> None:
    most = most_shingles(borders)
    scratch, units = np.empty(most, np.uint64), np.empty(most, np.uint64)
    for row in range(len(out)):
        if wanted[row]:
            count = fill_shingles(data, borders[row], borders[row + 1], size, is_words, units, scratch)
            _sketch(scratch[:count], out[row])


@njit(nogil=True, cache=True)
def _sketch(shingles: np.ndarray, slots: np.ndarray) -> None:
    """Fills empty slots with the signature of some shingles, one at least."""
    size = np.uint64(len(slots))
    for turn in range(2 * len(slots)):
        if turn == 2:
            # A text that needs many turns has few shingles, and may repeat them many times.
            shingles = distinct(shingles)
        salt, base = np.uint64(turn) * GOLDEN, np.uint64(turn) << _S32
        for shingle in shingles:
            value = mixed(shingle + salt) if turn else shingle
            slot = (value >> _S32) * size >> _S32 if turn < len(slots) else np.uint64(turn - len(slots))
            # Written whether it is lower or not: which it is cannot be predicted.
            slots[slot] = min(slots[slot], base | (value & _LOWER))
        if not _has_empty(slots):
            return


@njit(nogil=True, cache=True, forceinline=True)
def _has_empty(slots: np.ndarray) -> bool:
    most = np.uint64(0)
    for value in slots:
        most = max(most, value)
    return most == _EMPTY


@njit(nogil=True, cache=True)
def _fill_bands(signatures: np.ndarray, rows: int, out: np.ndarray) -> None:
    for row in range(len(out)):
        for band in range(out.shape[1]):
            value = mixed(np.uint64(band))
            for i in range(band * rows, (band + 1) * rows):
                value = mixed(value ^ signatures[row, i])
            out[row, band] = value
