"""What is said of clusters, when all documents have their labels.

```
07-recipe-oven-butter    12,345 documents (4.1%), 8,120,411 tokens: 11,900 of web, 445 of wiki
                         recipe oven butter bake dough minutes sugar flour cup stir
                         web/a/0003.jsonl.gz row 712, 0.61: Preheat the oven to 180 degrees and butter a loaf ...
31 documents without words have no label
```
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from byline.printable import printable
from byline.transforms.attributes.batch_files import read_batch, write_batch
from byline.transforms.attributes.clusters.clusters_file import Clusters
from byline.transforms.attributes.rounds import Summary
from byline.transforms.files.storage import side_by_side

_SOURCE = b"byline.source"
_SCHEMA = pa.schema([("documents", pa.int64()), ("tokens", pa.int64())])


def write_counts(uri: str, source: str, numbers: np.ndarray, tokens: np.ndarray, clusters: int) -> None:
    """Writes documents and tokens by cluster of a chunk, those without one last.

    Args:
        uri: of the file.
        source: of the chunk.
        numbers: int [n], the cluster of each document, -1 for none.
        tokens: int [n], of each document.
        clusters: how many there are.
    """
    rows = np.where(numbers < 0, clusters, numbers)
    documents, total = np.bincount(rows, minlength=clusters + 1), np.zeros(clusters + 1, np.int64)
    np.add.at(total, rows, tokens)
    schema = _SCHEMA.with_metadata({_SOURCE: source.encode()})
    write_batch(uri, pa.RecordBatch.from_arrays([pa.array(documents), pa.array(total)], schema=schema))


def summarize(clusters: Clusters, uris: Sequence[str]) -> Summary:
    """The summary of all counts.

    Args:
        clusters: with what is known of each.
        uris: of the files of counts, in any order.
    """
    by_source: dict[str, np.ndarray] = {}
    for source, counts in side_by_side(_read, uris):
        # int64 [2, clusters + 1]
        by_source.setdefault(source, np.zeros(counts.shape, np.int64))
        by_source[source] += counts
    totals = sum(by_source.values(), np.zeros((2, len(clusters.about) + 1), np.int64))
    known = [
        {
            **about,
            "documents": int(totals[0, number]),
            "tokens": int(totals[1, number]),
            "documents_by_source": {
                source: int(counts[0, number]) for source, counts in sorted(by_source.items()) if counts[0, number]
            },
        }
        for number, about in enumerate(clusters.about)
    ]
    summary: Summary = {"documents": int(totals[0].sum()), "without_words": int(totals[0, -1]), "clusters": known}
    return {**summary, "lines": _lines(summary)}


def _read(uri: str) -> tuple[str, np.ndarray]:
    """Of one chunk: its source, and documents and tokens, int64 [2, clusters + 1]."""
    batch = read_batch(uri)
    columns = [batch[name].to_numpy() for name in _SCHEMA.names]
    return batch.schema.metadata[_SOURCE].decode(), np.stack(columns)


def _lines(summary: Mapping[str, Any]) -> list[str]:
    width = max((len(cluster["label"]) for cluster in summary["clusters"]), default=0)
    lines = [line for cluster in summary["clusters"] for line in _of_cluster(cluster, width, summary["documents"])]
    without = summary["without_words"]
    return [*lines, f"{without:,} documents without words have no label"] if without else lines


def _of_cluster(cluster: Mapping[str, Any], width: int, documents: int) -> list[str]:
    sources = ", ".join(f"{count:,} of {source}" for source, count in cluster["documents_by_source"].items())
    share = cluster["documents"] / documents
    about = [f"{cluster['documents']:,} documents ({share:.1%}), {cluster['tokens']:,} tokens: {sources}"]
    about.append(" ".join(cluster["words"]))
    for shown in cluster["representatives"]:
        where = f"{shown['source']}/{shown['path']} row {shown['row']}, {shown['similarity']}"
        about.append(printable(f"{where}: {shown['text']}"))
    return [f"{cluster['label'] if number == 0 else '':{width}}  {line}" for number, line in enumerate(about)]
