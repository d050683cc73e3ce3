"""Trainings: the same again, also where one was stopped; branches; what is written; what goes wrong."""

import csv
import json
import multiprocessing
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import byline
from byline.errors import BylineError
from byline.lab.training import loop
from byline.lab.training.batches import Batch, Domains, make_batch
from byline.lab.training.checkpoints import load, load_model
from byline.lab.training.evaluating import EvaluationRows, evaluate
from byline.lab.training.loop import TrainingSettings
from byline.lab.training.model import Transformer, size_named
from byline.lab.training.objectives import Standard
from byline.lab.training.predicting import target_losses
from byline.schemas.loss_table import read_losses
from tests.lab.training.conftest import ROWS_EVALUATED, STEPS, settings_of

Trained = Callable[..., Path]
TABLES = ("losses.csv", "metrics.csv")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def same(first: Path, second: Path, files: tuple[str, ...] = (*TABLES, "model.pt")) -> None:
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


class StoppedError(Exception):
    """As if the process had died."""


class StopsAt(Standard):
    """The mean loss, until a step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, losses: torch.Tensor, batch: Batch, names: list[str]) -> torch.Tensor:
        if not self.left:
            raise StoppedError
        self.left -= 1
        return super().__call__(losses, batch, names)


def test_a_training_is_what_plain_steps_would_do(trained: Trained, shards: byline.Shards) -> None:
    """Written out for the first steps, with an AdamW that is not fused."""
    folder = trained("whole", schedule="constant", warmup_steps=2, evaluate_at=(), checkpoint_at=(3,))
    model = Transformer(size_named("0.1M"), 257, 0)
    decayed = {weight: 0.1 if weight.dim() == 2 else 0.0 for weight in model.parameters()}
    groups = [{"params": [weight], "weight_decay": decay} for weight, decay in decayed.items()]
    plain = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=False, foreach=False)
    for step, rate in enumerate((1.5e-3, 3e-3, 3e-3)):
        rows = range(step * len(shards) // STEPS, (step + 1) * len(shards) // STEPS)
        plain.zero_grad()
        target_losses(model, make_batch(shards, rows, Domains(shards))).mean().backward()
        gradient = torch.cat([weight.grad.reshape(-1) for weight in model.parameters()])
        for weight in model.parameters():
            weight.grad *= min(1.0, 1.0 / (gradient.norm().item() + 1e-6))
        for group in plain.param_groups:
            group["lr"] = rate
        plain.step()
    weights = load(folder / "step-3.pt")["model"]
    for name, weight in model.state_dict().items():
        assert torch.allclose(weights[name], weight, atol=2e-5), name


def test_tables(trained: Trained, shards: byline.Shards) -> None:
    folder = trained("whole")
    rows = table(folder / "metrics.csv")
    assert tuple(rows[0]) == ("step", "tokens", "positions", "evaluation", "source", "metric", "value")
    assert [(row["step"], row["source"], row["metric"]) for row in rows] == [
        (step, source, metric)
        for step in ("0", "8", "16", "24")
        for source in ("long", "short", "all")
        for metric in ("loss", "accuracy", "exact")
    ]
    at = {row["step"]: (int(row["tokens"]), int(row["positions"])) for row in rows}
    assert [positions for _, positions in at.values()] == [0, 33 * 48, 66 * 48, 4800]
    assert [tokens for tokens, _ in at.values()] == [
        sum(len(make_batch(shards, range(number, number + 1), Domains(shards)).targets) for number in range(rows))
        for rows in (0, 33, 66, 100)
    ]

    # The numbers are those of the model that is kept.
    model, own = load_model(folder / "model.pt"), EvaluationRows.of(shards[:ROWS_EVALUATED])
    last = [(row["source"], row["metric"], float(row["value"])) for row in rows if row["step"] == "24"]
    assert last == [(one.source, one.metric, one.value) for one in evaluate(model, own)]

    losses = read_losses(folder / "losses.csv", [("loss",)])
    assert (losses.domains, losses.steps.tolist()) == (("long", "short"), [8, 16, 24])
    assert losses.losses["loss"][-1].mean() < losses.losses["loss"][0].mean()
    assert sum(int(row["tokens"]) for row in table(folder / "losses.csv")) == at["24"][0]
    assert json.loads((folder / "finished.json").read_text())["parameters"] == 123_264


def test_the_same_settings_give_the_same_bytes(trained: Trained) -> None:
    same(trained("first"), trained("second"))
    other = trained("other", seed=1)
    assert (other / "metrics.csv").read_bytes() != (trained("first") / "metrics.csv").read_bytes()


@pytest.mark.parametrize("step", [0, 1, 8, 13, 23])
def test_a_training_that_was_stopped_goes_on(
    trained: Trained, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained("whole", checkpoint_at=(8,))
    monkeypatch.setattr(loop, "STATE_SECONDS", -1.0)
    with pytest.raises(StoppedError):
        trained("stopped", more={"objective": StopsAt(step)}, checkpoint_at=(8,))
    assert (load(tmp_path / "stopped/state.pt")["progress"]["step"] if step else 0) == step
    stopped = trained("stopped", checkpoint_at=(8,))
    same(whole, stopped)
    assert not (stopped / "state.pt").exists()
    first, second = (load(folder / "step-8.pt") for folder in (whole, stopped))
    assert all(torch.equal(weight, second["model"][name]) for name, weight in first["model"].items())


def test_a_finished_training_is_left_alone(trained: Trained) -> None:
    folder = trained("whole")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    trained("whole")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_process_that_was_killed_goes_on(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained("whole")
    monkeypatch.setattr(loop, "STATE_SECONDS", -1.0)
    process = multiprocessing.get_context("fork").Process(target=trained, args=("killed",))
    process.start()
    ends = time.monotonic() + 60
    while not (tmp_path / "killed/state.pt").exists():
        assert process.is_alive()
        assert time.monotonic() < ends
        time.sleep(0.001)
    process.kill()
    process.join()
    assert not (tmp_path / "killed/finished.json").exists()
    same(whole, trained("killed"))


def test_a_branch_is_a_training_on_its_view(trained: Trained, built: Path, shards: byline.Shards) -> None:
    """From a checkpoint of the timeline, whose decay it has not reached, with the rows that a step has there."""
    rows = Fraction(len(shards), STEPS)
    before = int(shards.branch_row("cooldown-50") / rows)
    view = byline.open(built, branch="cooldown-50")
    steps = -(-len(view) // rows)
    timeline = trained("timeline", decay_steps=4, warmup_steps=3, checkpoint_at=(before,), evaluate_at=(4,))
    branch = {"steps": steps, "decay_steps": steps - before, "warmup_steps": 3, "evaluate_at": (4, steps)}
    more = {"rows_per_step": rows}
    whole = trained("view", view, more, **branch)
    short = trained("branch", view, {**more, "start": timeline / f"step-{before}.pt"}, **branch)
    same(whole, short)
    assert (before, steps, len(view), shards.branch_row("cooldown-50")) == (9, 13, 51, 41)
    assert {row["step"] for row in table(short / "metrics.csv")} == {"4", "13"}


def test_a_domain_without_a_target_since_the_last_line_keeps_its_loss(trained: Trained, shards: byline.Shards) -> None:
    folder = trained("whole", evaluate_at=tuple(range(25)))
    rows = table(folder / "losses.csv")
    losses = {(int(row["step"]), row["domain"]): row["loss"] for row in rows}
    without = [(int(row["step"]), row["domain"]) for row in rows if row["tokens"] == "0"]
    for step, domain in without:
        assert losses[step, domain] == losses[step - 1, domain]
    kept = [row for row in rows if row["tokens"] != "0"]
    for row in kept:
        step = int(row["step"])
        numbers = range((step - 1) * 100 // STEPS, step * 100 // STEPS)
        domains = make_batch(shards, numbers, Domains(shards)).domains
        assert int(row["tokens"]) == int((domains == ("long", "never", "short").index(row["domain"])).sum())


def test_a_loss_that_is_not_finite_is_one_line(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(BylineError) as error:
        trained("wild", learning_rate=1e18, clip=1e30, evaluate_at=())
    assert str(error.value) == (
        f"{tmp_path / 'wild'}: step 2 at a learning rate of 1e+18 has a loss of nan and a gradient that is not finite; "
        "take a smaller `learning_rate` than 1e+18"
    )


def test_fewer_rows_than_steps_are_refused(trained: Trained) -> None:
    with pytest.raises(BylineError, match="100 rows for 101 steps, which need one each"):
        trained("many", steps=101)


def test_a_step_without_targets_changes_nothing(trained: Trained, shards: byline.Shards) -> None:
    class Half:
        """The first half of the rows is masked."""

        directory, inputs = shards.directory, shards.inputs

        def __len__(self) -> int:
            return 100

        def batch(self, rows: range) -> dict[str, np.ndarray]:
            read = shards.batch(rows)
            return {**read, "loss_mask": read["loss_mask"] * (rows.start >= 50)}

    folder = trained("half", Half(), checkpoint_at=(12,))
    state = load(folder / "step-12.pt")
    assert (state["progress"]["tokens"], state["progress"]["positions"]) == (0, 2400)
    begun = Transformer(size_named("0.1M"), 257, 0).state_dict()
    assert all(torch.equal(weight, begun[name]) for name, weight in state["model"].items())
    assert {row["step"] for row in table(folder / "losses.csv")} == {"16", "24"}


def test_another_models_state_and_damaged_ones_are_refused(trained: Trained, tmp_path: Path) -> None:
    whole = trained("whole", checkpoint_at=(8,))
    checkpoint = whole / "step-8.pt"
    with pytest.raises(BylineError, match=r"step-8\.pt: is the state of another model or of another version"):
        trained("larger", more={"start": checkpoint}, model="0.2M")
    with pytest.raises(BylineError, match=r"step-9\.pt: is not there; the training that writes it"):
        trained("none", more={"start": whole / "step-9.pt"})
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(BylineError, match=r"step-8\.pt: is damaged"):
        trained("damaged", more={"start": checkpoint})
    torch.save({"size": {}, "vocab_size": 1, "weights": {}}, tmp_path / "model.pt")
    with pytest.raises(BylineError, match=r"model\.pt: is not a model of this version"):
        load_model(tmp_path / "model.pt")


def test_settings_are_read_back_from_json() -> None:
    settings = settings_of()
    assert TrainingSettings(**json.loads(json.dumps(vars(settings)))).steps == settings.steps
