"""Ranks: numbers of documents as unsigned integers that sort as the numbers do, and their digits.

A rank is three uint64 words, (key, tie, shuffle key). The key ascends with the number, or descends where the highest
comes first; docs/formats.md has the definition. A scan counts by one digit of 16 bits, the most significant first:

```
type      number   key, ascending       digits of the rank
float32   -1.5     0x403fffff           2 of the key, 4 of the tie, 4 of the shuffle key
float32    0.0     0x80000000
float      0.0     0x8000000000000000   4 of the key, 4 of the tie, 4 of the shuffle key
int       -1       0x7fffffffffffffff
```

Null and NaN are no numbers, and -0.0 is 0.0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from byline.schemas.predicates import Rank
from byline.transforms.documents.shuffle_keys import ties

# Types of numbers as `Config.numbers_of` names them.
ARROW_TYPES = {"float32": pa.float32(), "float": pa.float64(), "int": pa.int64()}
KEY_BITS = {"float32": 32, "float": 64, "int": 64}
DIGIT_BITS = 16
DIGIT_VALUES = 1 << DIGIT_BITS

# The beginning of a rank: its first digits.
Digits = tuple[int, ...]

# Whole numbers are mostly small ones, and the upper digits of their keys all alike. So they are first counted by their
# values 0..65533, with a bin at either end for all others: one scan instead of four.
_NEAR_VALUES = DIGIT_VALUES - 2


@dataclass(frozen=True)
class Number:
    """A number as it ranks documents: its name, its type (`float32`, `float` or `int`) and the direction."""

    field: str
    kind: str
    descending: bool

    @property
    def key_digits(self) -> int:
        """How many digits the key has."""
        return sum(word == 0 for word, _ in digit_shuffle_keys(self.kind))


def number_keys(values: pa.Array, kind: str, descending: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The first word of the ranks.

    Args:
        values: numbers [n], nullable: float32, float64, or an integer type that int64 holds.
        kind: `float32`, `float` or `int`.
        descending: whether the highest number comes first.

    Returns:
        keys: uint64 [n]; the largest key where there is no number.
        present: bool [n], whether there is a number: neither null nor NaN.
    """
    present = values.is_valid().to_numpy(zero_copy_only=False)
    numbers = values.cast(ARROW_TYPES[kind]).fill_null(0).to_numpy(zero_copy_only=False)
    if kind == "int":
        keys = numbers.view(np.uint64) ^ np.uint64(1 << 63)
    else:
        present = present & ~np.isnan(numbers)
        keys = _float_keys(numbers)
    last = np.uint64(largest_key(kind))
    return np.where(present, last - keys if descending else keys, last), present


def _float_keys(numbers: np.ndarray) -> np.ndarray:
    """uint64 [n]: the bits of a float order as integers once those of negative numbers are turned round."""
    unsigned = np.uint32 if numbers.dtype == np.float32 else np.uint64
    sign = unsigned(1 << (8 * numbers.itemsize - 1))
    # -0.0 + 0.0 is 0.0.
    bits = (numbers + numbers.dtype.type(0)).view(unsigned)
    return np.where(bits >= sign, ~bits, bits | sign).astype(np.uint64)


def largest_key(kind: str) -> int:
    """The largest unsigned integer of a key's bits."""
    return (1 << KEY_BITS[kind]) - 1


def key_of(value: float | int, kind: str) -> int:
    """The ascending key of a number that the type holds."""
    return int(number_keys(pa.array([value], ARROW_TYPES[kind]), kind)[0][0])


def value_of(key: int, kind: str) -> float | int:
    """The number of an ascending key."""
    bits = KEY_BITS[kind]
    sign = 1 << (bits - 1)
    if kind == "int":
        return key - sign
    unsigned = np.array([key ^ sign if key & sign else key ^ largest_key(kind)], np.uint32 if bits == 32 else np.uint64)
    return float(unsigned.view(np.float32 if bits == 32 else np.float64)[0])


def ranks_below(keys: np.ndarray, shuffle_keys: np.ndarray, border: Iterable[int]) -> np.ndarray:
    """bool [n]: the documents whose rank is less than a border.

    Args:
        keys, shuffle_keys: uint64 [n].
        border: key, tie and shuffle key.
    """
    # As uint64: numpy compares uint64 with a plain int below 2^63 as float64, which has 53 bits.
    key, tie, shuffle_key = (np.uint64(word) for word in border)
    below = keys < key
    if tie or shuffle_key:
        # Ties are worth their cost at the border alone.
        equal = np.flatnonzero(keys == key)
        equal_ties, equal_shuffle_keys = ties(shuffle_keys[equal]), shuffle_keys[equal]
        below[equal] = (equal_ties < tie) | ((equal_ties == tie) & (equal_shuffle_keys < shuffle_key))
    return below


# -------------------------------------------------------------------------------------------------------------- bounds


