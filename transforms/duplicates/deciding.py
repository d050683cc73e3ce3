"""Which documents are removed, and because of which that is kept.

```
rank        1 a     2 b     3 c     4 d         by priority of the source, then shuffle key, then source, path, row
band 1      x       x       .       x           candidates: b and d, each with a, the lowest of the band
band 2      .       y       y       .           candidate: c with b
similar     b to a, c to b, d not to a
kept        a, c, d                             b is removed because of a
```

- Of equal texts the one of lowest rank stands for all; the others are removed with it, or because of it.
- A band makes pairs of its lowest document and each other one alone, so a million equal pages are a million pairs.
- A pair counts if its real shingles are similar enough.
- By rank, a document is removed if it is similar to one that is kept, and because of the lowest such. No chains: c
  above stays, for it was never shown to be similar to a.

What is missed thereby: documents that share no band by chance; documents that are similar to each other and share a
band only where a third one is the lowest (d with b, had they band 1 alone); and documents that are similar to a kept
one, but were a candidate only with one that is removed (c, were it similar to a). All of them stay. Nothing is removed
that is not similar to what is kept.

Nothing depends on the order in which documents or pairs come.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

UNKNOWN, KEPT, REMOVED = np.uint8(0), np.uint8(1), np.uint8(2)


class Ranks(NamedTuple):
    """What says which of two documents is kept: the lower one, by the first of these that differs.

    Attributes:
        priorities: int64 [n], of their sources.
        shuffle_keys: uint64 [n].
        documents: uint64 [n], numbers in order of source, path and row, each once.
    """

    priorities: np.ndarray
    shuffle_keys: np.ndarray
    documents: np.ndarray

    def take(self, numbers: np.ndarray) -> "Ranks":
        """Those of some documents."""
        return Ranks(*(column[numbers] for column in self))

    def order(self, *groups: np.ndarray) -> np.ndarray:
        """int64 [n]: the documents by group (any number of [n], the first one first), and in one by rank."""
        return np.lexsort((self.documents, self.shuffle_keys, self.priorities, *groups[::-1]))


def lowest_of_groups(groups: np.ndarray, ranks: Ranks) -> np.ndarray:
    """The document of lowest rank of each document's group.

    Args:
        groups: uint64 [n] or [n, columns], the same for documents of one group.
        ranks: of n documents.

    Returns:
        int64 [n], its own number for the lowest.
    """
    columns = groups[:, None] if groups.ndim == 1 else groups
    order = ranks.order(*columns.T)
    ordered = columns[order]
    begins = np.ones(len(groups), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    lowest = np.empty(len(groups), np.int64)
    lowest[order] = order[begins][np.cumsum(begins) - 1]
    return lowest


def band_pairs(bands: np.ndarray, documents: np.ndarray, ranks: Ranks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates: the members of each band with the band's lowest document.

    Args:
        bands: uint64 [members], hashes of bands.
        documents: int64 [members], numbers of the documents that have them.
        ranks: of all documents.

    Returns:
        int64 [pairs] each, without equal pairs: the higher document and the lower one, ascending by both; how many
        documents the largest band has that makes the pair.
    """
    lowest = lowest_of_groups(bands, ranks.take(documents))
    members = np.bincount(lowest, minlength=len(lowest))[lowest]
    others = documents[lowest] != documents
    pairs, largest = largest_of_pairs(np.stack([documents, documents[lowest]], axis=1)[others], members[others])
    return pairs[:, 0], pairs[:, 1], largest


def largest_of_pairs(pairs: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, ascending, with the largest of its values: [n, 2] and [n], from such of more rows."""
    order = np.lexsort((values, pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    is_last = np.ones(len(order), bool)
    is_last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[is_last], values[order][is_last]


def settle(followers: np.ndarray, leaders: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which documents are kept, as far as it can be said.

    Args:
        followers, leaders: int64 [pairs] that are similar, numbers of documents in order of rank; a leader's is below
            its follower's. Ascending by follower, then leader.
        states: uint8 [n], what is known already: `KEPT` for what follows nobody; `UNKNOWN`, but for followers.

    Returns:
        uint8 [n], the states: removed if a leader is kept, kept if all are removed, else unknown; int64 [n], for what
        is removed the lowest leader that is known to be kept, else -1.
    """
    states, because = states.copy(), np.full(len(states), -1, np.int64)
    _settle(followers, leaders, states, because)
    return states, because


@njit(nogil=True, cache=True)
def _settle(followers: np.ndarray, leaders: np.ndarray, states: np.ndarray, because: np.ndarray) -> None:
    pair = 0
    while pair < len(followers):
        follower, state = followers[pair], KEPT
        while pair < len(followers) and followers[pair] == follower:
            leader = leaders[pair]
            if states[leader] == KEPT and because[follower] < 0:
                because[follower], state = leader, REMOVED
            elif states[leader] == UNKNOWN and state == KEPT:
                state = UNKNOWN
            pair += 1
        states[follower] = state
