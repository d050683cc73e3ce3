"""The four packing policies on lists of framed documents, as drawn in docs/formats.md.

```
L = 8, a of 5 tokens, b of 6 (p p its prefix), c of 2

document_start   a a a a a p p 1 | c c . . . . . .     discarded: 2 3 4
concat           a a a a a p p 1 | 2 3 4 c c . . .
repeat_prefix    a a a a a p p 1 | p p 2 3 4 c c .
best_fit         a a a a a c c . | p p 1 2 3 4 . .
with c in the    a a a a a . . . | p p 1 2 3 4 . . | c c . . . . . .
next slice
```

A row is first built of `Segment`s; `row_of` turns it into a shard's columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.reference.layout import Token

Row = dict[str, list[Any]]


@dataclass(frozen=True)
class Segment:
    """One document's part of one row.

    Attributes:
        document: number of the framed document in the shard's order.
        offset: number of the document's own tokens before this part.
        tokens: the part.
    """

    document: int
    offset: int
    tokens: list[Token]


@dataclass
class Packed:
    """Rows of segments, and the tokens that are in no row, each with the number of its framed document."""

    length: int
    rows: list[list[Segment]] = field(default_factory=list)
    discarded: list[tuple[int, Token]] = field(default_factory=list)

    @property
    def padding(self) -> int:
        return sum(self.length - _filled(row) for row in self.rows)

    def discarded_by_kind(self) -> dict[str, int]:
        return count_kinds(token for _, token in self.discarded)

    def positions_by_kind(self) -> dict[str, int]:
        return count_kinds(token for row in self.rows for segment in row for token in segment.tokens)


def pack(policy: str, framed: list[list[Token]], length: int, slices: Sequence[int] | None = None) -> Packed:
    """Packs framed documents, given in the shard's order, into rows of `length` positions.

    Args:
        slices: the slice of each framed document, ascending; None if all are in one. Only `best_fit` uses it.
    """
    if policy == "best_fit":
        return best_fit(framed, length, slices)
    policies: dict[str, Any] = {"document_start": document_start, "concat": concat, "repeat_prefix": repeat_prefix}
    return policies[policy](framed, length)


def pack_rows(
    policy: str, framed: list[list[Token]], doc_ids: list[int], length: int, pad_id: int
) -> tuple[list[Row], dict[str, int]]:
    """Rows as a shard's columns, and the number of discarded tokens of each kind."""
    packed = pack(policy, framed, length)
    return [row_of(row, doc_ids, length, pad_id) for row in packed.rows], packed.discarded_by_kind()


def row_of(segments: list[Segment], doc_ids: list[int], length: int, pad_id: int, is_weighed: bool = False) -> Row:
    """One row in the form of a shard's columns; `is_weighed`: shards have the weights of the tokens."""
    padding = length - _filled(segments)
    row: Row = {
        "input_ids": [token.id for segment in segments for token in segment.tokens] + [pad_id] * padding,
        "loss_mask": [token.loss for segment in segments for token in segment.tokens] + [0] * padding,
        "seq_lengths": [len(segment.tokens) for segment in segments],
        "doc_ids": [doc_ids[segment.document] for segment in segments],
        "doc_offsets": [segment.offset for segment in segments],
    }
    if is_weighed:
        weights = [token.weight if token.loss else 0.0 for segment in segments for token in segment.tokens]
        row["loss_weight"] = weights + [0.0] * padding
    if padding:
        row["seq_lengths"].append(padding)
        row["doc_ids"].append(-1)
        row["doc_offsets"].append(0)
    return row


def document_start(framed: list[list[Token]], length: int) -> Packed:
    packed = Packed(length)
    for document, framed_document in enumerate(framed):
        space = _space_in_last(packed)
        _add(packed, Segment(document, 0, framed_document[:space]))
        packed.discarded += [(document, token) for token in framed_document[space:]]
    return packed


