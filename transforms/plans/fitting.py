"""How far a stage is from what was asked of it, and what to ask for next.

```
asked of c4      90 L in 3 groups of slices    30  30  30      so far    30  60  90
packed to                                      31  28  29                31  59  88
next             one more by the end of the second group, two by that of the third
```

One document more moves every cut behind it, so what packing gives is not smooth in what is asked for: it scatters, and
in a short part by more than a document. So half of what is missing is asked for, several lengths are tried, and at
last ends are moved by single documents.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from byline.transforms.plans.budgeting import Targets
from byline.transforms.plans.intervals import EPOCH, Stream
from byline.transforms.plans.simulating import SourceSample

# An error of a share, and of a length, that a reader of the plan would mind.
_SHARE = Fraction(1, 500)
_LENGTH = Fraction(1, 200)


def _by_group(counts: Sequence[int], groups: np.ndarray) -> np.ndarray:
    """int64 [groups]: sums over the slices of each group."""
    return np.bincount(groups, weights=counts, minlength=int(groups.max()) + 1).astype(np.int64)


def error_of(filled: Targets, rows: int, target: Targets, groups: np.ndarray, length: int) -> Fraction:
    """How far a stage is from what was asked, in terms of what is bearable: the sum of three errors.

    Of the shares over `_SHARE`, of the length over `_LENGTH`, and a tenth of what the shares are off, at worst, up to
    the end of any group of slices: one long document may put a border inside out by more than the rest.

    Args:
        filled: source -> positions filled in each slice.
        rows: of the stage.
        target: source -> positions asked for.
        groups: int64 [slices], the group of each slice.
        length: L.
    """
    asked = max(sum(sum(counts) for counts in target.values()), 1)
    had_all = max(sum(sum(counts) for counts in filled.values()), 1)
    inside = whole = Fraction(0)
    for source, counts in target.items():
        wanted, had = np.cumsum(_by_group(counts, groups)), np.cumsum(_by_group(filled[source], groups))
        behind = [abs(Fraction(int(w), asked) - Fraction(int(h), had_all)) for w, h in zip(wanted, had, strict=True)]
        inside, whole = max(inside, *behind), max(whole, behind[-1])
    return whole / _SHARE + abs(Fraction(rows * length, asked) - 1) / _LENGTH + inside / _SHARE / 10


def corrected(
    asked: Targets, filled: Targets, rows: int, target: Targets, groups: np.ndarray, length: int, *, halve: bool
) -> Targets:
    """What to ask for next: more by what is missing at the end of each group, or by half of it.

    Args:
        asked: what was asked for this time.
        filled, rows, target, groups, length: as in `error_of`.
        halve: whether to ask for half of what is missing.
    """
    found: Targets = {}
    # Padding counts in a stage's length, so sources are to fill less by as much.
    fill = min(sum(sum(counts) for counts in filled.values()) / max(rows * length, 1), 1.0)
    for source, counts in target.items():
        whole = _by_group(counts, groups)
        missing = np.cumsum((whole * fill).astype(np.int64)) - np.cumsum(_by_group(filled[source], groups))
        ends = np.cumsum(_by_group(asked[source], groups)) + (missing // 2 if halve else missing)
        following = np.diff(np.maximum.accumulate(np.maximum(ends, 0)), prepend=0)
        found[source] = [
            int(count) * int(following[group]) // max(int(whole[group]), 1)
            for count, group in zip(counts, groups, strict=True)
        ]
    return found


class Mover:
    """Moves points of a stream by documents."""

    def __init__(self, sample: SourceSample, stage: int, stream: Stream) -> None:
        with np.errstate(over="ignore"):
            self.steps = np.sort(sample.shuffle_key[sample.selected[stage]] - np.uint64(stream.offset))

    def moved(self, point: int, documents: int) -> int:
        """The point so many documents further on, right behind the last of them."""
        epoch, step = divmod(point, EPOCH)
        before = epoch * len(self.steps) + int(self.steps.searchsorted(np.uint64(step), "left"))
        epoch, last = divmod(max(before + documents, 1) - 1, len(self.steps))
        return epoch * EPOCH + int(self.steps[last]) + 1
