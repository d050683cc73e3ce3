"""The kind `clusters`: labels of documents by the words they share, with nothing but the documents.

```
TakeSample       some files      -> WORK/sample/<run>      some of their documents, with their texts
FindClusters     one line        -> WORK/clusters.arrow    centres, labels
AssignClusters   an input file   -> WORK/parts/<run>       its documents' columns
                                    WORK/counts/<run>      documents and tokens by cluster
driver           counts          -> summary by cluster
```
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.clusters import ClustersAttribute
from byline.schemas.config import Config
from byline.schemas.documents import info_of
from byline.transforms.attributes.clusters.clusters_file import Clusters, read_clusters
from byline.transforms.attributes.clusters.features import features_of
from byline.transforms.attributes.clusters.finding import FindClusters
from byline.transforms.attributes.clusters.sample import TakeSample, draw_files
from byline.transforms.attributes.clusters.summary import summarize, write_counts
from byline.transforms.attributes.clusters.vectors import SQUARE, nearest, vectors_of
from byline.transforms.attributes.rounds import AttributeKind, Context, Round, Rounds
from byline.transforms.attributes.stored_documents import Reading, StoredFile, stored_documents
from byline.transforms.attributes.values import parts_uri, write_values
from byline.transforms.files.storage import join
from byline.transforms.filters.marks import unicode_version


@dataclass(frozen=True)
class AssignClusters:
    """Writes the values of each chunk of an input file, and what is counted of it.

    Attributes:
        reading: of the configuration.
        name: of the attribute.
        bits: the binary logarithm of the features.
        clusters: where they are.
        parts: where the values go.
        counts: where the counts go.
    """

    reading: Reading
    name: str
    bits: int
    clusters: str
    parts: str
    counts: str

    def __call__(self, line: str) -> None:
        """Works on one input file."""
        clusters = _open(self.clusters)
        for batch in stored_documents(StoredFile.from_json(line), self.reading):
            info = info_of(batch)
            numbers, products = assigned(batch["text"], self.bits, clusters)
            columns = columns_of(self.name, [about["label"] for about in clusters.about], numbers, products)
            write_values(parts_uri(self.parts, info.source, info.path, info.chunk), batch["row"], columns)
            uri = parts_uri(self.counts, info.source, info.path, info.chunk)
            write_counts(uri, info.source, numbers, batch["num_tokens"].to_numpy(), len(clusters.about))


@lru_cache(maxsize=1)
def _open(uri: str) -> Clusters:
    return read_clusters(uri)


def assigned(texts: pa.Array, bits: int, clusters: Clusters) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each text (large_string [n]), int32 [n], -1 for none, and the product with its centre, int32."""
    if not clusters.about:
        return np.full(len(texts), -1, np.int32), np.zeros(len(texts), np.int32)
    return nearest(*vectors_of(features_of(texts, bits), clusters.weights), clusters.columns)


def columns_of(name: str, labels: list[str], numbers: np.ndarray, products: np.ndarray) -> dict[str, pa.Array]:
    """The columns of the attribute of this name."""
    missing = numbers < 0
    # Rounding makes a text that is all of a cluster a little longer than its centre, or shorter.
    similarity = np.minimum(products / np.float64(SQUARE), 1).astype(np.float32)
    return {
        name: pa.array(labels, pa.string()).take(pa.array(numbers, mask=missing)),
        f"{name}_similarity": pa.array(similarity, mask=missing),
    }


def _rounds(context: Context) -> Rounds:
    settings = context.settings
    assert isinstance(settings, ClustersAttribute), settings
    sample, counts = join(context.work, "sample"), join(context.work, "counts")
    uri = join(context.work, "clusters.arrow")
    drawn, highest = draw_files(context.files, settings.sample)
    size = sum(file.file.size for file in drawn)
    yield Round("TakeSample", [file.to_json() for file in drawn], TakeSample(context.reading, highest, sample), size)
    infos = [chunk.info for file in drawn for chunk in file.chunks if chunk.info.rows]
    sampled = [(parts_uri(sample, run.source, run.path, run.chunk), run.source, run.path) for run in infos]
    yield Round("FindClusters", [context.name], FindClusters(settings, sampled, uri))
    do = AssignClusters(context.reading, context.name, settings.bits, uri, context.parts, counts)
    yield Round("AssignClusters", context.lines, do, context.size)
    chunks = [(run.source, run.path, run.chunk) for run in context.runs if run.rows]
    return summarize(read_clusters(uri), [parts_uri(counts, *chunk) for chunk in chunks])


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    return {"unicode": unicode_version()}


CLUSTERS = AttributeKind(rounds=_rounds, identity=_identity)
