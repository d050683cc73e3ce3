"""Which candidates are removed: states of leaders are told to their followers until each is decided.

```
Settle 0       a partition   -> told-0/<number>     follower  leader  state          by the follower
                                settled-0/<number>  document  kept, and of each copies, sources, by the kept one
                                undecided-0-<number>.json    how many are, a note
Settle 1       with what was told in 0, and so on until none is undecided
```

In one partition all is decided at once. In several, a document waits for leaders that are elsewhere: as many rounds as
there are documents in a row, each a candidate only because of the one before it, few where shuffle keys decide.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.duplicates.layout import Layout, record_batch
from byline.transforms.attributes.exchange import write_partitions
from byline.transforms.attributes.notes import read_notes, write_note
from byline.transforms.duplicates.deciding import KEPT, UNKNOWN, settle


@dataclass(frozen=True)
class Settle:
    """Decides what can be decided in a partition.

    Attributes:
        layout: of the attribute.
        turn: from 0.
    """

    layout: Layout
    turn: int

    def __call__(self, line: str) -> None:
        """Works on a partition."""
        layout, number = self.layout, int(line)
        rows = layout.read_partitions("similar", layout.text_partitions, number)
        told = None
        if self.turn:
            told = layout.read_partitions(f"told-{self.turn - 1}", layout.partitions, number)
        nodes = _nodes(layout, rows, told, number)
        self._write_settled(rows, nodes, number)
        self._tell(nodes, number)
        undecided = int((nodes.states[nodes.is_follower] == UNKNOWN).sum())
        write_note(layout.work, f"undecided-{self.turn}", number, undecided)

    def _write_settled(self, rows: pa.RecordBatch, nodes: "_Nodes", number: int) -> None:
        """Those that are removed because of what is known to be kept."""
        follower = nodes.number_of(rows["follower"].to_numpy())
        chosen = nodes.because[follower] == nodes.number_of(rows["leader"].to_numpy())
        names = {"follower": "document", "leader": "kept"}
        columns = [name for name in rows.schema.names if not name.endswith("shuffle_key")]
        settled = rows.select(columns).filter(pa.array(chosen & (nodes.because[follower] >= 0)))
        settled = settled.rename_columns([names.get(name, name) for name in columns])
        partition = self.layout.partition(settled["kept"].to_numpy())
        uri = self.layout.of_partition(f"settled-{self.turn}", number)
        write_partitions(uri, settled, partition, self.layout.partitions)

    def _tell(self, nodes: "_Nodes", number: int) -> None:
        """The states of this partition's leaders."""
        led = self.layout.read_partitions("led", self.layout.text_partitions, number)
        states = nodes.state_of(led["leader"].to_numpy())
        told = record_batch(follower=led["follower"], leader=led["leader"], state=states)
        told = told.filter(pa.array(states != UNKNOWN))
        partition = self.layout.partition(told["follower"].to_numpy())
        uri = self.layout.of_partition(f"told-{self.turn}", number)
        write_partitions(uri, told, partition, self.layout.partitions)


@dataclass(frozen=True)
class _Nodes:
    """The documents of a partition's pairs, in order of rank.

    Attributes:
        documents: uint64 [n].
        by_document: int64 [n], which sorts them by number.
        is_follower: bool [n], whether it is decided here.
        states: uint8 [n].
        because: int64 [n].
    """

    documents: np.ndarray
    by_document: np.ndarray
    is_follower: np.ndarray
    states: np.ndarray
    because: np.ndarray

    def number_of(self, documents: np.ndarray) -> np.ndarray:
        """int64 [m], of documents that are among them."""
        return self.by_document[np.searchsorted(self.documents, documents, sorter=self.by_document)]

    def state_of(self, documents: np.ndarray) -> np.ndarray:
        """uint8 [m], of any of the partition; one that follows nobody is kept."""
        states = np.full(len(documents), KEPT)
        followers = np.sort(self.documents[self.is_follower])
        known = np.isin(documents, followers)
        states[known] = self.states[self.number_of(documents[known])]
        return states


def _nodes(layout: Layout, rows: pa.RecordBatch, told: pa.RecordBatch | None, number: int) -> _Nodes:
    followers, leaders = rows["follower"].to_numpy(), rows["leader"].to_numpy()
    keys = np.concatenate([rows["follower_shuffle_key"].to_numpy(), rows["leader_shuffle_key"].to_numpy()])
    documents, first = np.unique(np.concatenate([followers, leaders]), return_index=True)
    order = layout.ranks(documents, keys[first]).order()
    documents = documents[order]
    by_document = np.argsort(documents)
    is_follower = np.isin(documents, followers)
    states = np.where(~is_follower & (layout.partition(documents) == number), KEPT, UNKNOWN)
    nodes = _Nodes(documents, by_document, is_follower, states, states)
    if told is not None and told.num_rows:
        of_leaders = nodes.number_of(told["leader"].to_numpy())
        elsewhere = ~is_follower[of_leaders]
        states[of_leaders[elsewhere]] = told["state"].to_numpy()[elsewhere]
    pairs = np.unique(np.stack([nodes.number_of(followers), nodes.number_of(leaders)], axis=1), axis=0)
    return _Nodes(documents, by_document, is_follower, *settle(pairs[:, 0], pairs[:, 1], states))


def undecided(layout: Layout, turn: int) -> int:
    """How many documents a turn has left undecided."""
    return sum(read_notes(layout.work, f"undecided-{turn}", range(layout.partitions)))
