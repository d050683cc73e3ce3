"""Duplicates among documents that are in memory: what the rounds of `duplicates` do, in one function.

```
text        "Knead it."   "knead it"   "Rise, then bake."
rank        2             1            3
kept        1             1            2                       numbers of documents: the first is removed for the second
```
"""

from fractions import Fraction

import numpy as np
import pyarrow as pa

from byline.transforms.duplicates.deciding import KEPT, UNKNOWN, Ranks, band_pairs, lowest_of_groups, settle
from byline.transforms.duplicates.jaccard import are_similar, shared_shingles
from byline.transforms.duplicates.minhash import band_hashes
from byline.transforms.duplicates.normalizing import Form, Texts, coarsest, normalized, text_hashes
from byline.transforms.duplicates.presets import Preset
from byline.transforms.duplicates.shingles import shingle_sets


def find_duplicates(
    texts: pa.Array, ranks: Ranks, form: Form, preset: Preset | None, similarity: Fraction | None = None
) -> np.ndarray:
    """The document that is kept instead of each.

    Args:
        texts: large_string [n] without nulls.
        ranks: of n documents.
        form: in which texts count as equal.
        preset: what near duplicates are; None for equal documents alone.
        similarity: from which on; None for the preset's.

    Returns:
        int64 [n], its own number for a document that is kept.
    """
    lowest = lowest_of_groups(text_hashes(texts, normalized(texts, form)), ranks)
    if preset is None:
        return lowest
    distinct = np.flatnonzero(lowest == np.arange(len(texts)))
    distinct = distinct[ranks.take(distinct).order()]
    compared = normalized(texts.take(pa.array(distinct)), coarsest(form, preset.form))
    instead = np.arange(len(texts))
    instead[distinct] = distinct[_kept(compared, preset, similarity or preset.similarity)]
    return instead[lowest]


def candidates(texts: Texts, preset: Preset) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of n texts, in order of their ranks, that share a band: int64 [pairs] each, higher and lower."""
    bands, has_shingles = band_hashes(texts, preset)
    numbers = np.flatnonzero(has_shingles)
    order = np.arange(len(bands))
    ranks = Ranks(np.zeros(len(bands), np.int64), np.zeros(len(bands), np.uint64), order.astype(np.uint64))
    followers, leaders, _ = band_pairs(bands[numbers].reshape(-1), np.repeat(numbers, preset.bands), ranks)
    return followers, leaders


def _kept(texts: Texts, preset: Preset, similarity: Fraction) -> np.ndarray:
    """For each of n distinct texts, in order of their ranks, the one that is kept instead: int64 [n]."""
    followers, leaders = candidates(texts, preset)
    similar = are_similar(*shared_shingles(shingle_sets(texts, preset.shingling), followers, leaders), similarity)
    followers, leaders = followers[similar], leaders[similar]
    states = np.full(len(texts.borders) - 1, KEPT)
    states[followers] = UNKNOWN
    _, because = settle(followers, leaders, states)
    return np.where(because < 0, np.arange(len(states)), because)
