"""Documents held against the plan: each one's place is hashed anew, and must lie in a range of its shard.

```
shard 3 of conditioned   plan rows   c4 epoch 0  100..199    dclm epoch 0  40..99
doc ids                  c4 file 0, row 7  ->  place 150     fine
                         c4 file 0, row 9  ->  place 270     not planned for this shard
```

Ranges of one source and epoch never overlap. So this holds phases apart even where epochs repeat, and needs nothing
but the output.
"""

from dataclasses import dataclass
from itertools import pairwise

import mmh3
import numpy as np
import pyarrow as pa

from schemas.plan import Plan
from transforms.placing import splitmix64

# Of one shard, more lines than this tell a reader nothing new.
_TOLD = 3


@dataclass(frozen=True)
class InputNames:
    """The input files of a build.

    Attributes:
        names: (source, path) of each.
        sources: str [files].
        hashes: uint64 [files], what the places of a file's records are counted from.
    """

    names: list[tuple[str, str]]
    sources: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, names: list[tuple[str, str]]) -> "InputNames":
        """Hashes every name once."""
        hashes = [mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)[0] for source, path in names]
        return cls(names, np.array([source for source, _ in names], object), np.array(hashes, np.uint64))

    def places(self, documents: np.ndarray) -> np.ndarray:
        """The place (uint64) of each of these doc ids (int64), all of files that are there."""
        with np.errstate(over="ignore"):
            return splitmix64(self.hashes[documents >> 32] + (documents & (2**32 - 1)).astype(np.uint64))


def check_places(documents: np.ndarray, inputs: InputNames, rows: pa.RecordBatch | None) -> list[str]:
    """One line for each document of a shard that its plan has no range for.

    Args:
        documents: int64 [n], the shard's doc ids, each once.
        inputs: the input files.
        rows: the plan's rows of the shard; None where it has none.
    """
    place = inputs.places(documents)
    sources = inputs.sources[documents >> 32]
    planned = np.zeros(len(documents), bool)
    for row in [] if rows is None else rows.select(["source", "place_lo", "place_hi"]).to_pylist():
        within = (place >= np.uint64(row["place_lo"])) & (place <= np.uint64(row["place_hi"]))
        planned |= within & (sources == row["source"])
    strays = documents[~planned]
    problems = []
    for document in strays[:_TOLD].tolist():
        source, path = inputs.names[document >> 32]
        problems.append(f"row {document & (2**32 - 1)} of {source}/{path} is in it, but not planned for it")
    if len(strays) > _TOLD:
        problems.append(f"{len(strays) - _TOLD} more documents are not planned for it")
    return problems


def check_ranges(plan: Plan) -> list[str]:
    """No two ranges of one source and epoch overlap, so no document is drawn twice in an epoch."""
    rows = plan.table.select(["source", "epoch", "place_lo", "place_hi", "phase", "shard"]).to_pylist()
    ordered = sorted(rows, key=lambda row: (row["source"], row["epoch"], row["place_lo"]))
    problems = []
    for first, second in pairwise(ordered):
        same = (first["source"], first["epoch"]) == (second["source"], second["epoch"])
        if same and second["place_lo"] <= first["place_hi"]:
            problems.append(
                f"plan.arrow: shard {first['shard']} of {first['phase']} and shard {second['shard']} of "
                f"{second['phase']} take the same places of source {first['source']}, epoch {first['epoch']}"
            )
    return problems
