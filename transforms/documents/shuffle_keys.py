"""Shuffle keys, orders and the other numbers that decide about documents: hashes, never random.

```
shuffle key = splitmix64(mmh3("source/path") + row)               one for each document, the same in every recipe
order       = splitmix64(shuffle key ^ splitmix64(seed, epoch))   sorts the documents of a shard
tie         = splitmix64(shuffle key ^ constant)                  sorts documents of equal score
```

docs/formats.md has the definitions.
"""

from fractions import Fraction

import mmh3
import numpy as np

from byline.splitmix import splitmix64

# Bins are the upper 16 bits of a shuffle key: with 65,536 a source, a plan is exact to the documents of one bin, and
# they cost 0.5 MB.
BINS = 1 << 16
BIN_BITS = 48
_TIE = np.uint64(0x2545F4914F6CDD1D)
_SAMPLE = np.uint64(0x9FB21C651E98DF25)
_DROPOUT = np.uint64(0xD1B54A32D192ED03)
_EMPTY = np.uint64(0xA24BAED4963EE407)
_HOLDOUT = np.uint64(0x8CB92BA72F3D8DD7)


def shuffle_keys(source: str, path: str, rows: np.ndarray) -> np.ndarray:
    """Shuffle keys (uint64) of the documents in these rows (int64) of one input file."""
    start = np.uint64(mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)[0])
    with np.errstate(over="ignore"):
        return splitmix64(start + rows.astype(np.uint64))


def shuffle_key_bins(shuffle_keys: np.ndarray) -> np.ndarray:
    """The bin (int64) of each shuffle key (uint64)."""
    return (shuffle_keys >> np.uint64(BIN_BITS)).astype(np.int64)


def orders(shuffle_keys: np.ndarray, epochs: np.ndarray, seed: int) -> np.ndarray:
    """The number (uint64) that each document of a shard is sorted by.

    Args:
        shuffle_keys: uint64 [n].
        epochs: int [n], below 2^32.
        seed: the recipe's seed, below 2^32.
    """
    return splitmix64(shuffle_keys ^ splitmix64((np.uint64(seed) << np.uint64(32)) + epochs.astype(np.uint64)))


def ties(shuffle_keys: np.ndarray) -> np.ndarray:
    """The uint64 that decides between documents of equal score, lower first."""
    return splitmix64(shuffle_keys ^ _TIE)


def in_sample(shuffle_keys: np.ndarray, threshold: int) -> np.ndarray:
    """Whether each document is in a sample of threshold / 2^32 of them, independent of shuffle key, order and tie."""
    return splitmix64(shuffle_keys ^ _SAMPLE) >> np.uint64(32) < np.uint64(threshold)


def held_out(hashed: np.ndarray, bound: int) -> np.ndarray:
    """Whether the hash of each uint64 is below a bound, independent of shuffle key, order, tie and sample."""
    return splitmix64(hashed ^ _HOLDOUT) < np.uint64(bound)


def dropped_out(orders: np.ndarray, dropout: Fraction) -> np.ndarray:
    """Whether each document goes without its prefix, by its order (uint64)."""
    return has_share(orders ^ _DROPOUT, dropout)


def left_empty(orders: np.ndarray, empty: Fraction) -> np.ndarray:
    """Whether each document that is not dropped out gets only `begin` and `end` as its prefix, by order (uint64)."""
    return has_share(orders ^ _EMPTY, empty)


def has_share(values: np.ndarray, share: Fraction) -> np.ndarray:
    """Whether each uint64 is in the given share of all values: the upper 53 bits of its hash are below share * 2^53."""
    return splitmix64(values) >> np.uint64(11) < np.uint64(share * 2**53 // 1)


def circle_offset(seed: int, source: str) -> int:
    """The shuffle key at which a source's stream begins (it wraps around); a multiple of 2^48, the start of a bin."""
    return mmh3.hash64(source.encode(), seed=seed, signed=False)[1] >> 48 << 48
