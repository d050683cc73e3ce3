"""Identities, shuffle keys and orders of documents, as docs/formats.md defines them.

```
shuffle_key("c4", "a/x.json.gz", 7)  = splitmix64(mmh3_64("c4/a/x.json.gz") + 7)
order(shuffle key, epoch, seed)      = splitmix64(shuffle key ^ splitmix64(seed * 2^32 + epoch))
doc_id(file 3, row 7)                = 3 * 2^32 + 7
```
"""

from collections.abc import Iterable
from fractions import Fraction
from math import floor

import mmh3

MODULUS = 2**64
DROPOUT_CONSTANT = 0xD1B54A32D192ED03
EMPTY_CONSTANT = 0xA24BAED4963EE407
HOLDOUT_CONSTANT = 0x8CB92BA72F3D8DD7


def splitmix64(x: int) -> int:
    """One output of the generator splitmix64 in state `x` (Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) % MODULUS
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % MODULUS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % MODULUS
    return x ^ (x >> 31)


def shuffle_key(source: str, path: str, row: int) -> int:
    """Position of a document on its source's circle, in [0, 2^64)."""
    file_hash = mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)[0]
    return splitmix64((file_hash + row) % MODULUS)


def order(shuffle_key: int, epoch: int, seed: int) -> int:
    """The number that the documents of a shard are sorted by."""
    return splitmix64(shuffle_key ^ splitmix64((seed * 2**32 + epoch) % MODULUS))


def dropped_out(order: int, dropout: Fraction) -> bool:
    """Whether a document with this order goes without its prefix; `dropout` is the probability."""
    return splitmix64(order ^ DROPOUT_CONSTANT) >> 11 < floor(dropout * 2**53)


def left_empty(order: int, empty: Fraction) -> bool:
    """Whether a document with this order, which is not dropped out, keeps only the markers of its prefix."""
    return splitmix64(order ^ EMPTY_CONSTANT) >> 11 < floor(empty * 2**53)


def held_out(shuffle_key: int, value: str | None, share: Fraction) -> bool:
    """Whether a document is held out, by the value of a field or, without one, by itself."""
    hashed = shuffle_key if value is None else mmh3.hash64(value.encode(), seed=0, signed=False)[0]
    return splitmix64(hashed ^ HOLDOUT_CONSTANT) < floor(share * 2**64)


def file_numbers(files: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Numbers of all input files, each (source, path)."""
    ordered = sorted(files, key=lambda file: (file[0].encode(), file[1].encode()))
    return {file: number for number, file in enumerate(ordered)}


def doc_id(file_number: int, row: int) -> int:
    return file_number * 2**32 + row
