"""Evaluations against slow ones: token by token, and greedy decoding for `exact`."""

from pathlib import Path

import numpy as np
import pytest
import torch

import byline
from byline.errors import BylineError
from byline.lab.training.checkpoints import load_model
from byline.lab.training.evaluating import EvaluationRows, evaluate
from byline.lab.training.loop import train
from byline.lab.training.model import Transformer
from tests.lab.training.conftest import settings_of


@pytest.fixture(scope="module")
def model(shards: byline.Shards, tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    """Trained until some answers are right and some are not."""
    folder = tmp_path_factory.mktemp("model")
    train(settings_of(steps=100, learning_rate=1e-2, evaluate_at=()), shards, {}, folder)
    return load_model(folder / "model.pt")


def test_exact_is_greedy_decoding(model: Transformer, shards: byline.Shards) -> None:
    """Writes each trained token, one after another, from what was written before; masked ones are given."""
    right: dict[str, list[bool]] = {"long": [], "short": []}
    with torch.no_grad():
        for row in shards[:40]:
            ends = np.cumsum(row["seq_lengths"])
            for end, length, document in zip(ends, row["seq_lengths"], row["doc_ids"], strict=True):
                ids = row["input_ids"][end - length : end].tolist()
                trained = [at for at in range(1, length) if row["loss_mask"][end - length + at]]
                if not trained:
                    continue
                written = list(ids)
                for at in trained:
                    hidden = model.hidden(torch.tensor(written[:at]), [(1, at)])
                    written[at] = int(model.logits(hidden[-1]).argmax())
                right[shards.origin(document)[0]].append(written == ids)
    measured = {
        one.source: (one.value, one.count)
        for one in evaluate(model, EvaluationRows.of(shards[:40]))
        if one.metric == "exact"
    }
    both = [*right["long"], *right["short"]]
    assert {source: (pytest.approx(np.mean(values)), len(values)) for source, values in right.items()} == {
        source: measured[source] for source in right
    }
    assert measured["all"] == (pytest.approx(np.mean(both)), len(both))
    assert 0 < measured["short"][0] < 1


def test_loss_and_accuracy_are_means_over_tokens(
    model: Transformer, shards: byline.Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, hits = [], []
    with torch.no_grad():
        for row in shards[:10]:
            start = 0
            for length in row["seq_lengths"]:
                ids = torch.from_numpy(row["input_ids"][start : start + length].astype("int64"))
                logits = model.logits(model.hidden(ids, [(1, int(length))])).log_softmax(-1)
                for at in range(1, length):
                    if row["loss_mask"][start + at]:
                        losses.append(-float(logits[at - 1, ids[at]]))
                        hits.append(int(logits[at - 1].argmax()) == int(ids[at]))
                start += length
    whole = evaluate(model, EvaluationRows.of(shards[:10]))
    measured = {one.metric: one for one in whole if one.source == "all"}
    assert (measured["loss"].value, measured["loss"].count) == (pytest.approx(np.mean(losses)), len(losses))
    assert (measured["accuracy"].value, measured["accuracy"].count) == (np.mean(hits), len(hits))

    # The same in batches of one row.
    monkeypatch.setattr("byline.lab.training.evaluating._POSITIONS", 48)
    rows = EvaluationRows.of(shards[:10])
    assert len(rows.batches) == 10
    for one, other in zip(whole, evaluate(model, rows), strict=True):
        assert (one.source, one.metric, one.count) == (other.source, other.metric, other.count)
        assert one.value == pytest.approx(other.value)


def test_rows_without_a_target_are_refused(built: Path, shards: byline.Shards) -> None:
    with pytest.raises(BylineError, match=f"{built}: none of the 0 rows to evaluate has a token to predict"):
        EvaluationRows.of(shards[:0])
