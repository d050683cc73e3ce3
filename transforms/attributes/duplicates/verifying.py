"""Candidates are compared: their texts go where their pairs are, and there their shingles are counted.

```
SendTexts      a file        -> texts/<chunk>     document  shuffle_key  copies  sources  text     by pair
                                pairs/<chunk>     follower  leader                                 by pair
ComparePairs   a partition   -> similar/<number>  follower  leader, and of each shuffle_key, copies, sources
                                                                                         by the follower
                                led/<number>      leader  follower                        by the leader
                                compared/<number>.json   how many pairs were compared, and are similar
```

A text is sent as it is compared, in its normal form: its shingles are up to eight times as large. A pair goes by its
leader and, where that has many followers, a part of the follower's hash.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from byline.schemas.documents import BatchInfo
from byline.splitmix import splitmix64
from byline.transforms.attributes.batch_files import read_batch
from byline.transforms.attributes.duplicates.candidates import chunks_of
from byline.transforms.attributes.duplicates.layout import Layout, matrix, record_batch, rows_of
from byline.transforms.attributes.exchange import partition_of, write_partitions
from byline.transforms.attributes.notes import write_note
from byline.transforms.attributes.stored_documents import StoredFile, stored_texts
from byline.transforms.documents.text_parts import text_buffers, texts_of
from byline.transforms.duplicates.deciding import largest_of_pairs
from byline.transforms.duplicates.jaccard import are_similar, shared_shingles
from byline.transforms.duplicates.normalizing import Texts, normalized
from byline.transforms.duplicates.shingles import shingle_sets

# Text whose shingles are made at a time: of 24 characters they are eight times as large.
_BLOCK_BYTES = 8 << 20
_NO_TEXT = pa.array([], pa.large_string())


def send_texts(layout: Layout, line: str) -> None:
    """Writes the texts of an input file's candidates, and the pairs that they follow in."""
    listed = StoredFile.from_json(line)
    file = layout.file_number(listed.file.source, listed.file.path)
    pairs, targets, wanted = _wanted(layout, file)
    equal = layout.read_bucket("equal", layout.partitions, file, "document")
    chosen: dict[int, pa.RecordBatch] = {}
    for info in chunks_of(layout, listed):
        known = read_batch(layout.of_chunk("bands", info)).select(["document", "shuffle_key"])
        is_here = np.isin(pairs[:, 0], known["document"].to_numpy())
        rows = record_batch(follower=pairs[is_here, 0], leader=pairs[is_here, 1])
        write_partitions(layout.of_chunk("pairs", info), rows, targets[is_here], layout.text_partitions)
        known = known.filter(pa.array(np.isin(known["document"].to_numpy(), wanted["document"].to_numpy())))
        if known.num_rows:
            chosen[info.chunk] = known
        else:
            _write_texts(layout, info, wanted, equal, known, _NO_TEXT)
    rows_of_chunks = {chunk: rows_of(known["document"].to_numpy()) for chunk, known in chosen.items()}
    for info, texts in stored_texts(listed, layout.reading, rows_of_chunks):
        _write_texts(layout, info, wanted, equal, chosen[info.chunk], texts)


def _wanted(layout: Layout, file: int) -> tuple[np.ndarray, np.ndarray, pa.RecordBatch]:
    """What is wanted of a file.

    Returns:
        uint64 [pairs, 2], followers that are in it and their leaders; int64 [pairs], the partition of each; `document`
        and `partition` of the texts, each once, ascending.
    """
    followers = layout.read_bucket("followers", layout.band_partitions, file, "follower")
    leaders = layout.read_bucket("leaders", layout.band_partitions, file, "leader")
    pairs, spread = largest_of_pairs(
        np.stack([followers["follower"].to_numpy(), followers["leader"].to_numpy()], axis=1),
        followers["spread"].to_numpy(),
    )
    targets = _target(layout, pairs[:, 1], spread, splitmix64(pairs[:, 0]) % spread)
    leading, shares_of, shares = _all_shares(leaders["leader"].to_numpy(), leaders["spread"].to_numpy())
    documents = np.concatenate([pairs[:, 0], leading])
    partitions = np.concatenate([targets, _target(layout, leading, shares_of, shares)])
    texts = np.stack([documents, partitions.astype(np.uint64)], axis=1)
    texts = np.unique(texts, axis=0)
    return pairs, targets, record_batch(document=texts[:, 0], partition=texts[:, 1].astype(np.int64))


