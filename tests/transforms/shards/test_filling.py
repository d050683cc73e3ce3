"""What segments become in rows: ids, loss mask and counts, drawn out for a few documents.

Ids in these rows: 1 BOS, 2 EOS, 0 padding, 5x a prefix, 10x the first document, 20x the second.
"""

import numpy as np
import pytest

from byline.schemas.ledger import DrawCounts
from byline.transforms.packing import POLICIES, PackingPolicy, Segments
from byline.transforms.shards.filling import count_draws, fill_rows, lay_out
from byline.transforms.shards.gathering import Documents

BOS, EOS = 1, 2
FOUR = [POLICIES[name] for name in ("document_start", "concat", "repeat_prefix", "best_fit")]


def documents_of(
    sizes: list[tuple[int, int]],
    *,
    before: bool = True,
    sources: list[int] | None = None,
    masked: list[list[int]] | None = None,
) -> Documents:
    """Documents of (own tokens, prefix tokens); all prefixes are the first ids of 50, 51, ...

    `masked` has ranges of own tokens for each document: start, end, ...
    """
    own, prefix = (np.array(column, np.int64) for column in zip(*sizes, strict=True))
    zeros = np.zeros(len(sizes), np.int64)
    borders = masked or [[]] * len(sizes)
    counts = np.array([len(some) for some in borders], np.int64)
    return Documents(
        sources=["a", "b"],
        source=np.array(sources or zeros, np.int64),
        epoch=zeros,
        slice=zeros,
        doc_id=np.arange(len(sizes)),
        shuffle_key=zeros.astype(np.uint64),
        tokens=np.concatenate([100 * (n + 1) + np.arange(size) for n, size in enumerate(own)]).astype(np.int32),
        token_start=np.cumsum(own) - own,
        token_count=own,
        prefix_values=np.arange(50, 60, dtype=np.int32),
        prefix_start=zeros,
        prefix_count=prefix,
        masked_prefix=prefix if before else zeros,
        too_long=zeros.astype(bool),
        masked_ranges=np.array([border for some in borders for border in some], np.int32),
        masked_start=np.cumsum(counts) - counts,
        masked_count=counts,
        loss_weight=np.ones(len(sizes)),
    )


def parts_of(d: Documents) -> tuple[np.ndarray, ...]:
    return (
        d.token_start,
        d.token_count,
        d.prefix_start,
        d.prefix_count,
        d.masked_prefix,
        d.masked_start,
        d.masked_count,
    )


def packed(documents: Documents, policy: PackingPolicy, bos: int | None = BOS, eos: int | None = EOS) -> Segments:
    layout = lay_out(documents, bos, eos)
    return policy.pack(layout.framed_length, documents.masked_prefix, int(bos is not None), 8)


def filled(documents: Documents, policy: PackingPolicy, bos: int | None = BOS, eos: int | None = EOS) -> list[str]:
    """Rows of 8 as text: ids, then the loss mask."""
    segments = packed(documents, policy, bos, eos)
    # A row more, which must stay as it is.
    ids, mask = np.zeros((segments.rows + 1, 8), np.int32), np.zeros((segments.rows + 1, 8), np.uint8)
    d, s = documents, segments
    fill_rows(
        ids[:-1],
        mask[:-1],
        0,
        (s.row, s.document, s.start, s.take, s.head),
        d.tokens,
        d.prefix_values,
        d.masked_ranges,
        parts_of(d),
        -1 if bos is None else bos,
        -1 if eos is None else eos,
    )
    assert not ids[-1].any()
    assert not mask[-1].any()
    return [" ".join(map(str, values.tolist())) for pair in zip(ids[:-1], mask[:-1], strict=True) for values in pair]


def test_a_conditioned_document_masks_bos_and_prefix() -> None:
    assert filled(documents_of([(3, 2)]), POLICIES["document_start"]) == [
        "1 50 51 100 101 102 2 0",
        "0 0 0 1 1 1 1 0",
    ]


