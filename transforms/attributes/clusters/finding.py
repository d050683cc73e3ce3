"""Sample -> clusters: their centres, the words that tell them, and documents that show what they are about.

```
sample      features -> weights -> vectors -> centres
first ones  texts -> words of each cluster -> labels; the documents nearest to each centre
```

All of it is one worker's: 100,000 documents of 2 kB take 8 seconds of a core and 800 MB for 24 clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.attribute_kinds.clusters import ClustersAttribute
from byline.transforms.attributes.clusters.centres import find_centres
from byline.transforms.attributes.clusters.clusters_file import Clusters, write_clusters
from byline.transforms.attributes.clusters.features import bucket_documents, bucket_weights
from byline.transforms.attributes.clusters.sample import Ranks, read_features, read_texts
from byline.transforms.attributes.clusters.telling_words import labels, telling_words
from byline.transforms.attributes.clusters.vectors import SQUARE, Vectors, nearest, vectors_of

# Documents whose texts are read again for words and representatives: some for each cluster, and not all in memory.
_FEWEST_TEXTS, _TEXTS_A_CLUSTER, _MOST_TEXTS = 20_000, 200, 50_000
_WORDS, _REPRESENTATIVES, _SHOWN_CHARACTERS = 10, 3, 80


@dataclass(frozen=True)
class FindClusters:
    """Writes the clusters of a sample.

    Attributes:
        settings: of the attribute.
        sample: uri, source and path of each of its files, in this order.
        uri: where they go.
    """

    settings: ClustersAttribute
    sample: Sequence[tuple[str, str, str]]
    uri: str

    def __call__(self, line: str) -> None:
        """Works on the whole sample, whatever the line says."""
        settings, uris = self.settings, [uri for uri, _, _ in self.sample]
        ranks, features = read_features(uris, settings.bits, settings.sample)
        weights = bucket_weights(bucket_documents(features, settings.bits), len(ranks.rows))
        vectors = vectors_of(features, weights)
        columns = find_centres(vectors, settings.features, settings.number, settings.iterations, settings.seed).columns
        about = self._about(uris, ranks, vectors, columns) if columns.shape[1] else []
        write_clusters(self.uri, Clusters(weights, columns, about))

    def _about(
        self, uris: Sequence[str], ranks: Ranks, vectors: Vectors, columns: np.ndarray
    ) -> list[Mapping[str, Any]]:
        """What is known of each cluster, as `Clusters` has it."""
        clusters = columns.shape[1]
        most = min(max(_FEWEST_TEXTS, _TEXTS_A_CLUSTER * clusters), _MOST_TEXTS)
        first = Ranks(*(column[:most] for column in ranks))
        texts = read_texts(uris, first)
        numbers, products = nearest(vectors.offsets[: len(texts) + 1], vectors.buckets, vectors.values, columns)
        words = telling_words(texts, numbers, clusters, _WORDS)
        shown = self._representatives(first, texts, numbers, products, clusters)
        return [
            {"label": label, "words": of_one, "representatives": documents}
            for label, of_one, documents in zip(labels(words), words, shown, strict=True)
        ]

    def _representatives(
        self, ranks: Ranks, texts: pa.Array, numbers: np.ndarray, products: np.ndarray, clusters: int
    ) -> list[list[Mapping[str, Any]]]:
        """The documents nearest to each centre, nearest first."""
        order = np.lexsort((-products, numbers))
        starts = np.searchsorted(numbers[order], np.arange(clusters + 1)).tolist()
        return [
            [
                self._shown(ranks, texts, row, products[row])
                for row in order[start : min(start + _REPRESENTATIVES, stop)].tolist()
            ]
            for start, stop in pairwise(starts)
        ]

    def _shown(self, ranks: Ranks, texts: pa.Array, row: int, product: int) -> Mapping[str, Any]:
        _, source, path = self.sample[ranks.files[row]]
        beginning = pc.utf8_slice_codeunits(texts.slice(row, 1), 0, 10 * _SHOWN_CHARACTERS)[0].as_py()
        return {
            "source": source,
            "path": path,
            "row": int(ranks.rows[row]),
            "similarity": round(float(product) / SQUARE, 3),
            "text": " ".join(beginning.split())[:_SHOWN_CHARACTERS],
        }
