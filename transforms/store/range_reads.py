"""How many ranges shards read from the token store, and how many after its runs are merged.

```
ranges of the plan   c4: 3   dclm: 1         runs   c4: 200   dclm: 50       read   3 * 200 + 1 * 50 = 650 ranges
                                                    c4:   2   dclm:  1              3 *   2 + 1 *  1 =   7 ranges
```

Every range is read from each run of its source, since a run has documents from the whole circle of shuffle keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RangeReads:
    """What all shards of a plan read.

    Attributes:
        runs: files of the token store.
        count: range reads, each from one run.
        mean_bytes: bytes of tokens in a range read, on average.
    """

    runs: int
    count: int
    mean_bytes: int


def count_reads(ranges: Mapping[str, int], runs: Mapping[str, int], token_bytes: int) -> RangeReads:
    """What a plan reads from a token store.

    Args:
        ranges: source -> ranges of shuffle keys that the plan's shards take from it, one for each row of the plan.
        runs: source -> the number of its runs, merged or not.
        token_bytes: bytes of the tokens that all shards take.
    """
    count = sum(number * runs.get(source, 0) for source, number in ranges.items())
    return RangeReads(sum(runs.values()), count, round(token_bytes / count) if count else 0)


def merged_runs(runs: Mapping[str, int], stored_bytes: Mapping[str, int], size: int) -> dict[str, int]:
    """About how many runs of `size` bytes `byline compact` leaves of each source; `stored_bytes` is what they take."""
    return {source: min(number, -(-stored_bytes[source] // size)) for source, number in runs.items()}
