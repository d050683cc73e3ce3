"""Skill-it (arXiv 2307.14430): a graph of which skill helps which, then rounds, each with a mixture from the losses.

```
found/skill_it/graph.csv      from,to,weight     what share of a loss a short training on another skill takes
found/skill_it/losses.csv     round,domain,loss  at the start of each round
found/skill_it/mixture.yaml   byline weights skillit found/skill_it/losses.csv --graph found/skill_it/graph.csv
```

The rounds are phases of one training: round t is built when its mixture is known, with the phases before it as they
were, and goes on from the checkpoint at its start. The mixture of the arm is the schedule of all rounds.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import Field

import byline
from byline.lab.mixing.ground import Ground, write_table
from byline.lab.tasks import Task
from byline.schemas.loss_table import SkillGraph, read_graph
from byline.schemas.model import Model, TokenCount
from byline.transforms.weights import skill_it
from byline.transforms.weights.computing import compute_skill_it
from byline.transforms.weights.mixture_file import mixture_text


class SkillItSettings(Model):
    """`find: {method: skill_it, ...}`.

    Attributes:
        tokens, steps: of all rounds together, in positions and updates.
        rounds: how many.
        graph_tokens, graph_steps: of each training for the graph, half of it on all sources.
        targets: skills whose losses count; all without it.
        model: its size; None for the study's first.
        evaluation: whose losses; None for the study's first.
        eta, window: of an update.
    """

    tokens: TokenCount
    steps: int = Field(ge=1)
    rounds: int = Field(default=5, ge=2)
    graph_tokens: TokenCount
    graph_steps: int = Field(ge=2)
    targets: list[str] = Field(default_factory=list)
    model: str | None = None
    evaluation: str | None = None
    eta: float = skill_it.ETA
    window: int = Field(default=skill_it.WINDOW, ge=1)


def find(ground: Ground, settings: SkillItSettings) -> dict[str, Any]:
    """The mixture: a schedule."""
    model = settings.model or ground.study.training.models[0]
    evaluation = ground.evaluation(settings.evaluation)
    targets = settings.targets or ground.sources
    graph = _measure_graph(ground, settings, model, evaluation, targets)
    table = _train_rounds(ground, settings, model, evaluation, targets, graph)
    computed = compute_skill_it(table, graph, eta=settings.eta, window=settings.window)
    command = f"byline weights skillit {table} --graph {graph} --eta {settings.eta:g} --window {settings.window}"
    return ground.keep(command, computed.text)


def _measure_graph(ground: Ground, settings: SkillItSettings, model: str, evaluation: str, targets: list[str]) -> Path:
    """The table of edges: what share of `to`'s loss a training on `from` alone takes away, if any.

    All begin with the same half on all sources evenly. What that takes, the form of answers, is not a skill's.
    """
    half = settings.graph_steps // 2
    tasks = {}
    for source in ground.sources:
        phases = [
            {"name": "even", "share": "1/2", "mixture": ground.uniform()},
            {"name": "alone", "share": "1/2", "mixture": {"method": "weights", "weights": {source: 1}}},
        ]
        build = ground.build(f"graph-{source}", {"tokens": settings.graph_tokens, "phases": phases})
        steps = settings.graph_steps
        tasks[source] = ground.task(f"graph/{source}", build, model, steps, evaluate_at=(half, steps), decay_steps=0)
    ground.train(*tasks.values())
    edges = []
    for source, task in tasks.items():
        before, after = ground.losses(task, evaluation, half), ground.losses(task, evaluation)
        for target in targets:
            edges.append((source, target, f"{max(0.0, 1 - after[target] / before[target]):.6f}"))
    return write_table(ground.folder / "graph.csv", ("from", "to", "weight"), edges)


def _train_rounds(
    ground: Ground, settings: SkillItSettings, model: str, evaluation: str, targets: list[str], graph: Path
) -> Path:
    """The table of losses at the start of each round but the last, whose mixture they give."""
    skills = read_graph(graph, sorted(targets))
    rounds: list[Task] = []
    mixtures: list[dict[str, Any]] = []
    losses = np.empty((0, len(targets)))
    for number in range(1, settings.rounds):
        mixtures.append(_weights(skills, skill_it.schedule(skills.weights, losses, settings.eta, settings.window)[-1]))
        # What the last of these would come to is not asked for, but round 1 has the losses at the very start.
        if number == 1 or number < settings.rounds - 1:
            rounds.append(_round(ground, settings, model, mixtures, rounds))
            ground.train(rounds[-1])
        start = rounds[0] if number == 1 else rounds[number - 2]
        measured = ground.losses(start, evaluation, 0 if number == 1 else None)
        losses = np.vstack([losses, [measured[target] for target in sorted(targets)]])
    rows = [
        (number, target, loss)
        for number, line in enumerate(losses.tolist(), 1)
        for target, loss in zip(sorted(targets), line, strict=True)
    ]
    return write_table(ground.folder / "losses.csv", ("round", "domain", "loss"), rows)


def _weights(skills: SkillGraph, weights: np.ndarray) -> dict[str, Any]:
    """Weights as `byline weights` writes them, which sum to one as decimals."""
    return {"method": "weights", **yaml.safe_load(mixture_text([], skills.trained, weights))}


def _round(
    ground: Ground, settings: SkillItSettings, model: str, mixtures: list[dict[str, Any]], before: list[Task]
) -> Task:
    """The training up to the end of the round of the last mixture, from the end of the round before."""
    number = len(mixtures)
    phases = [
        {"name": f"round-{one}", "share": f"1/{number}", "mixture": mixture} for one, mixture in enumerate(mixtures, 1)
    ]
    assert settings.tokens != "all"
    build = ground.build(f"rounds-{number}", {"phases": phases, "tokens": settings.tokens // settings.rounds * number})
    rows = len(byline.open(build.out))
    known = before[0].rows_per_step if before else None
    per_step = Fraction(rows, settings.steps // settings.rounds) if known is None else Fraction(known)
    steps = int(rows / per_step)
    task = ground.task(
        f"rounds/{number}",
        build,
        model,
        steps,
        warmup_steps=round(ground.study.training.warmup * settings.steps),
        decay_steps=0,
        evaluate_at=(*(() if before else (0,)), steps),
        checkpoint_at=(steps,),
    )
    start = f"{before[-1].folder}/step-{before[-1].settings.steps}.pt" if before else None
    return replace(task, rows_per_step=str(per_step), start=start)
