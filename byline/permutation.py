"""A seeded permutation of 0 ... n - 1 by arithmetic alone: any number's image in O(1), with nothing kept in memory.

```
n = 7, side = 3        number = 3 * left + right        a round: left, right = right, (left + F(right)) mod 3
number      0 1 2 3 4 5 6  7 8
image       4 7 6 0 3 5 8  2 1        7 and 8 are not below 7, so their own images are taken: 2 and 1
permuted    4 2 6 0 3 5 1
```

A Feistel network on the side * side >= n cells permutes them whatever F is; walking on from a cell that is not below n
until one is keeps that a permutation of the n. Both from Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
CT-RSA 2002 (cycle walking; the Feistel construction on two moduli, here equal ones, so nearly all cells are below n).
F is SplitMix64 (`byline.splitmix`).

All is arithmetic on unsigned 64-bit integers, so it is the same on any machine, and works on whole arrays.
"""

import numpy as np

from byline.splitmix import splitmix64

ROUNDS = 6
# The largest n: products of two sides stay below 2^64.
MOST = 1 << 62
_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, odd


def permuted(numbers: np.ndarray, sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The images of numbers, each under a permutation of its own.

    Args:
        numbers: uint64 [n], each below its size.
        sizes: uint64 [n], how many numbers each permutation has, at most `MOST`.
        keys: uint64 [n], which permutation of that many it is.

    Returns:
        uint64 [n], each below its size.
    """
    sides = _ceil_sqrt(sizes)
    images = _feistel(numbers, sides, keys)
    beyond = np.flatnonzero(images >= sizes)
    while len(beyond):
        images[beyond] = _feistel(images[beyond], sides[beyond], keys[beyond])
        beyond = beyond[images[beyond] >= sizes[beyond]]
    return images


def mixed(key: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Keys made of others and a number each; uint64 [n] (or one number, [1])."""
    return splitmix64(key + _STEP * number)


def _feistel(numbers: np.ndarray, sides: np.ndarray, keys: np.ndarray) -> np.ndarray:
    left, right = numbers // sides, numbers % sides
    for number in range(ROUNDS):
        # One number as an array: products of scalars that exceed 64 bits would warn.
        round_keys = mixed(keys, np.full(1, number, np.uint64))
        # Without the last bit, so that the sum stays below 2^64.
        left, right = right, (left + (mixed(round_keys, right) >> np.uint64(1))) % sides
    return left * sides + right


def _ceil_sqrt(sizes: np.ndarray) -> np.ndarray:
    """The least integers whose squares are at least these; float64 may be one off."""
    sides = np.ceil(np.sqrt(sizes.astype(np.float64))).astype(np.uint64)
    below = sides - np.uint64(1)
    sides = np.where(below * below >= sizes, below, sides)
    return np.where(sides * sides < sizes, sides + np.uint64(1), sides)
