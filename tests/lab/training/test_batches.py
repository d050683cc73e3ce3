"""Batches: their targets are those of `byline.collate`, and nothing else is computed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import byline
from byline.lab.training.batches import Domains, StepRows, grouped, make_batch
from byline.lab.training.model import Transformer, size_named
from byline.lab.training.predicting import target_losses
from tests.support.shards import numbered_build


def test_rows_are_divided_evenly() -> None:
    ten = StepRows(10, Fraction(10, 4))
    assert [list(ten.of(step)) for step in range(4)] == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]
    assert list(StepRows(10, Fraction(4)).of(2)) == [8, 9]


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 500))
def test_every_row_is_read_once(rows: int, steps: int) -> None:
    division = StepRows(rows, Fraction(rows, steps))
    assert [row for step in range(steps) for row in division.of(step)] == list(range(rows))


def test_a_group_has_few_tokens_that_fill() -> None:
    assert grouped([]) == []
    assert grouped([9, 9, 9]) == [(3, 9)]
    assert grouped([40, 30, 24, 23]) == [(2, 40), (2, 24)]
    assert grouped([40, 24, 8]) == [(2, 40), (1, 8)]
    # A 32nd of a large group may fill it.
    assert grouped([64] * 30 + [60] * 15) == [(45, 64)]
    assert grouped([64] * 30 + [60] * 16 + [30]) == [(46, 64), (1, 30)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 80), max_size=60))
def test_groups_have_all_segments_in_order(lengths: list[int]) -> None:
    lengths.sort(reverse=True)
    groups = grouped(lengths)
    assert sum(count for count, _ in groups) == len(lengths)
    first = 0
    for count, longest in groups:
        within = lengths[first : first + count]
        assert within[0] == longest
        assert sum(longest - length for length in within) <= max(16, count * longest / 32)
        first += count


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_targets_are_those_of_the_labels(shards: byline.Shards, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(shards) - 1))
    rows = range(first, min(first + data.draw(st.integers(1, 12)), len(shards)))
    batch = make_batch(shards, rows, Domains(shards))
    labels, ids, domains, segments = [], [], [], []
    for number in rows:
        row = shards[number]
        start = 0
        for length, document in zip(row["seq_lengths"], row["doc_ids"], strict=True):
            for at in range(start + 1, start + length):
                if row["loss_mask"][at]:
                    labels.append(int(row["input_ids"][at]))
                    ids.append(int(row["input_ids"][at - 1]))
                    domains.append(shards.origin(document)[0])
                    segments.append((number, start))
            start += length
    assert batch.targets.tolist() == labels
    assert batch.input_ids[batch.at].tolist() == ids
    assert [("long", "never", "short")[domain] for domain in batch.domains] == domains
    numbers = {segment: index for index, segment in enumerate(dict.fromkeys(segments))}
    assert batch.segments.tolist() == [numbers[segment] for segment in segments]
    assert batch.positions == len(rows) * 48
    assert len(batch.input_ids) == sum(count * length for count, length in batch.groups)


def test_padding_and_what_follows_the_last_target_are_left_out(shards: byline.Shards) -> None:
    batch = make_batch(shards, range(len(shards)), Domains(shards))
    segments = len(torch.unique(batch.segments))
    read = shards.batch(range(len(shards)))
    padding = int(read["seq_lengths"][read["doc_ids"] < 0].sum())
    assert padding > 0
    needed = batch.positions - padding - segments
    assert needed <= len(batch.input_ids) <= 1.04 * needed


def test_targets_have_the_weights_of_a_build(tmp_path: Path) -> None:
    rows = numbered_build(tmp_path, {"only": [3]}, loss_weight="float16")
    shards = byline.open(tmp_path)
    batch = make_batch(shards, range(3), Domains(shards))
    # The first and the last position of each row are masked.
    assert batch.weights is not None
    assert batch.weights.tolist() == [weight for row in rows for weight in row.loss_weight[1:-1]]
    assert make_batch(shards, range(1), Domains(shards)).to("cpu").weights is not None


def test_a_build_without_weights_gives_none(shards: byline.Shards) -> None:
    assert make_batch(shards, range(1), Domains(shards)).weights is None


def test_rows_without_a_target_are_an_empty_batch(shards: byline.Shards) -> None:
    batch = make_batch(_Masked(shards), range(3), Domains(shards))
    assert (batch.groups, batch.input_ids.tolist(), batch.targets.tolist(), batch.positions) == ((), [], [], 144)


class _Masked:
    """The rows with all of them masked."""

    def __init__(self, shards: byline.Shards) -> None:
        self.shards = shards

    def batch(self, rows: range) -> dict[str, np.ndarray]:
        read = self.shards.batch(rows)
        return {**read, "loss_mask": np.zeros_like(read["loss_mask"])}


def test_masked_tokens_give_no_gradient(shards: byline.Shards) -> None:
    """The loss's gradient of the logits is that of trained positions alone."""
    model, domains = Transformer(size_named("0.1M"), 257, 0), Domains(shards)
    batch = make_batch(shards, range(4), domains)
    seen: list[torch.Tensor] = []

    def keep(hidden: torch.Tensor) -> None:
        seen.append(hidden)

    model.norm.register_forward_hook(lambda module, given, hidden: hidden.register_hook(keep) and None)
    target_losses(model, batch).sum().backward()
    with_gradient = torch.nonzero(seen[0].abs().sum(1)).reshape(-1)
    assert with_gradient.tolist() == sorted(batch.at.tolist())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_batch_goes_to_a_device(shards: byline.Shards, device: str) -> None:
    batch = make_batch(shards, range(2), Domains(shards))
    moved = batch.to(device)
    assert {value.device.type for value in vars(moved).values() if isinstance(value, torch.Tensor)} == {device}
    assert (moved.groups, moved.positions) == (batch.groups, batch.positions)
