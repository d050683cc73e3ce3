"""DoReMi: the proxy's log gives the weights that it was trained with, by the slow reference and by the command."""

from pathlib import Path

import pytest
import torch

import byline
from byline.lab.mixing.finding import find_mixture
from byline.lab.training.batches import Domains, StepRows, make_batch
from byline.lab.training.checkpoints import load_model
from byline.lab.training.model import Transformer, size_named
from byline.lab.training.objectives import DoReMi
from byline.lab.training.predicting import target_losses
from tests.lab.mixing.conftest import table, told_again
from tests.reference import doremi as reference

ETA, SMOOTHING = 0.5, 0.01


def excess(folder: Path) -> list[list[float]]:
    rows = table(folder / "excess.csv")
    assert [row["domain"] for row in rows] == ["plain", "reverse"] * (len(rows) // 2)
    assert [int(row["step"]) for row in rows] == [step for step in range(1, len(rows) // 2 + 1) for _ in "ab"]
    values = [float(row["excess_loss"]) for row in rows]
    return [values[first : first + 2] for first in range(0, len(values), 2)]


def test_the_mixture_is_the_mean_of_the_proxys_weights(make_ground, trained) -> None:
    ground = make_ground(method="doremi", tokens="6K", steps=12, eta=ETA, smoothing=SMOOTHING)
    mixture = find_mixture(ground)
    logged = excess(ground.folder / "proxy")
    assert len(logged) == 12
    expected = reference.final_weights(logged, ETA, SMOOTHING)
    assert list(mixture["weights"].values()) == pytest.approx(expected, abs=1e-6)
    assert told_again(ground) == (ground.folder / "mixture.yaml").read_text()

    assert [Path(folder).name for folder in trained] == ["reference", "proxy"]
    assert find_mixture(ground) == mixture
    assert len(trained) == 2

    even = byline.read_manifest(ground.builds.out / "builds/arm.proxy").ledger["phases"]["main"]["sources"]
    tokens = [even[name]["tokens"] for name in ("plain", "reverse")]
    assert tokens[0] / sum(tokens) == pytest.approx(0.5, abs=0.03)

    # The first excess is of a model that has not learnt anything: by hand, domain by domain.
    shards = byline.open(ground.builds.out / "builds/arm.proxy")
    domains = Domains(shards)
    batch = make_batch(shards, StepRows(len(shards), len(shards) / 12).of(0), domains)
    losses = [
        target_losses(model, batch).tolist()
        for model in (
            Transformer(size_named("0.1M"), 257, 0),
            load_model(ground.folder / "reference/model.pt").eval(),
        )
    ]
    of_domain = [[], []]
    for own, known, domain in zip(*losses, batch.domains.tolist(), strict=True):
        of_domain[domain].append(max(own - known, 0.0))
    assert logged[0] == pytest.approx([sum(values) / len(values) for values in of_domain], rel=1e-4)

    # What is minimised is the domains' means by the weights after the update.
    proxy = DoReMi(load_model(ground.folder / "reference/model.pt"), ground.folder / "again.csv", ETA, SMOOTHING)
    loss = proxy(torch.tensor(losses[0]), batch, domains.names)
    means = [
        sum(loss for loss, domain in zip(losses[0], batch.domains.tolist(), strict=True) if domain == number)
        / batch.domains.tolist().count(number)
        for number in range(2)
    ]
    assert loss.item() == pytest.approx(sum(a * mean for a, mean in zip(proxy.alpha, means, strict=True)), rel=1e-5)
