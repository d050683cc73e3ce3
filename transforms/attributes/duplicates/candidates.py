"""Candidates for near duplicates: bands to partitions, and in each the members of a band with its lowest document.

```
SpreadBands    a file        -> banded/<chunk>      band  shuffle_key  document     of what stands for its equals
PairBands      a partition   -> followers/<number>  follower  leader  spread        by the follower's file
                                leaders/<number>    leader  spread                  by the leader's file
```

A leader of very many followers would have all their texts compared in one partition; so they are spread over several,
to each of which the leader's text goes, too. `spread` is how many, a power of two. A pair of several bands has the
largest.
"""

import numpy as np
import pyarrow as pa

from byline.schemas.documents import BatchInfo
from byline.transforms.attributes.batch_files import read_batch
from byline.transforms.attributes.duplicates.layout import Layout, matrix, record_batch
from byline.transforms.attributes.exchange import partition_of, write_partitions
from byline.transforms.attributes.stored_documents import ListedFile, StoredFile
from byline.transforms.duplicates.deciding import band_pairs

# Followers of a leader in one partition: some ten MB of text.
FOLLOWERS = 4096


def spread_bands(layout: Layout, line: str) -> None:
    """Writes the bands of an input file's documents, one of each group of equal ones."""
    listed = StoredFile.from_json(line)
    file = layout.file_number(listed.file.source, listed.file.path)
    equal = layout.read_bucket("equal", layout.partitions, file, "document")
    removed = equal.filter(pa.array(equal["document"].to_numpy() != equal["first"].to_numpy()))["document"].to_numpy()
    for info in chunks_of(layout, listed):
        rows = read_batch(layout.of_chunk("bands", info))
        rows = rows.filter(pa.array(~np.isin(rows["document"].to_numpy(), removed)))
        bands = matrix(rows["bands"])
        banded = record_batch(
            band=bands.reshape(-1),
            shuffle_key=np.repeat(rows["shuffle_key"].to_numpy(), bands.shape[1]),
            document=np.repeat(rows["document"].to_numpy(), bands.shape[1]),
        )
        partition = partition_of(bands.reshape(-1), layout.band_partitions)
        write_partitions(layout.of_chunk("banded", info), banded, partition, layout.band_partitions)


def chunks_of(layout: Layout, listed: ListedFile) -> list[BatchInfo]:
    """The chunks of an input file that have documents."""
    source, path = listed.file.source, listed.file.path
    return [
        BatchInfo(source, path, chunk)
        for chunk in sorted(listed.chunks)
        if (source, path, chunk) in layout.with_documents
    ]


def pair_bands(layout: Layout, line: str) -> None:
    """Writes the pairs of a partition of bands."""
    number = int(line)
    rows = layout.read_chunks("banded", number)
    documents, first, numbers = np.unique(rows["document"].to_numpy(), return_index=True, return_inverse=True)
    ranks = layout.ranks(documents, rows["shuffle_key"].to_numpy()[first])
    followers, leaders, members = band_pairs(rows["band"].to_numpy(), numbers, ranks)
    pairs = record_batch(follower=documents[followers], leader=documents[leaders], spread=_spread(members))
    by_file = layout.bucket(documents[followers])
    write_partitions(layout.of_partition("followers", number), pairs, by_file, layout.buckets)
    leading = np.unique(np.stack([documents[leaders], pairs["spread"].to_numpy()], axis=1), axis=0)
    leading_rows = record_batch(leader=leading[:, 0], spread=leading[:, 1])
    by_file = layout.bucket(leading[:, 0])
    write_partitions(layout.of_partition("leaders", number), leading_rows, by_file, layout.buckets)


def _spread(members: np.ndarray) -> np.ndarray:
    """Over how many partitions the followers of a band with so many members go: uint64, powers of two."""
    wanted = np.maximum(-(-members // FOLLOWERS), 1)
    powers = np.uint64(1) << np.arange(33, dtype=np.uint64)
    return powers[np.searchsorted(powers, wanted.astype(np.uint64))]
