"""Objectives: the mean, and DoReMi's weights; its own numbers are held against a reference in tests/lab/mixing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import byline
from byline.errors import BylineError
from byline.lab.training.batches import Domains, make_batch
from byline.lab.training.checkpoints import save_model
from byline.lab.training.model import Transformer, size_named
from byline.lab.training.objectives import DoReMi, Standard, objective_of
from byline.lab.training.predicting import target_losses


def test_the_standard_is_the_mean_over_targets(shards: byline.Shards) -> None:
    batch = make_batch(shards, range(3), Domains(shards))
    losses = torch.arange(len(batch.targets)).float()
    assert Standard()(losses, batch, []).item() == pytest.approx((len(losses) - 1) / 2)


def test_the_standard_takes_the_weights_of_a_build(shards: byline.Shards, tmp_path: Path) -> None:
    batch = make_batch(shards, range(3), Domains(shards))
    losses = torch.arange(len(batch.targets)).float()
    weights = torch.tensor([0.5, 2.0, 0.0]).repeat(len(losses))[: len(losses)]
    weighed = replace(batch, weights=weights)
    expected = sum(float(loss * weight) for loss, weight in zip(losses, weights, strict=True)) / float(weights.sum())
    assert Standard()(losses, weighed, []).item() == pytest.approx(expected)
    assert Standard()(losses, replace(batch, weights=torch.zeros(len(losses))), []).item() == 0
    proxy = DoReMi(Transformer(size_named("0.1M"), 257, 1), tmp_path / "excess.csv")
    with pytest.raises(BylineError, match="doremi weighs domains itself"):
        proxy(losses, weighed, Domains(shards).names)


def test_doremi_weights_domains_by_their_excess(shards: byline.Shards, tmp_path: Path) -> None:
    reference = Transformer(size_named("0.1M"), 257, 1)
    domains = Domains(shards)
    batch = make_batch(shards, range(12), domains)
    known = target_losses(reference, batch).detach()
    # Two nats above the reference on `long`, one below on `short`: only the former counts.
    losses = known + torch.where(batch.domains == 0, 2.0, -1.0)
    proxy = DoReMi(reference, tmp_path / "excess.csv", eta=1.0, smoothing=0.0)
    loss = proxy(losses, batch, domains.names)
    e = 7.3890561
    assert proxy.alpha.tolist() == pytest.approx([e / (e + 2), 1 / (e + 2), 1 / (e + 2)], rel=1e-5)
    means = [losses[batch.domains == domain].mean().item() for domain in (0, 2)]
    assert loss.item() == pytest.approx(proxy.alpha[0] * means[0] + proxy.alpha[2] * means[1], rel=1e-5)
    proxy.finish()
    lines = [line.split(",") for line in (tmp_path / "excess.csv").read_text().splitlines()]
    assert lines[0] == ["step", "domain", "excess_loss"]
    assert [(step, name, round(float(value), 4)) for step, name, value in lines[1:]] == [
        ("1", "long", 2.0),
        ("1", "never", 0.0),
        ("1", "short", 0.0),
    ]


def test_doremi_goes_on_where_it_was_stopped(trained: Callable[..., Path], tmp_path: Path) -> None:
    save_model(Transformer(size_named("0.1M"), 257, 1), tmp_path / "reference.pt")
    values = {"kind": "doremi", "reference": str(tmp_path / "reference.pt"), "eta": 0.5, "smoothing": 0.01}

    def run(name: str, **more: object) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        return trained(name, more={"objective": objective_of(values, tmp_path / name), **more}, checkpoint_at=(11,))

    whole = run("whole")
    rest = run("rest", start=whole / "step-11.pt")
    for name in ("losses.csv", "metrics.csv", "excess.csv"):
        assert (whole / name).read_bytes() == (rest / name).read_bytes()


def test_an_unknown_objective_is_named(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match="expected doremi, found 'other'"):
        objective_of({"kind": "other"}, tmp_path)
