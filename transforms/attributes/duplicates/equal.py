"""Equal documents: hashes of texts to partitions, and in each the document that stands for all of a group.

```
HashTexts      a file        -> hashes/<chunk>    high  low  shuffle_key  document        by the hash
                                bands/<chunk>     shuffle_key  document  bands            of one of a chunk's equals,
                                                                                          if it has shingles
GroupEqual     a partition   -> equal/<number>    document  first  copies  sources        by the document's file
                                members/<number>  first  document                         by the first
```

`first` is the document of lowest rank of a group of at least two, itself among them; `copies` is how many they are, and
`sources` where they are from.
"""

import numpy as np
import pyarrow as pa

from byline.schemas.documents import info_of
from byline.transforms.attributes.batch_files import write_batch
from byline.transforms.attributes.duplicates.largest import write_largest
from byline.transforms.attributes.duplicates.layout import Layout, record_batch, united
from byline.transforms.attributes.exchange import partition_of, write_partitions
from byline.transforms.attributes.stored_documents import StoredFile, stored_documents
from byline.transforms.duplicates.deciding import lowest_of_groups
from byline.transforms.duplicates.minhash import band_hashes
from byline.transforms.duplicates.normalizing import coarser, normalized, text_hashes


def hash_texts(layout: Layout, line: str) -> None:
    """Writes the hashes and bands of the documents of an input file."""
    for batch in stored_documents(StoredFile.from_json(line), layout.reading, with_hosts=False):
        info = info_of(batch)
        documents, keys = layout.documents(info.source, info.path, batch["row"]), batch["shuffle_key"]
        normal = normalized(batch["text"], layout.form)
        hashes = text_hashes(batch["text"], normal)
        rows = record_batch(high=hashes[:, 0], low=hashes[:, 1], shuffle_key=keys, document=documents)
        partition = partition_of(hashes[:, 0], layout.partitions)
        write_partitions(layout.of_chunk("hashes", info), rows, partition, layout.partitions)
        if layout.preset is not None:
            compared = coarser(normal, layout.form, layout.compared_form)
            # What stands for its equals is the lowest of its chunk, too.
            lowest = lowest_of_groups(hashes, layout.ranks(documents, keys.to_numpy()))
            bands, has_shingles = band_hashes(compared, layout.preset, lowest == np.arange(len(lowest)))
            rows = record_batch(shuffle_key=keys, document=documents, bands=bands).filter(pa.array(has_shingles))
            write_batch(layout.of_chunk("bands", info), rows)


def group_equal(layout: Layout, line: str) -> None:
    """Writes the groups of equal documents of a partition."""
    number = int(line)
    rows = layout.read_chunks("hashes", number)
    documents = rows["document"].to_numpy()
    ranks = layout.ranks(documents, rows["shuffle_key"].to_numpy())
    lowest = lowest_of_groups(np.stack([rows["high"].to_numpy(), rows["low"].to_numpy()], axis=1), ranks)
    members = np.flatnonzero(np.bincount(lowest, minlength=len(lowest))[lowest] > 1)
    firsts, groups, copies = np.unique(lowest[members], return_inverse=True, return_counts=True)
    sources = united(groups, layout.own_sources(documents[members]))
    equal = record_batch(
        document=documents[members],
        first=documents[firsts][groups],
        copies=copies[groups],
        sources=sources[groups],
    )
    write_partitions(layout.of_partition("equal", number), equal, layout.bucket(documents[members]), layout.buckets)
    others = equal.filter(pa.array(lowest[members] != members)).select(["first", "document"])
    by_first = layout.partition(others["first"].to_numpy())
    write_partitions(layout.of_partition("members", number), others, by_first, layout.partitions)
    if layout.preset is None:
        write_largest(layout, number, documents[firsts], copies)
