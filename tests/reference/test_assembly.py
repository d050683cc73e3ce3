"""Shards of the reference against literal rows and counts, worked out by hand, and against their invariants."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.reference import assembly, hashing, layout
from tests.reference.byte_tokens import BOS, EOS, PAD, byte_tokenizer, ids

POLICIES = ("document_start", "concat", "repeat_prefix", "best_fit")


@pytest.fixture(scope="module")
def text_only() -> Tokenizer:
    return layout.as_text_only(byte_tokenizer())


def test_draw_takes_closed_ranges_of_one_source_and_asks_every_predicate() -> None:
    def document_of(source: str, shuffle_key: int) -> assembly.Document:
        return assembly.Document(source, shuffle_key, shuffle_key + (100 if source == "b" else 0), [1])

    def even(document: assembly.Document) -> bool:
        return document.shuffle_key % 2 == 0

    everything = [document_of(source, shuffle_key) for source in "ab" for shuffle_key in range(6)]
    rows = [(7, "a", 0, 1, 4, (even,)), (3, "b", 0, 5, 9, ()), (3, "b", 1, 0, 0, (even, even))]
    uses = assembly.draw(everything, rows)
    assert [(use.slice, use.source, use.shuffle_key, use.epoch) for use in uses] == [
        (7, "a", 2, 0), (7, "a", 4, 0), (3, "b", 5, 0), (3, "b", 0, 1),
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="overlap"):
        assembly.draw(everything, [(0, "a", 0, 0, 3, ()), (1, "a", 0, 3, 5, ())])


def test_assemble_shard(text_only: Tokenizer) -> None:
    assert hashing.order(1, 0, 0) < hashing.order(0, 0, 0) < hashing.order(2, 0, 0)
    uses = [
        assembly.Document("a", 2, 10, ids("last"), {"h": "x"}),
        assembly.Document("a", 0, 11, ids("mid"), {"h": "much too long"}),
        assembly.Document("b", 1, 12, ids("first"), {"h": "y"}),
    ]
    shard = assembly.assemble_shard(
        uses, seed=0, length=20, policy="document_start", condition=layout.Condition("{h}:"), tokenizer=text_only,
        bos_id=BOS, eos_id=EOS, pad_id=PAD,
    )  # fmt: skip
    assert shard.rows == [
        {
            "input_ids": [BOS, *ids("y:first"), EOS, BOS, *ids("unknown:mi")],
            "loss_mask": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
            "seq_lengths": [9, 11],
            "doc_ids": [12, 11],
            "doc_offsets": [0, 0],
        },
        {
            "input_ids": [BOS, *ids("x:last"), EOS] + [PAD] * 12,
            "loss_mask": [0, 0, 0, 1, 1, 1, 1, 1] + [0] * 12,
            "seq_lengths": [8, 12],
            "doc_ids": [10, -1],
            "doc_offsets": [0, 0],
        },
    ]
    assert shard.padding == 12
    assert shard.counts["a"] == {
        "documents": 2, "tokens": 7, "prefix_tokens": 10, "special_tokens": 4, "positions": 19, "loss_tokens": 7,
        "discarded": 2, "conditioned": 2, "prefix_too_long": 1,
    }  # fmt: skip
    assert shard.counts["b"]["positions"] == 9


def test_assemble_shard_slice_by_slice(text_only: Tokenizer) -> None:
    assert hashing.order(1, 0, 0) < hashing.order(0, 0, 0) < hashing.order(2, 0, 0)
    uses = [
        assembly.Document("a", shuffle_key, shuffle_key, ids("xyz"), slice=number)
        for shuffle_key, number in ((0, 1), (1, 1), (2, 0))
    ]

    def doc_ids(policy: str) -> list[list[int]]:
        shard = assembly.assemble_shard(
            uses, seed=0, length=8, policy=policy, condition=None, tokenizer=text_only,
            bos_id=None, eos_id=None, pad_id=PAD,
        )  # fmt: skip
        return [row["doc_ids"] for row in shard.rows]

    assert doc_ids("concat") == [[2, 1, 0], [0, -1]]
    assert doc_ids("best_fit") == [[2, -1], [1, 0, -1]]


def test_assemble_shard_with_loss_spans_and_empty_prefixes(text_only: Tokenizer) -> None:
    condition = layout.Condition("{h}", begin=400, end=401, empty=Fraction(1, 2), dropout=Fraction(1, 4))
    orders = {shuffle_key: hashing.order(shuffle_key, 0, 0) for shuffle_key in range(40)}
    dropped = {shuffle_key for shuffle_key, order in orders.items() if hashing.dropped_out(order, condition.dropout)}
    empty = {
        shuffle_key for shuffle_key, order in orders.items() if hashing.left_empty(order, condition.empty)
    } - dropped
    for shuffle_key in (min(dropped), min(empty), min(set(orders) - dropped - empty)):
        document = assembly.Document("a", shuffle_key, 0, ids("xyz"), {"h": "h"}, masked=[(1, 2)])
        shard = assembly.assemble_shard(
            [document], seed=0, length=12, policy="concat", condition=condition, tokenizer=text_only,
            bos_id=BOS, eos_id=EOS, pad_id=PAD,
        )  # fmt: skip
        prefix = [] if shuffle_key in dropped else [400, 401] if shuffle_key in empty else [400, *ids("h"), 401]
        tokens = [BOS, *prefix, *ids("xyz"), EOS]
        losses = [0 if prefix else 1, *[0] * len(prefix), 1, 0, 1, 1]
        assert shard.rows[0]["input_ids"] == tokens + [PAD] * (12 - len(tokens))
        assert shard.rows[0]["loss_mask"] == losses + [0] * (12 - len(tokens))
        assert shard.counts["a"]["loss_tokens"] == sum(losses)
        assert shard.counts["a"]["conditioned"] == bool(prefix)


@pytest.mark.parametrize(
    ("epoch", "seed", "doc_ids"), [(0, 0, [1, 0, 3, 2]), (1, 0, [0, 3, 2, 1]), (0, 1, [1, 2, 3, 0])]
)
def test_a_shard_is_in_the_order_of_its_seed_and_its_epochs(
    text_only: Tokenizer, epoch: int, seed: int, doc_ids: list[int]
) -> None:
    uses = [assembly.Document("a", shuffle_key, shuffle_key, [65], epoch=epoch) for shuffle_key in range(4)]
    shard = assembly.assemble_shard(
        uses, seed=seed, length=8, policy="concat", condition=None, tokenizer=text_only,
        bos_id=None, eos_id=EOS, pad_id=PAD,
    )  # fmt: skip
    assert [row["doc_ids"] for row in shard.rows] == [doc_ids]


@given(st.integers(0, 3), st.sampled_from(POLICIES), st.sampled_from(["before", "after"]), st.permutations(range(12)))
def test_a_shard_does_not_depend_on_the_order_that_its_documents_are_given_in(
    text_only: Tokenizer, seed: int, policy: str, where: str, permutation: list[int]
) -> None:
    condition = layout.Condition("{h} ", where, Fraction(1, 3))
    uses = [
        assembly.Document("ab"[at % 2], at * 2**60, at, [65 + at] * (3 * at + 1), {"h": "h" * at}, epoch=at % 3)
        for at in range(12)
    ]

    def made(given_uses: list[assembly.Document]) -> assembly.Shard:
        return assembly.assemble_shard(
            given_uses, seed=seed, length=18, policy=policy, condition=condition, tokenizer=text_only,
            bos_id=BOS, eos_id=EOS, pad_id=PAD,
        )  # fmt: skip

    shard = made(uses)
    assert shard == made([uses[at] for at in permutation])
    counts = list(shard.counts.values())
    assert sum(count["positions"] for count in counts) + shard.padding == 18 * len(shard.rows)
    assert sum(sum(row["loss_mask"]) for row in shard.rows) == sum(count["loss_tokens"] for count in counts)
    for count in counts:
        all_tokens = count["tokens"] + count["prefix_tokens"] + count["special_tokens"]
        assert all_tokens == count["positions"] + count["discarded"]
    orders = [hashing.order(use.shuffle_key, use.epoch, seed) for use in uses]
    conditioned = sum(not hashing.dropped_out(order, Fraction(1, 3)) for order in orders)
    assert sum(count["conditioned"] for count in counts) == conditioned
