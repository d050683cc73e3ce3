"""The clusters as a file: what `AssignClusters` needs of them, and what people want to know.

```
bucket   weight   0     1     2           a row for each bucket, a column for each centre
0           412   0    12     0
1            90   3     0   771
metadata    {"clusters": [{"label": "00-recipe-oven-butter", "words": [...], "representatives": [...]}, ...]}
```
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.batch_files import read_batch, write_batch

_KEY, _WEIGHT = b"byline.clusters", "weight"


@dataclass(frozen=True)
class Clusters:
    """Clusters, most frequent first.

    Attributes:
        weights: int32 [buckets], of `bucket_weights`.
        columns: int16 [buckets, clusters], their centres.
        about: for each cluster its `label` (str), `words` (list of str), and `representatives` (list of mappings).
    """

    weights: np.ndarray
    columns: np.ndarray
    about: Sequence[Mapping[str, Any]]


def write_clusters(uri: str, clusters: Clusters) -> None:
    """Writes clusters."""
    numbers = range(len(clusters.about))
    fields = [pa.field(_WEIGHT, pa.int32()), *(pa.field(str(number), pa.int16()) for number in numbers)]
    schema = pa.schema(fields, {_KEY: json.dumps({"clusters": clusters.about}).encode()})
    columns = [np.ascontiguousarray(clusters.columns[:, number]) for number in numbers]
    write_batch(uri, pa.RecordBatch.from_arrays(list(map(pa.array, [clusters.weights, *columns])), schema=schema))


def read_clusters(uri: str) -> Clusters:
    """Reads clusters. Raises: DamagedFileError: it cannot be read."""
    batch = read_batch(uri)
    about = json.loads(batch.schema.metadata[_KEY])["clusters"]
    columns = np.empty((batch.num_rows, len(about)), np.int16)
    for number in range(len(about)):
        columns[:, number] = batch[str(number)].to_numpy()
    return Clusters(batch[_WEIGHT].to_numpy(), columns, about)
