"""The loop: rows in their order, a step for each batch, evaluations at given steps.

```
FOLDER/losses.csv      step,domain,loss,tokens                                     what `byline weights` reads
FOLDER/metrics.csv     step,tokens,positions,evaluation,source,metric,value
FOLDER/finished.json   {"seconds": 12.3, "parameters": 246336}
```

`tokens` are the targets trained so far, `positions` all positions that were read. A step has the rows that are its even
share (`byline.lab.training.batches`), whatever their number. The same settings and rows give the same tables on the CPU
of one machine, also where the training was stopped and went on; a training that starts from another's checkpoint gives
what it would have given from the first row. A GPU adds in another order each time.
"""

import csv
import io
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

import byline
from byline.errors import BylineError
from byline.lab.training.batches import Batch, Domains, StepRows, make_batch
from byline.lab.training.checkpoints import load, save, save_model
from byline.lab.training.evaluating import EvaluationRows, evaluate
from byline.lab.training.model import Transformer, parameter_count, size_named
from byline.lab.training.objectives import Objective, Standard
from byline.lab.training.optimizing import AdamW
from byline.lab.training.predicting import target_losses
from byline.lab.training.schedules import factor
from byline.transforms.files.storage import write_file

LOSSES = ("step", "domain", "loss", "tokens")
METRICS = ("step", "tokens", "positions", "evaluation", "source", "metric", "value")
FINISHED = "finished.json"
STATE = "state.pt"
# Between two states on disk: what a stop costs at most.
STATE_SECONDS = 60.0


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        model: the name of its size.
        vocab_size: how many ids it knows.
        steps: updates.
        learning_rate: the peak.
        schedule: a name of `byline.lab.training.schedules`; `warmup_steps` and `decay_steps` are of it.
        weight_decay: of matrices.
        betas, clip: of AdamW; the largest norm of a gradient.
        seed: decides the weights that it begins with; rows have their order from the build.
        evaluate_at, checkpoint_at: after which steps; 0 evaluates what it begins with.
        device: `cpu` or `cuda`, where matrices are multiplied in bfloat16.
        threads: on a CPU.
    """

    model: str
    vocab_size: int
    steps: int
    learning_rate: float
    schedule: str = "wsd"
    warmup_steps: int = 0
    decay_steps: int = 0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    seed: int = 0
    evaluate_at: tuple[int, ...] = ()
    checkpoint_at: tuple[int, ...] = ()
    device: str = "cpu"
    threads: int = 1


@dataclass
class Progress:
    """How far a training is, and its tables until then.

    Attributes:
        step: how many were made.
        tokens, positions: so far.
        seconds: so far, of CPU; on a GPU those that passed.
        sums, counts: float64 and int64 [domains], of the losses since the last line of `losses`.
        losses, metrics: lines.
    """

    step: int = 0
    tokens: int = 0
    positions: int = 0
    seconds: float = 0.0
    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    losses: list[list[Any]] = field(default_factory=list)
    metrics: list[list[Any]] = field(default_factory=list)


def train(
    settings: TrainingSettings,
    shards: byline.Shards,
    evaluations: Mapping[str, EvaluationRows],
    folder: Path,
    *,
    start: Path | None = None,
    rows_per_step: Fraction | None = None,
    objective: Objective | None = None,
) -> None:
    """Trains, or goes on; does nothing where it has finished.

    Args:
        settings: how.
        shards: the rows, in the order in which they are read.
        evaluations: rows to evaluate on, by name.
        folder: for what it writes.
        start: a checkpoint to begin from, of a training that read the same rows until then.
        rows_per_step: in place of the rows divided by the steps.
        objective: what is minimised; None for the mean loss.

    Raises:
        BylineError: there are fewer rows than steps, the loss is not a number, or a file is damaged; one line.
    """
    if (folder / FINISHED).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    rows = StepRows(len(shards), rows_per_step or Fraction(len(shards), settings.steps))
    if rows.per_step < 1:
        raise BylineError(
            f"{shards.directory}: {len(shards):,} rows for {settings.steps:,} steps, which need one each; take more "
            "tokens, shorter sequences or fewer steps"
        )
    training = _Training(settings, shards, rows, evaluations, folder, objective or Standard())
    training.go_on(start)
    training.run()


class _Training:
    """A training under way."""

    def __init__(
        self,
        settings: TrainingSettings,
        shards: byline.Shards,
        rows: StepRows,
        evaluations: Mapping[str, EvaluationRows],
        folder: Path,
        objective: Objective,
    ) -> None:
        self.settings, self.shards, self.rows, self.evaluations = settings, shards, rows, evaluations
        self.folder, self.objective, self.domains = folder, objective, Domains(shards)
        self.model = Transformer(size_named(settings.model), settings.vocab_size, settings.seed).to(settings.device)
        self.optimizer = AdamW(self.model, settings.betas, settings.weight_decay)
        names = self.domains.names
        self.progress = Progress(sums=[0.0] * len(names), counts=[0] * len(names))

    def go_on(self, start: Path | None) -> None:
        """Takes over the state that is in its folder, or else that of another training; or begins."""
        own = self.folder / STATE
        path = own if own.exists() else start
        if path is None:
            self._after_step()
            return
        state = load(path)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.restore(state["optimizer"])
            self.objective.restore(state["objective"])
            self.progress = Progress(**state["progress"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise BylineError(
                f"{path}: is the state of another model or of another version of the laboratory; remove its folder to "
                "train anew"
            ) from None
        if path == start:
            self.progress.seconds = 0.0

    def run(self) -> None:
        """All steps that are left."""
        settings, progress = self.settings, self.progress
        # Of CPU where that is what works: others may be at work on the same cores.
        clock = time.process_time if settings.device == "cpu" else time.monotonic
        saved, began = time.monotonic(), clock() - progress.seconds
        while progress.step < settings.steps:
            self._step(progress.step)
            progress.seconds = clock() - began
            self._after_step()
            if time.monotonic() - saved > STATE_SECONDS:
                saved = time.monotonic()
                save(self._state(), self.folder / STATE)
        progress.seconds = clock() - began
        self._finish()

    def _after_step(self) -> None:
        if self.progress.step in self.settings.evaluate_at:
            self._evaluate()
        if self.progress.step in self.settings.checkpoint_at:
            save(self._state(), self.folder / f"step-{self.progress.step}.pt")

    def _step(self, step: int) -> None:
        settings = self.settings
        batch = make_batch(self.shards, self.rows.of(step), self.domains).to(settings.device)
        self.progress.step += 1
        self.progress.positions += batch.positions
        if not len(batch.targets):
            return
        rate = settings.learning_rate * factor(
            settings.schedule, step, settings.steps, settings.warmup_steps, settings.decay_steps
        )
        losses = target_losses(self.model, batch)
        self.objective(losses, batch, self.domains.names).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        # Before the step, which would make all weights NaN. A loss that is not finite has no finite gradient.
        if not math.isfinite(norm.item()):
            raise BylineError(
                f"{self.folder}: step {step + 1} at a learning rate of {rate:g} has a loss of "
                f"{losses.mean().item():g} and a gradient that is not finite; take a smaller `learning_rate` than "
                f"{settings.learning_rate:g}"
            )
        self.optimizer.step(rate)
        self._count(batch, losses.detach())

    def _count(self, batch: Batch, losses: torch.Tensor) -> None:
        progress, number = self.progress, len(self.domains.names)
        domains = batch.domains.cpu().numpy()
        progress.tokens += len(domains)
        sums = np.bincount(domains, losses.double().cpu().numpy(), number)
        progress.sums = (np.array(progress.sums) + sums).tolist()
        progress.counts = (np.array(progress.counts) + np.bincount(domains, minlength=number)).tolist()

    def _evaluate(self) -> None:
        progress = self.progress
        last = {name: loss for _, name, loss, _ in progress.losses}
        for name, total, count in zip(self.domains.names, progress.sums, progress.counts, strict=True):
            if count:
                last[name] = total / count
            # A domain without a target since the last line keeps its loss: `byline weights` wants all at every step.
            if name in last:
                progress.losses.append([progress.step, name, last[name], count])
        mean = sum(progress.sums) / max(sum(progress.counts), 1)
        # For whoever waits: the last line of a task's log is what is shown of it.
        print(f"step {progress.step} of {self.settings.steps}, loss {mean:.3f}", flush=True)
        progress.sums, progress.counts = [0.0] * len(progress.sums), [0] * len(progress.counts)
        for name, rows in self.evaluations.items():
            for one in evaluate(self.model, rows, self.settings.device):
                at = [progress.step, progress.tokens, progress.positions]
                progress.metrics.append([*at, name, one.source, one.metric, one.value])

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state(),
            "objective": self.objective.state(),
            "progress": vars(self.progress),
        }

    def _finish(self) -> None:
        _write_table(self.folder / "losses.csv", LOSSES, self.progress.losses)
        _write_table(self.folder / "metrics.csv", METRICS, self.progress.metrics)
        self.objective.finish()
        save_model(self.model, self.folder / "model.pt")
        facts = {"seconds": self.progress.seconds, "parameters": parameter_count(self.model)}
        _write(self.folder / FINISHED, json.dumps(facts) + "\n")
        (self.folder / STATE).unlink(missing_ok=True)


def _write_table(path: Path, names: tuple[str, ...], lines: list[list[Any]]) -> None:
    """CSV; numbers read back as they are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *lines])
    _write(path, text.getvalue())


def _write(path: Path, text: str) -> None:
    """The whole file or none."""
    with write_file(str(path)) as sink:
        sink.write(text.encode())
