"""Packing against the examples of docs/formats.md and against the reference, segment by segment."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.packing import POLICIES, PackingPolicy, Segments
from tests.reference import layout, packing
from tests.support.thorough import examples

BOS, EOS = 10_000, 10_001


@dataclass(frozen=True)
class Streams:
    """Documents to pack: (own tokens, prefix tokens) each, and where there are several, their slices."""

    length: int
    sizes: list[tuple[int, int]]
    has_bos: bool
    has_eos: bool
    before: bool = True
    slices: list[int] | None = None

    def reference(self) -> list[list[layout.Token]]:
        """Streams in which every token is known by its id: prefixes count from 1000, documents from 0."""
        where = "before" if self.before else "after"
        bos, eos = BOS if self.has_bos else None, EOS if self.has_eos else None
        return [
            layout.frame(list(range(own)), list(range(1000, 1000 + prefix)), where, bos, eos)
            for own, prefix in self.sizes
        ]

    def pack(self, policy: PackingPolicy) -> Segments:
        framed = np.array([len(framed_document) for framed_document in self.reference()], np.int64)
        prefixes = np.array([prefix * self.before for _, prefix in self.sizes], np.int64)
        slices = None if self.slices is None else np.array(self.slices, np.int64)
        return policy.pack(framed, prefixes, int(self.has_bos), self.length, slices)


def parts_of(segments: Segments, framed: Streams) -> list[list[tuple[int, list[int]]]]:
    """Rows of (document, ids), as the segments say."""
    rows: list[list[tuple[int, list[int]]]] = [[] for _ in range(segments.rows)]
    whole = [[token.id for token in framed_document] for framed_document in framed.reference()]
    columns = (segments.row, segments.document, segments.start, segments.take, segments.head)
    for row, document, start, take, head in zip(*(column.tolist() for column in columns), strict=True):
        rows[row].append((document, list(range(1000, 1000 + head)) + whole[document][start : start + take]))
    return rows


def expected_parts(policy: PackingPolicy, framed: Streams) -> list[list[tuple[int, list[int]]]]:
    packed = packing.pack(policy.name, framed.reference(), framed.length, framed.slices)
    return [[(part.document, [token.id for token in part.tokens]) for part in row] for row in packed.rows]


@st.composite
def all_framed(draw: st.DrawFn, longest: int = 64) -> Streams:
    length = draw(st.integers(8, longest))
    sizes = st.tuples(st.integers(1, 5 * length), st.integers(0, length // 2))
    # Many equal lengths, so that best fit has ties to break.
    equal = st.tuples(st.sampled_from([1, length // 3, length // 2, length - 1, length, 2 * length]), st.just(0))
    drawn_sizes = draw(st.lists(sizes | equal, max_size=20))
    slices = draw(st.none() | st.lists(st.integers(0, 9), min_size=len(drawn_sizes), max_size=len(drawn_sizes)))
    flags = [draw(st.booleans()) for _ in range(3)]
    return Streams(length, drawn_sizes, *flags, slices=None if slices is None else sorted(slices))


@examples(300)
@given(all_framed(), st.sampled_from(list(POLICIES.values())))
def test_segments_are_those_of_the_reference(framed: Streams, policy: PackingPolicy) -> None:
    segments = framed.pack(policy)
    assert parts_of(segments, framed) == expected_parts(policy, framed)
    assert (np.diff(segments.row) >= 0).all()


@examples(100)
@given(st.integers(60, 300), st.lists(st.integers(1, 400), max_size=60), st.integers(1, 60))
def test_best_fit_in_rows_longer_than_a_word_of_the_bit_set(length: int, sizes: list[int], every: int) -> None:
    slices = [number // every for number in range(len(sizes))]
    framed = Streams(length, [(size, 0) for size in sizes], has_bos=False, has_eos=False, slices=slices)
    assert parts_of(framed.pack(POLICIES["best_fit"]), framed) == expected_parts(POLICIES["best_fit"], framed)


@given(all_framed(), st.sampled_from(list(POLICIES.values())))
def test_segments_and_padding_fill_every_row(framed: Streams, policy: PackingPolicy) -> None:
    segments = framed.pack(policy)
    padding = segments.padding(framed.length)
    assert len(padding) == segments.rows
    assert (padding >= 0).all()
    assert (padding < framed.length).all()
    assert segments.lengths.sum() + padding.sum() == segments.rows * framed.length
    assert (segments.take > 0).all()


def drawn(policy: PackingPolicy, sizes: list[tuple[int, int]], slices: list[int] | None = None) -> list[str]:
    """Rows of L = 8 as letters, prefixes as p, padding as dots."""
    framed = Streams(8, sizes, has_bos=False, has_eos=False, slices=slices)
    rows = parts_of(framed.pack(policy), framed)
    texts = ["".join("p" if token >= 1000 else "abcde"[n] for n, ids in row for token in ids) for row in rows]
    return [text.ljust(8, ".") for text in texts]


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        (POLICIES["document_start"], ["aaaaabbb", "cc......"]),
        (POLICIES["concat"], ["aaaaabbb", "bbbcc..."]),
        (POLICIES["repeat_prefix"], ["aaaaabbb", "bbbcc..."]),
        (POLICIES["best_fit"], ["aaaaa...", "bbbbbbcc"]),
    ],
)
def test_three_documents(policy: PackingPolicy, rows: list[str]) -> None:
    assert drawn(policy, [(5, 0), (6, 0), (2, 0)]) == rows


def test_repeat_prefix_gives_a_cut_prefix_once_in_part_and_once_whole() -> None:
    assert drawn(POLICIES["repeat_prefix"], [(5, 0), (4, 2), (2, 0)]) == ["aaaaappb", "ppbbbcc."]
    assert drawn(POLICIES["repeat_prefix"], [(7, 0), (4, 2)]) == ["aaaaaaap", "ppbbbb.."]


def test_best_fit_takes_the_row_last_added_to() -> None:
    # a and b leave 3 each; b's row was last added to.
    assert drawn(POLICIES["best_fit"], [(5, 0), (5, 0), (3, 0)]) == ["aaaaa...", "bbbbbccc"]


def test_best_fit_packs_slice_by_slice() -> None:
    sizes = [(5, 0), (6, 0), (2, 0), (3, 0)]
    assert drawn(POLICIES["best_fit"], sizes, [0, 0, 0, 0]) == ["aaaaaddd", "bbbbbbcc"]
    assert drawn(POLICIES["best_fit"], sizes, [3, 3, 3, 7]) == ["aaaaa...", "bbbbbbcc", "ddd....."]
    assert drawn(POLICIES["best_fit"], sizes, [0, 1, 2, 2]) == ["aaaaa...", "bbbbbb..", "ccddd..."]
    assert drawn(POLICIES["concat"], sizes, [0, 1, 2, 2]) == ["aaaaabbb", "bbbccddd"]


def test_documents_of_an_earlier_slice_must_come_first() -> None:
    with pytest.raises(AssertionError, match="slice after slice"):
        Streams(8, [(5, 0), (6, 0)], has_bos=False, has_eos=False, slices=[1, 0]).pack(POLICIES["best_fit"])


@pytest.mark.parametrize("policy", list(POLICIES.values()))
def test_no_documents_make_no_rows(policy: PackingPolicy) -> None:
    segments = Streams(8, [], has_bos=True, has_eos=True).pack(policy)
    assert (segments.rows, len(segments.row), len(segments.padding(8))) == (0, 0, 0)


@pytest.mark.parametrize("policy", list(POLICIES.values()))
def test_a_document_that_fills_a_row_exactly_opens_no_other(policy: PackingPolicy) -> None:
    segments = Streams(8, [(6, 0), (6, 0)], has_bos=True, has_eos=True).pack(policy)
    assert segments.rows == 2
    assert segments.padding(8).tolist() == [0, 0]
