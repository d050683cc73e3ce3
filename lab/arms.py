"""The trainings of a study's arms: each arm in each model and seed, and the branches of its build.

```
arm           model  seed  trains                      on
conditioned   0.5M   0     runs/conditioned/0.5M/seed-0             the timeline; keeps step-250.pt, step-500.pt
conditioned   0.5M   0     runs/conditioned/0.5M/seed-0/cooldown-25 from step-250.pt, on the branch cooldown-25
```

Each step of an arm reads rows / steps rows, so arms with different positions take the same number of steps. A branch
goes on with the rows that a step of its timeline reads, and the learning rate decays over all of it, from what it is on
the timeline: a branch that leaves where that decays already is refused.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import byline
from byline.errors import BylineError
from byline.lab.building import ArmBuild, Builds
from byline.lab.study import Study, Training
from byline.lab.tasks import EvaluatedRows, Task
from byline.lab.training.loop import TrainingSettings
from byline.lab.training.schedules import factor


@dataclass(frozen=True)
class ArmRun:
    """One training of an arm.

    Attributes:
        arm: its name, with the name of a branch behind it: `conditioned/cooldown-25`.
        build: what it reads.
        model, seed: of the training.
        task: the training.
    """

    arm: str
    build: ArmBuild
    model: str
    seed: int
    task: Task


def evaluated_rows(study: Study, builds: Builds, name: str) -> tuple[EvaluatedRows, ...]:
    """The rows of every evaluation of an arm, built if they are not there."""
    arm = study.arms[name]
    return tuple(
        EvaluatedRows(key, str(builds.evaluation(key, one, name, arm)), one.rows == "holdout", one.sequences)
        for key, one in study.evaluations.items()
    )


def arm_runs(
    study: Study, build: ArmBuild, evaluations: tuple[EvaluatedRows, ...], device: str
) -> tuple[list[ArmRun], list[ArmRun]]:
    """Trainings on the timeline of an arm's build, and on its branches, which begin from checkpoints of the former.

    Raises:
        BylineError: the learning rate would jump where a branch leaves.
    """
    timelines, branches = [], []
    for model in study.training.models:
        for seed in study.training.seeds:
            timeline = _timeline(study, build, model, seed, evaluations, device)
            timelines.append(timeline)
            branches.extend(_branches(timeline))
    return timelines, branches


def training_settings(training: Training, model: str, seed: int, out: Path, device: str) -> TrainingSettings:
    """The settings of a training on a build."""
    return TrainingSettings(
        model=model,
        vocab_size=vocabulary(out),
        steps=training.steps,
        learning_rate=training.rate_of(model),
        schedule=training.schedule,
        warmup_steps=round(training.warmup * training.steps),
        decay_steps=round(training.decay * training.steps),
        weight_decay=training.weight_decay,
        seed=seed,
        evaluate_at=training.evaluated_steps,
        device=device,
    )


def vocabulary(out: Path) -> int:
    """How many ids a model of this build needs."""
    return int(byline.read_manifest(out).tokenizer["vocab_size"])


def _timeline(
    study: Study, build: ArmBuild, model: str, seed: int, evaluations: tuple[EvaluatedRows, ...], device: str
) -> ArmRun:
    folder = build.out.parents[1] / "runs" / build.name / model / f"seed-{seed}"
    settings = training_settings(study.training, model, seed, build.out, device)
    rows = _rows_per_step(build.out, settings.steps)
    shards = byline.open(build.out)
    checkpoints = {int(shards.branch_row(name) / rows) for name in shards.branches}
    settings = replace(settings, checkpoint_at=tuple(sorted(checkpoints)))
    return ArmRun(build.name, build, model, seed, Task(str(folder), str(build.out), settings, evaluations))


def _branches(timeline: ArmRun) -> list[ArmRun]:
    out, task = timeline.build.out, timeline.task
    rows = _rows_per_step(out, task.settings.steps)
    shards = byline.open(out)
    runs = []
    for name in shards.branches:
        before = int(shards.branch_row(name) / rows)
        steps = math.ceil(len(byline.open(out, branch=name)) / rows)
        settings = replace(
            task.settings, steps=steps, decay_steps=steps - before, checkpoint_at=(), evaluate_at=(steps,)
        )
        if _factor(settings, before) != _factor(task.settings, before):
            raise BylineError(
                f"arms.{timeline.arm}: the learning rate would jump where the branch {name} leaves, at step {before}; "
                "take `training.schedule` wsd or constant, and let it leave before the timeline's decay"
            )
        branch = replace(
            task,
            folder=f"{task.folder}/{name}",
            settings=settings,
            branch=name,
            start=f"{task.folder}/step-{before}.pt",
            rows_per_step=str(rows),
        )
        runs.append(replace(timeline, arm=f"{timeline.arm}/{name}", task=branch))
    return runs


def _rows_per_step(out: Path, steps: int) -> Fraction:
    return Fraction(len(byline.open(out)), steps)


def _factor(settings: TrainingSettings, step: int) -> float:
    return factor(settings.schedule, step, settings.steps, settings.warmup_steps, settings.decay_steps)