def _all_shares(leaders: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each leader (uint64 [n]) with each share of its spread: leaders, spreads and shares, uint64 [m]."""
    counts = spread.astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(leaders, counts), np.repeat(spread, counts), within.astype(np.uint64)


def _target(layout: Layout, leaders: np.ndarray, spread: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where a leader is compared with one share of its followers, of `spread`: int64 [n]."""
    return partition_of(splitmix64(splitmix64(leaders) ^ (spread << np.uint64(32) | share)), layout.text_partitions)


def _write_texts(
    layout: Layout,
    info: BatchInfo,
    wanted: pa.RecordBatch,
    equal: pa.RecordBatch,
    known: pa.RecordBatch,
    texts: pa.Array,
) -> None:
    """Writes the texts of a chunk that are wanted, those of `document` and `shuffle_key`, ascending, in `known`."""
    documents = known["document"].to_numpy()
    rows = wanted.filter(pa.array(np.isin(wanted["document"].to_numpy(), documents)))
    index = np.searchsorted(documents, rows["document"].to_numpy())
    sent = normalized(texts, layout.compared_form)
    copies, sources = _of_group(layout, equal, documents)
    batch = record_batch(
        document=documents[index],
        shuffle_key=known["shuffle_key"].to_numpy()[index],
        copies=copies[index],
        sources=sources[index],
        text=texts_of(sent.borders, sent.data).take(pa.array(index)),
    )
    partition = rows["partition"].to_numpy()
    write_partitions(layout.of_chunk("texts", info), batch, partition, layout.text_partitions)


def _of_group(layout: Layout, equal: pa.RecordBatch, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many documents each stands for, itself among them (int64), and their sources (uint64 [n, words])."""
    copies, sources = np.ones(len(documents), np.int64), layout.own_sources(documents)
    known = equal["document"].to_numpy()
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known[order], documents), max(len(known) - 1, 0))
    if len(known):
        rows = np.flatnonzero(known[order][at] == documents)
        copies[rows] = equal["copies"].to_numpy()[order][at[rows]]
        sources[rows] = matrix(equal["sources"])[order][at[rows]]
    return copies, sources


def compare_pairs(layout: Layout, line: str) -> None:
    """Writes the pairs of a partition that are similar."""
    number = int(line)
    texts, pairs = layout.read_chunks("texts", number), layout.read_chunks("pairs", number)
    documents = texts["document"].to_numpy()
    order = np.argsort(documents)
    # Leader by leader, so that each text is cut into shingles about once.
    by_leader = np.lexsort((pairs["follower"].to_numpy(), pairs["leader"].to_numpy()))
    followers = order[np.searchsorted(documents[order], pairs["follower"].to_numpy()[by_leader])]
    leaders = order[np.searchsorted(documents[order], pairs["leader"].to_numpy()[by_leader])]
    similar = np.concatenate([np.zeros(0, bool), *_similar(layout, texts["text"], followers, leaders)])
    followers, leaders = followers[similar], leaders[similar]
    of_both = {
        f"{role}_{name}": texts[name].take(pa.array(rows))
        for role, rows in (("follower", followers), ("leader", leaders))
        for name in ("shuffle_key", "copies", "sources")
    }
    rows = record_batch(follower=documents[followers], leader=documents[leaders], **of_both)
    by_follower = layout.partition(documents[followers])
    write_partitions(layout.of_partition("similar", number), rows, by_follower, layout.partitions)
    led = layout.partition(documents[leaders])
    write_partitions(layout.of_partition("led", number), rows.select(["leader", "follower"]), led, layout.partitions)
    write_note(layout.work, "compared", number, {"compared": len(similar), "similar": int(similar.sum())})


def _similar(layout: Layout, texts: pa.Array, followers: np.ndarray, leaders: np.ndarray) -> Iterator[np.ndarray]:
    """Whether pairs are similar, some at a time: bool."""
    assert layout.preset is not None
    borders, _ = text_buffers(texts)
    blocks = np.cumsum(np.diff(borders)[followers]) // _BLOCK_BYTES
    cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(followers)]
    for low, high in pairwise(cuts):
        used, index = np.unique(np.concatenate([followers[low:high], leaders[low:high]]), return_inverse=True)
        sets = shingle_sets(Texts(*text_buffers(texts.take(pa.array(used)))), layout.preset.shingling)
        shared, together = shared_shingles(sets, index[: high - low], index[high - low :])
        yield are_similar(shared, together, layout.similarity)
