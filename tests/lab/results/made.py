"""Made-up results: curves that are known, so that what is computed from them is too.

Four arms of three seeds in two sizes, ten evaluations each; losses fall by powers, accuracies rise as logistic curves.
"""

import math

from byline.lab.results.table import DomainWeight, Measurement, Results, TrainedArm, TrainingTime

ARMS = {
    "standard": (1.0, "no prefix"),
    "conditioned": (1.25, "a host before each document, to the end"),
    "cooldown": (0.85, "a host before each document, and a last tenth without"),
    "hashed": (1.02, "a number for the host"),
}
MODELS = {"0.2M": 200_000, "1M": 1_000_000}
SEEDS = (0, 1, 2)
STEPS = tuple(range(100, 1001, 100))
TOKENS, POSITIONS = 2_000, 2_500


def loss(arm: str, model: str, seed: int, step: int, evaluation: str) -> float:
    value = ARMS[arm][0] * (0.9 + 3 * (step + 50) ** -0.3) + 0.01 * seed - 0.1 * (model == "1M")
    if evaluation == "host":
        value -= 0.25 if arm in ("conditioned", "cooldown") else -0.05
    return round(value, 6)


def exact(arm: str, model: str, seed: int, step: int) -> float:
    middle = 400 * ARMS[arm][0] + 20 * seed - 60 * (model == "1M")
    return round(1 / (1 + math.exp(-(step - middle) / 60)), 6)


def measurements(arm: str, model: str, seed: int, steps: tuple[int, ...], name: str | None = None) -> list[Measurement]:
    rows = []
    for step in steps:
        for evaluation in ("none", "host"):
            value = loss(arm, model, seed, step, evaluation)
            numbers = [
                ("all", "loss", value),
                ("web", "loss", value + 0.1),
                ("books", "loss", value - 0.1),
                ("all", "exact", exact(arm, model, seed, step)),
                ("web", "exact", exact(arm, model, seed, step + 80)),
                ("books", "exact", exact(arm, model, seed, step - 80)),
            ]
            rows += [
                Measurement(
                    "meco",
                    name or arm,
                    model,
                    seed,
                    step,
                    step * TOKENS,
                    step * POSITIONS,
                    evaluation,
                    source,
                    metric,
                    number,
                )
                for source, metric, number in numbers
            ]
    return rows


def made_results(
    arms: tuple[str, ...] = tuple(ARMS), models: tuple[str, ...] = tuple(MODELS), seeds: tuple[int, ...] = SEEDS
) -> Results:
    rows: list[Measurement] = []
    for arm in arms:
        for model in models:
            for seed in seeds:
                rows += measurements(arm, model, seed, STEPS)
                if arm == "cooldown":
                    for share in (25, 50, 75):
                        rows += measurements(arm, model, seed, (share * 10 + 50,), f"cooldown/at-{share}")
    names = list(dict.fromkeys(row.arm for row in rows))
    trained = [
        TrainedArm(name, model, ARMS[name.split("/")[0]][1], 2_000_000, 2_500_000, MODELS[model])
        for name in names
        for model in models
    ]
    times = [TrainingTime(name, model, seed, 61.5, "cpu") for name in names for model in models for seed in seeds]
    weights = [DomainWeight(arm, "web", 0.6) for arm in arms] + [DomainWeight(arm, "books", 0.4) for arm in arms]
    return Results(rows, trained, times, weights)
