"""Shuffle keys, orders and other numbers that decide about documents: hashes, never random.

```
shuffle key = splitmix64(mmh3("source/path") + row)     one for each document, the same in every recipe
order = splitmix64(shuffle key ^ splitmix64(seed, epoch))   its position among the documents of a shard
tie   = splitmix64(shuffle key ^ constant)              who comes first among equal scores
```

docs/formats.md has the definitions.
"""

from fractions import Fraction

import mmh3
import numpy as np

# The upper 16 bits of a shuffle key: 65,536 bins a source make a plan exact to a bin's documents, and cost 0.5 MB.
BINS = 1 << 16
BIN_BITS = 48
_TIE = np.uint64(0x2545F4914F6CDD1D)
_SAMPLE = np.uint64(0x9FB21C651E98DF25)
_DROPOUT = np.uint64(0xD1B54A32D192ED03)
_EMPTY = np.uint64(0xA24BAED4963EE407)


def splitmix64(values: np.ndarray) -> np.ndarray:
    """The SplitMix64 step (Steele et al. 2014) of each uint64; a bijection, so distinct stay distinct."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def shuffle_keys(source: str, path: str, rows: np.ndarray) -> np.ndarray:
    """Shuffle keys (uint64) of the documents with these rows (int64) of one input file."""
    start = np.uint64(mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)[0])
    with np.errstate(over="ignore"):
        return splitmix64(start + rows.astype(np.uint64))


def shuffle_key_bins(shuffle_keys: np.ndarray) -> np.ndarray:
    """The bin (int64) of each shuffle key (uint64)."""
    return (shuffle_keys >> np.uint64(BIN_BITS)).astype(np.int64)


def orders(shuffle_keys: np.ndarray, epochs: np.ndarray, seed: int) -> np.ndarray:
    """Position (uint64) of each document among those of its shard.

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
    """Whether each document is in a sample of the share threshold / 2^32, independent of shuffle key, order and tie."""
    return splitmix64(shuffle_keys ^ _SAMPLE) >> np.uint64(32) < np.uint64(threshold)


def dropped_out(orders: np.ndarray, dropout: Fraction) -> np.ndarray:
    """Whether each document goes without its prefix, by its order (uint64)."""
    return has_share(orders ^ _DROPOUT, dropout)


def left_empty(orders: np.ndarray, empty: Fraction) -> np.ndarray:
    """Whether each document that is not dropped out has a prefix of `begin` and `end` alone, by its order (uint64)."""
    return has_share(orders ^ _EMPTY, empty)


def has_share(values: np.ndarray, share: Fraction) -> np.ndarray:
    """Whether the upper 53 bits of the hash of each uint64 lie in the lowest share of what they can be."""
    return splitmix64(values) >> np.uint64(11) < np.uint64(share * 2**53 // 1)


def circle_offset(seed: int, source: str) -> int:
    """Where on the circle of shuffle keys a source's stream begins: a multiple of 2^48, so that it turns whole bins."""
    return mmh3.hash64(source.encode(), seed=seed, signed=False)[1] >> 48 << 48
