"""Loss weights in PyTorch: every form through a `DataLoader`, and the weighted mean of docs/trainers.md."""

import re

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import byline
from byline.adapters.torch import ShardDataset, collate, whole
from byline.forms import FORMS
from tests.trainers.conftest import BUILDS, ROOT


@pytest.fixture
def weighed() -> byline.Shards:
    """The end of both phases of a build with weights."""
    return byline.open(BUILDS / "weighed")[-64:]


@pytest.mark.parametrize("form", [name for name in FORMS if name != "trl"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_form_through_workers(weighed, form, workers):
    batches = list(DataLoader(ShardDataset(weighed, form), batch_size=8, collate_fn=whole, num_workers=workers))
    report = byline.audit(batches, weighed, form)
    assert report.is_equal
    assert report.trained_weight != report.trained


def test_the_weighted_mean_of_the_page(weighed):
    """Against a loop over all positions."""
    rows = weighed.batch(range(8))
    vocabulary = int(rows["input_ids"].max()) + 1
    logits = torch.randn((*rows["input_ids"].shape, vocabulary), generator=torch.Generator().manual_seed(0))
    _, _, section = (ROOT / "docs/trainers.md").read_text().partition("### Loss weights")
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = {"rows": rows, "collate": collate, "cross_entropy": cross_entropy, "logits": logits}
    exec(code, names)
    losses, weights = 0.0, 0.0
    first_of = {int(start) for start in (rows["seq_lengths"].cumsum() - rows["seq_lengths"])}
    length = rows["input_ids"].shape[1]
    surprises = -logits.log_softmax(-1)
    for row in range(8):
        for position in range(1, length):
            if row * length + position in first_of:
                continue
            weight = float(rows["loss_weight"][row, position])
            losses += weight * float(surprises[row, position - 1, rows["input_ids"][row, position]])
            weights += weight
    assert float(names["loss"]) == pytest.approx(losses / weights, rel=1e-5)
