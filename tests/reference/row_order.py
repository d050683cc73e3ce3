"""Which rows a batch of a loader has: all rows as lists, shuffled one by one with Python's integers, and cut.

```
phases (a, 7), (b, 3), batch = 4                 [0 1 2 3] [4 5 6 7] [8 9]
each phase's batches its own (aligned)           [0 1 2 3] [4 5 6]   [7 8 9]
shuffled in windows of 3 (seed 0)                [0 1 2 5] [4 3 6 7] [9 8]
```
"""

from collections.abc import Mapping
from itertools import chain
from math import isqrt
from typing import Any

from byline.row_order import Last
from tests.reference.hashing import MODULUS, splitmix64

ROUNDS = 6


def mixed(key: int, number: int) -> int:
    """A key made of another and a number."""
    return splitmix64((key + 0x9E3779B97F4A7C15 * number) % MODULUS)


def permuted(number: int, size: int, key: int) -> int:
    """The image of a number below `size`: a Feistel network, walked on until its cell is below `size`, too."""
    side = isqrt(size - 1) + 1 if size > 1 else 1
    while True:
        left, right = divmod(number, side)
        for round_number in range(ROUNDS):
            left, right = right, (left + mixed(mixed(key, round_number), right) // 2) % side
        number = left * side + right
        if number < size:
            return number


def batches(phases: tuple[tuple[str, int], ...], settings: Mapping[str, Any]) -> list[list[int]]:
    """The rows of each batch; phases are names and numbers of rows, settings those of `RowOrder`."""
    stretches = []
    for epoch in range(settings["epochs"]):
        first = 0
        for number, (_, length) in enumerate(phases):
            rows = list(range(first, first + length))
            if settings["shuffle"] is not None:
                window = length or 1 if settings["shuffle"] == "phase" else settings["shuffle"]
                rows = []
                for start in range(0, length, window):
                    size = min(window, length - start)
                    key = mixed(mixed(mixed(settings["seed"], epoch), number), start // window)
                    rows += [first + start + permuted(i, size, key) for i in range(size)]
            stretches.append(rows)
            first += length
    if not settings["aligned"]:
        stretches = [list(chain(*stretches))]
    size = settings["batch"]
    cut = [rows[start : start + size] for rows in stretches for start in range(0, len(rows), size)]
    return [rows for rows in cut if settings["last"] is not Last.DROP or len(rows) == size]