def test_a_document_without_a_prefix_trains_its_bos() -> None:
    assert filled(documents_of([(3, 0), (2, 1)]), POLICIES["concat"]) == [
        "1 100 101 102 2 1 50 200",
        "1 1 1 1 1 0 0 1",
        "201 2 0 0 0 0 0 0",
        "1 1 0 0 0 0 0 0",
    ]


def test_a_prefix_behind_the_document_is_trained() -> None:
    assert filled(documents_of([(3, 2)], before=False), POLICIES["concat"]) == [
        "1 100 101 102 50 51 2 0",
        "1 1 1 1 1 1 1 0",
    ]


def test_document_start_leaves_the_rest_of_a_cut_document_out() -> None:
    assert filled(documents_of([(4, 2), (9, 2)]), POLICIES["document_start"]) == [
        "1 50 51 100 101 102 103 2",
        "0 0 0 1 1 1 1 1",
        "1 50 51 200 201 202 203 204",
        "0 0 0 1 1 1 1 1",
    ]


def test_a_document_cut_before_its_eos_writes_none() -> None:
    assert filled(documents_of([(7, 0)]), POLICIES["document_start"]) == [
        "1 100 101 102 103 104 105 106",
        "1 1 1 1 1 1 1 1",
    ]


def test_a_repeated_prefix_is_masked_and_has_no_bos() -> None:
    assert filled(documents_of([(7, 2)]), POLICIES["repeat_prefix"]) == [
        "1 50 51 100 101 102 103 104",
        "0 0 0 1 1 1 1 1",
        "50 51 105 106 2 0 0 0",
        "0 0 1 1 1 0 0 0",
    ]


def test_a_framed_without_bos_and_eos() -> None:
    assert filled(documents_of([(3, 2), (2, 0)]), POLICIES["concat"], None, None) == [
        "50 51 100 101 102 200 201 0",
        "0 0 1 1 1 1 1 0",
    ]


def test_pieces_of_best_fit() -> None:
    assert filled(documents_of([(8, 1), (4, 0)]), POLICIES["best_fit"]) == [
        "1 50 100 101 102 103 104 105",
        "0 0 1 1 1 1 1 1",
        "106 107 2 0 0 0 0 0",
        "1 1 1 0 0 0 0 0",
        "1 200 201 202 203 2 0 0",
        "1 1 1 1 1 1 0 0",
    ]


def test_masked_ranges_are_of_the_documents_own_tokens() -> None:
    assert filled(documents_of([(4, 2), (3, 0)], masked=[[0, 1, 3, 4], [0, 2]]), POLICIES["concat"]) == [
        "1 50 51 100 101 102 103 2",
        "0 0 0 0 1 1 0 1",
        "1 200 201 202 2 0 0 0",
        "1 0 0 1 1 0 0 0",
    ]


def test_a_masked_range_may_go_over_several_rows() -> None:
    assert filled(documents_of([(17, 1)], masked=[[5, 16]]), POLICIES["repeat_prefix"]) == [
        "1 50 100 101 102 103 104 105",
        "0 0 1 1 1 1 1 0",
        "50 106 107 108 109 110 111 112",
        "0 0 0 0 0 0 0 0",
        "50 113 114 115 116 2 0 0",
        "0 0 0 0 1 1 0 0",
    ]


def test_a_prefix_behind_a_masked_document_is_trained() -> None:
    assert filled(documents_of([(3, 2)], before=False, masked=[[0, 3]]), POLICIES["concat"]) == [
        "1 100 101 102 50 51 2 0",
        "1 0 0 0 1 1 1 0",
    ]


