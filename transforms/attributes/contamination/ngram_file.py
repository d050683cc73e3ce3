"""The n-grams of evaluation items as a file, so that they are made once and every worker has the same.

```
WORK/ngrams.arrow    one row: a list for each array     sizes [13]   slots [-1, 0, ...]   ...   ngram_sets [0, 0, 1]
```
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.batch_files import read_batch, write_batch
from byline.transforms.attributes.contamination.ngrams import EvaluationNgrams, NgramTable

_SETS, _SET_OFFSETS = "ngram_sets", "ngram_set_offsets"


class NgramSets(NamedTuple):
    """What workers need of the n-grams.

    Attributes:
        table: of all sets.
        sets: int64, the numbers of the sets of n-gram after n-gram, ascending for each.
        offsets: int64 [n-grams + 1], into `sets`.
    """

    table: NgramTable
    sets: np.ndarray
    offsets: np.ndarray


def sets_of(ngrams: EvaluationNgrams, sets: np.ndarray) -> NgramSets:
    """The sets of each n-gram, of the sets of the items (int64 [items])."""
    numbers = np.repeat(np.arange(len(ngrams.offsets) - 1), np.diff(ngrams.offsets))
    pairs = np.unique(np.stack([numbers, sets[ngrams.items]], axis=1), axis=0)
    return NgramSets(ngrams.table, pairs[:, 1].copy(), np.searchsorted(pairs[:, 0], np.arange(len(ngrams.offsets))))


def write_ngrams(uri: str, ngrams: NgramSets) -> None:
    """Writes them."""
    arrays = {**ngrams.table._asdict(), _SETS: ngrams.sets, _SET_OFFSETS: ngrams.offsets}
    columns = [pa.LargeListArray.from_arrays([0, len(array)], pa.array(array)) for array in arrays.values()]
    write_batch(uri, pa.RecordBatch.from_arrays(columns, list(arrays)))


def read_ngrams(uri: str) -> NgramSets:
    """Reads and checks them. Raises: DamagedFileError."""
    row = read_batch(uri)
    arrays = {name: row[name].values.to_numpy() for name in row.schema.names}
    sets, offsets = arrays.pop(_SETS), arrays.pop(_SET_OFFSETS)
    return NgramSets(NgramTable(**arrays), sets, offsets)