def lowest_key(bound: Fraction, kind: str) -> int:
    """The ascending key of the least number that is at least `bound`; the largest key + 1 if the type has none."""
    if kind == "int":
        return min(max(-(-bound // 1) + (1 << 63), 0), 1 << 64)
    if kind == "float32":
        return key_of(nearest_float32(bound), kind)
    nearest = nearest_float(bound)
    return key_of(nearest, kind) + (nearest < bound)


def highest_key(bound: Fraction, kind: str) -> int:
    """The ascending key of the greatest number that is at most `bound`; -1 if the type has none."""
    if kind == "int":
        return max(min(bound // 1 + (1 << 63), (1 << 64) - 1), -1)
    if kind == "float32":
        return key_of(nearest_float32(bound), kind)
    nearest = nearest_float(bound)
    return key_of(nearest, kind) - (nearest > bound)


def nearest_float32(value: Fraction) -> float:
    """The float32 next to a fraction: of two as near the even one, and past the largest one infinity (IEEE 754)."""
    with np.errstate(over="ignore"):
        about = np.float32(nearest_float(value))
        around = [np.nextafter(about, np.float32(-np.inf)), about, np.nextafter(about, np.float32(np.inf))]

    def distance(candidate: np.float32) -> tuple[Fraction, int]:
        # Rounding takes infinity for what would come after the largest float.
        far = Fraction(2) ** 128 * (1 if candidate > 0 else -1)
        exact = Fraction(float(candidate)) if np.isfinite(candidate) else far
        return abs(exact - value), int(candidate.view(np.uint32)) & 1

    return float(min(around, key=distance))


def nearest_float(value: Fraction) -> float:
    """The float64 next to a fraction; past the largest one infinity."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


# -------------------------------------------------------------------------------------------------------------- digits


def digit_shuffle_keys(kind: str) -> list[tuple[int, int]]:
    """(word, shift) of each digit of a rank, the most significant first."""
    words = enumerate((KEY_BITS[kind], 64, 64))
    return [(word, shift) for word, bits in words for shift in range(bits - DIGIT_BITS, -1, -DIGIT_BITS)]


def key_digits(key: int, kind: str) -> Digits:
    """The digits of a key."""
    return tuple(key >> shift & (DIGIT_VALUES - 1) for word, shift in digit_shuffle_keys(kind) if word == 0)


def rank_of(digits: Digits, kind: str) -> Rank:
    """The least rank (key, tie, shuffle key) that begins with these digits."""
    words = [0, 0, 0]
    for (word, shift), digit in zip(digit_shuffle_keys(kind), digits, strict=False):
        words[word] |= digit << shift
    return words[0], words[1], words[2]


def next_digits(
    keys: np.ndarray, shuffle_keys: np.ndarray, kind: str, heads: tuple[Digits, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Finds ranks by their beginnings.

    Args:
        keys, shuffle_keys: uint64 [n].
        kind: type of the number.
        heads: ascending beginnings of equal length, alike in all but the word that the next digit is of.

    Returns:
        rows: int64 [k], those whose rank begins with one of the heads.
        bins: int64 [k], the number of the head times 2^16 plus the next digit.
    """
    word, shift = digit_shuffle_keys(kind)[len(heads[0])]
    ranks = [rank_of(head, kind) for head in heads]
    assert len({rank[:word] for rank in ranks}) == 1, f"heads that differ before word {word}: {heads}"
    rows = np.arange(len(keys))
    for known in range(word):
        rows = rows[_word(known, keys, shuffle_keys, rows) == np.uint64(ranks[0][known])]
    digits = _word(word, keys, shuffle_keys, rows) >> np.uint64(shift)
    upper = digits >> np.uint64(DIGIT_BITS)
    wanted = np.array([rank[word] >> shift >> DIGIT_BITS for rank in ranks], np.uint64)
    head = np.minimum(np.searchsorted(wanted, upper), len(wanted) - 1)
    at_head = wanted[head] == upper
    bins = head * DIGIT_VALUES + (digits & np.uint64(DIGIT_VALUES - 1)).astype(np.int64)
    return rows[at_head], bins[at_head]


def _word(number: int, keys: np.ndarray, shuffle_keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if number == 0:
        return keys[rows]
    return ties(shuffle_keys[rows]) if number == 1 else shuffle_keys[rows]


# -------------------------------------------------------------------------------------------------------- small values


def near_bins(keys: np.ndarray, descending: bool) -> np.ndarray:
    """int64 [n]: the bins of whole numbers by their values, in the order of keys (uint64 [n])."""
    start = np.uint64(_near_start(descending))
    # Keys before the start wrap round to large offsets.
    offsets = keys - start
    inside = (offsets + np.uint64(1)).astype(np.int64)
    return np.where(offsets < _NEAR_VALUES, inside, np.where(keys < start, 0, DIGIT_VALUES - 1))


def near_key(bin_: int, descending: bool) -> int | None:
    """The key of a bin of `near_bins`; None for the two that hold all other numbers."""
    return _near_start(descending) + bin_ - 1 if 0 < bin_ < DIGIT_VALUES - 1 else None


def _near_start(descending: bool) -> int:
    return (1 << 63) - _NEAR_VALUES if descending else 1 << 63
