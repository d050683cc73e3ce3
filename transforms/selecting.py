"""Who is among the top p %: exact by radix selection, then one comparison of integers a document.

Documents are ranked by (score descending, tie ascending, place ascending). The rank is a number of 160 bits, ten
digits of 16 bits; a pass over the store counts documents by one digit, and the boundary digit is known:

```
top 3 of     score 0.9  0.7  0.7  0.7  0.2       digit of score: 1 above, 3 at the boundary, so 2 more are needed
tie                     5    1    9              digit of tie: 1 and 5 are taken
predicate    rank below (key of 0.7, 9, 0)
```

A pass is needed only for as long as the boundary falls inside a digit's documents: two where scores differ. A document
without a score counts in what there is, but no share below 1 takes it: the boundary stops before the last score key.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.recipe import Selection
from transforms.placing import ties

# (word, shift) of each digit, most significant first: 32 bits of score, 64 of tie, 64 of place.
DIGITS = [(0, 16), (0, 0), *((word, shift) for word in (1, 2) for shift in (48, 32, 16, 0))]
DIGIT_BITS = 16
# The score's digits of a document without a score.
_UNSCORED = (2**DIGIT_BITS - 1,) * 2


def score_keys(scores: pa.Array) -> np.ndarray:
    """uint64 keys that ascend as scores (float32, nullable) descend; a document without a score comes last of all.

    The bits of a float order as integers once those of negative numbers are turned round; -0.0 counts as 0.0.
    """
    values = scores.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(np.float32) + np.float32(0)
    bits = values.view(np.uint32)
    ascending = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(values), np.uint32(2**32 - 1), ~ascending).astype(np.uint64)


def rank_words(scores: pa.Array, places: np.ndarray) -> list[np.ndarray]:
    """The rank as three uint64 words [n]: score key, tie, place."""
    return [score_keys(scores), ties(places), places]


@dataclass(frozen=True)
class Boundary:
    """How far a selection is known.

    Attributes:
        digits: the digits of the boundary rank that are known, most significant first.
        remaining: documents or tokens still to be taken among those whose digits equal these.
        done: whether nothing more is to be taken, or can be, behind the known digits.
    """

    digits: tuple[int, ...] = ()
    remaining: int = 0
    done: bool = False

    def advance(self, counts: np.ndarray, documents: np.ndarray) -> "Boundary":
        """The next digit.

        Args:
            counts: int64 [65536], documents or tokens by that digit, as the selection counts.
            documents: int64 [65536], documents by that digit.
        """
        ends = np.cumsum(counts)
        digit = int(np.searchsorted(ends, self.remaining, side="right"))
        assert digit < len(counts), f"{self.remaining} asked of {ends[-1]}: a share below 1 leaves something"
        left = self.remaining - int(ends[digit] - counts[digit])
        digits = (*self.digits, digit)
        # A document that stands alone at the boundary has more than what is left, so it is not taken.
        is_found = left == 0 or documents[digit] == 1 or len(digits) == len(DIGITS)
        return Boundary(digits, left, done=is_found or digits == _UNSCORED)

    def words(self) -> list[int]:
        """The rank (score key, tie, place) below which documents are taken."""
        words = [0, 0, 0]
        for (word, shift), digit in zip(DIGITS, self.digits, strict=False):
            words[word] |= digit << shift
        return words


def matches(words: list[np.ndarray], digits: tuple[int, ...]) -> np.ndarray:
    """bool [n]: whose rank begins with these digits."""
    found = np.ones(len(words[0]), bool)
    for (word, shift), digit in zip(DIGITS, digits, strict=False):
        found &= (words[word] >> np.uint64(shift)) & np.uint64(2**DIGIT_BITS - 1) == np.uint64(digit)
    return found


def digit_of(words: list[np.ndarray], number: int) -> np.ndarray:
    """int64 [n]: the digit of each rank."""
    word, shift = DIGITS[number]
    return ((words[word] >> np.uint64(shift)) & np.uint64(2**DIGIT_BITS - 1)).astype(np.int64)


def start_boundary(selection: Selection, documents: int, tokens: int) -> Boundary:
    """The share as a whole number of documents or tokens."""
    whole = documents if selection.count == "documents" else tokens
    remaining = int(Fraction(selection.top) * whole)
    return Boundary(remaining=remaining, done=remaining == 0)


def top_predicate(field: str, boundary: Boundary) -> dict[str, Any]:
    """The predicate that a finished boundary gives."""
    return {"field": field, "below": boundary.words()}


def encode_predicates(predicates: list[dict[str, Any]]) -> str:
    """The text in the plan's column `predicates`."""
    return json.dumps(predicates, sort_keys=True)


def holds(predicates: str, columns: dict[str, pa.Array], places: np.ndarray) -> np.ndarray:
    """bool [n]: the documents for which every predicate holds.

    Args:
        predicates: from the plan.
        columns: at least the fields that the predicates name.
        places: uint64 [n].
    """
    found = np.ones(len(places), bool)
    for predicate in json.loads(predicates):
        key, tie, place = (np.uint64(word) for word in predicate["below"])
        keys, tied, placed = rank_words(columns[predicate["field"]], places)
        found &= (keys < key) | ((keys == key) & ((tied < tie) | ((tied == tie) & (placed < place))))
    return found


def predicate_fields(predicates: str) -> list[str]:
    """The fields that predicates need."""
    return [predicate["field"] for predicate in json.loads(predicates)]