def concat(framed: list[list[Token]], length: int) -> Packed:
    return _continued(framed, length, repeated=False)


def repeat_prefix(framed: list[list[Token]], length: int) -> Packed:
    return _continued(framed, length, repeated=True)


def _continued(framed: list[list[Token]], length: int, repeated: bool) -> Packed:
    packed = Packed(length)
    for document, framed_document in enumerate(framed):
        # A prefix is masked if its `position` is `before`.
        prefix = [token for token in framed_document if token.kind == "prefix" and token.loss == 0] if repeated else []
        assert len(prefix) < length, (prefix, length)
        rest, offset = framed_document, 0
        while rest:
            space = _space_in_last(packed)
            part, rest = rest[:space], rest[space:]
            _add(packed, Segment(document, offset, part))
            offset += _own(part)
            if rest and prefix:
                rest = prefix + [token for token in rest if token.kind != "prefix"]
    return packed


def best_fit(framed: list[list[Token]], length: int, slices: Sequence[int] | None = None) -> Packed:
    """Best-fit decreasing (arXiv 2404.10830), each slice into its own rows."""
    packed = Packed(length)
    slice_of = [0] * len(framed) if slices is None else list(slices)
    assert slice_of == sorted(slice_of), slice_of
    for number in sorted(set(slice_of)):
        in_slice = [
            (document, framed_document)
            for document, framed_document in enumerate(framed)
            if slice_of[document] == number
        ]
        packed.rows += _best_fit_rows(in_slice, length)
    return packed


def _best_fit_rows(framed: list[tuple[int, list[Token]]], length: int) -> list[list[Segment]]:
    """Rows of one slice's framed documents, each with its number; tries every row for every piece."""
    rows: list[list[Segment]] = []
    added_at: list[int] = []
    pieces = [piece for document, framed_document in framed for piece in _pieces(document, framed_document, length)]
    # Python's sort is stable: pieces of equal length stay in document order, then in order within the document.
    for time, piece in enumerate(sorted(pieces, key=lambda piece: -len(piece.tokens))):
        best = None
        for number, row in enumerate(rows):
            space = length - _filled(row)
            if space >= len(piece.tokens) and (best is None or (space, -added_at[number]) < best[:2]):
                best = (space, -added_at[number], number)
        if best is None:
            rows.append([piece])
            added_at.append(time)
        else:
            rows[best[2]].append(piece)
            added_at[best[2]] = time
    rows = [sorted(row, key=_in_documents) for row in rows]
    return sorted(rows, key=lambda row: _in_documents(row[0]))


def _pieces(document: int, framed_document: list[Token], length: int) -> list[Segment]:
    starts = range(0, len(framed_document), length)
    return [
        Segment(document, _own(framed_document[:start]), framed_document[start : start + length]) for start in starts
    ]


def _in_documents(segment: Segment) -> tuple[int, int]:
    # Two parts of a document with equal offsets (one has no own tokens) keep their order, as sorting is stable.
    return segment.document, segment.offset


def _space_in_last(packed: Packed) -> int:
    """Positions left in the last row, or a whole row's if that one is full or there is none."""
    space = packed.length - _filled(packed.rows[-1]) if packed.rows else 0
    return space or packed.length


def _add(packed: Packed, segment: Segment) -> None:
    if not packed.rows or _filled(packed.rows[-1]) == packed.length:
        packed.rows.append([])
    packed.rows[-1].append(segment)


def _filled(row: list[Segment]) -> int:
    return sum(len(segment.tokens) for segment in row)


def _own(tokens: list[Token]) -> int:
    return sum(token.kind == "doc" for token in tokens)


def count_kinds(tokens: Any) -> dict[str, int]:
    """Number of tokens of each kind; a kind with none has no key."""
    counts: dict[str, int] = {}
    for token in tokens:
        counts[token.kind] = counts.get(token.kind, 0) + 1
    return counts
