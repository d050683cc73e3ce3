"""Clusters of near duplicates: what is kept, all that is removed because of it, and the equals of both.

```
Unite          a partition   -> stars/<number>      document  kept  size  sources      by the document
TellMembers    a partition   -> near/<number>       the same, of all documents of each group of equal ones,
                                                    by the document's file
```

`size` is how many documents a cluster has, `sources` where they are from. What is kept is among the documents.
"""

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.duplicates.largest import write_largest
from byline.transforms.attributes.duplicates.layout import Layout, matrix, record_batch, united
from byline.transforms.attributes.exchange import joined, write_partitions


def unite(layout: Layout, settled: str, line: str) -> None:
    """Writes the clusters of the documents of a partition that are kept; `settled` is the step that says of which."""
    number = int(line)
    rows = layout.read_partitions(settled, layout.partitions, number)
    kept, first, groups = np.unique(rows["kept"].to_numpy(), return_index=True, return_inverse=True)
    own = matrix(rows["leader_sources"])[first]
    sources = united(groups, matrix(rows["follower_sources"])) | own
    removed = np.zeros(len(kept), np.int64)
    np.add.at(removed, groups, rows["follower_copies"].to_numpy())
    size = removed + rows["leader_copies"].to_numpy()[first]
    cluster = np.concatenate([np.arange(len(kept)), groups])
    stars = record_batch(
        document=np.concatenate([kept, rows["document"].to_numpy()]),
        kept=kept[cluster],
        size=size[cluster],
        sources=sources[cluster],
    )
    partition = layout.partition(stars["document"].to_numpy())
    write_partitions(layout.of_partition("stars", number), stars, partition, layout.partitions)


def tell_members(layout: Layout, line: str) -> None:
    """Writes the clusters of a partition's documents and of their equals, and the largest clusters."""
    number = int(line)
    stars = layout.read_partitions("stars", layout.partitions, number)
    members = layout.read_partitions("members", layout.partitions, number)
    documents, firsts = stars["document"].to_numpy(), members["first"].to_numpy()
    order = np.argsort(documents)
    at = order[np.minimum(np.searchsorted(documents[order], firsts), max(len(order) - 1, 0))] if len(order) else order
    is_near = documents[at] == firsts if len(order) else np.zeros(len(firsts), bool)
    equals = stars.take(pa.array(at[is_near[: len(at)]])).set_column(
        0, "document", members["document"].filter(pa.array(is_near))
    )
    near = joined([stars, equals])
    by_file = layout.bucket(near["document"].to_numpy())
    write_partitions(layout.of_partition("near", number), near, by_file, layout.buckets)
    alone, counts = np.unique(firsts[~is_near], return_counts=True)
    is_kept = documents == stars["kept"].to_numpy()
    write_largest(
        layout,
        number,
        np.concatenate([documents[is_kept], alone]),
        np.concatenate([stars["size"].to_numpy()[is_kept], counts + 1]),
    )