def test_a_row_in_the_middle_is_filled_alone() -> None:
    documents = documents_of([(7, 0), (7, 0), (7, 0)], masked=[[1, 2], [], [0, 3]])
    whole = filled(documents, POLICIES["concat"])
    s = packed(documents, POLICIES["concat"])
    chosen = s.row == 1
    ids, mask = np.zeros((1, 8), np.uint16), np.zeros((1, 8), np.uint8)
    d = documents
    columns = tuple(column[chosen] for column in (s.row, s.document, s.start, s.take, s.head))
    tokens, prefixes = d.tokens.astype(np.uint16), d.prefix_values.astype(np.uint16)
    fill_rows(ids, mask, 1, columns, tokens, prefixes, d.masked_ranges, parts_of(d), BOS, EOS)
    assert [" ".join(map(str, ids[0])), " ".join(map(str, mask[0]))] == whole[2:4]


def test_the_layout_of_a_framed_length() -> None:
    for before, lead in ((True, 3), (False, 1)):
        layout = lay_out(documents_of([(4, 2)], before=before), BOS, EOS)
        assert (layout.lead.tolist(), layout.own_end.tolist(), layout.framed_length.tolist()) == (
            [lead],
            [lead + 4],
            [8],
        )
    layout = lay_out(documents_of([(4, 2)]), None, None)
    assert (layout.lead.tolist(), layout.own_end.tolist(), layout.framed_length.tolist()) == ([2], [6], [6])


def counts_of(documents: Documents, policy: PackingPolicy) -> dict[str, DrawCounts]:
    return count_draws(documents, lay_out(documents, BOS, EOS), packed(documents, policy), True, policy)


@pytest.mark.parametrize("policy", FOUR)
def test_counts_by_source(policy: PackingPolicy) -> None:
    # Streams of 8 (a), 10 (b) and 6 (a) in rows of 8: only that of b does not fit into a row.
    counts = counts_of(documents_of([(4, 2), (7, 1), (4, 0)], sources=[0, 1, 0]), policy)
    special = {"a": 4, "b": 2}
    prefix = {"a": 2, "b": 1 + (policy is POLICIES["repeat_prefix"])}
    cut = {"a": 0, "b": 2} if policy is POLICIES["document_start"] else {"a": 0, "b": 0}
    tokens, masked = {"a": 8, "b": 7}, {"a": 3, "b": 1 + prefix["b"]}
    for source in "ab":
        positions = tokens[source] + prefix[source] + special[source] - cut[source]
        assert counts[source] == DrawCounts(
            documents=2 if source == "a" else 1,
            tokens=tokens[source],
            prefix_tokens=prefix[source],
            special_tokens=special[source],
            positions=positions,
            loss_tokens=positions - masked[source],
            discarded={"cut": cut[source]} if cut[source] else {},
            conditioned=1,
            prefix_too_long=0,
        )


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("policy", FOUR)
def test_loss_tokens_are_the_ones_of_the_masks(policy: PackingPolicy, before: bool) -> None:
    masked = [[2, 9, 11, 30], [], [0, 5], [3, 4, 6, 7]]
    sizes = [(33, 2), (7, 1), (5, 0), (9, 4)]
    documents = documents_of(sizes, before=before, sources=[0, 1, 0, 1], masked=masked)
    masks = filled(documents, policy)[1::2]
    counts = counts_of(documents, policy)
    assert counts["a"].loss_tokens + counts["b"].loss_tokens == sum(map(int, " ".join(masks).split()))
    trained = counts_of(documents_of(sizes, before=before, sources=[0, 1, 0, 1]), policy)
    # `document_start` keeps the first row of the first document, and of the last its BOS.
    due = {"a": 8 if before else 10, "b": 0} if policy is POLICIES["document_start"] else {"a": 31, "b": 2}
    assert {name: trained[name].loss_tokens - counts[name].loss_tokens for name in "ab"} == due


def test_a_source_without_documents_counts_nothing() -> None:
    assert counts_of(documents_of([(3, 0)]), POLICIES["concat"])["b"] == DrawCounts()
