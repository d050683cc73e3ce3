"""Skill-it: the graph from short trainings, and rounds whose mixtures follow from the losses at their start."""

import json
from pathlib import Path

import numpy as np
import pytest

import byline
from byline.lab.mixing.finding import find_mixture
from tests.lab.mixing.conftest import table, told_again
from tests.reference import skill_it as reference
from tests.support.builds import manifest_of

SOURCES = ("plain", "reverse")
FIND = {
    "method": "skill_it",
    "tokens": "12K",
    "steps": 16,
    "rounds": 4,
    "graph_tokens": "3K",
    "graph_steps": 5,
    "eta": 0.5,
    "window": 2,
}


def losses_at(folder: Path, step: str) -> list[float]:
    rows = table(folder / "metrics.csv")
    found = {row["source"]: float(row["value"]) for row in rows if (row["metric"], row["step"]) == ("loss", step)}
    return [found[name] for name in SOURCES]


def test_rounds_follow_from_the_losses_before_them(make_ground, trained) -> None:
    ground = make_ground(**FIND)
    mixture = find_mixture(ground)
    folder = ground.folder

    # An edge is the share of a loss that training on one skill alone takes away, after as much on all evenly.
    edges = {(row["from"], row["to"]): float(row["weight"]) for row in table(folder / "graph.csv")}
    for source in SOURCES:
        before, after = (losses_at(folder / "graph" / source, step) for step in ("2", "5"))
        for number, target in enumerate(SOURCES):
            assert edges[source, target] == pytest.approx(max(0, 1 - after[number] / before[number]), abs=1e-6)

    rounds = [folder / "rounds/1", folder / "rounds/2"]
    # A round ends with the last step that is whole, which may be one earlier than asked for.
    ends = [json.loads((one / "task.json").read_text())["settings"]["steps"] for one in rounds]
    assert ends[0] == 4
    assert ends[1] in (7, 8)
    measured = [losses_at(rounds[0], "0"), losses_at(rounds[0], "4"), losses_at(rounds[1], str(ends[1]))]
    logged = [float(row["loss"]) for row in table(folder / "losses.csv")]
    assert logged == pytest.approx([loss for line in measured for loss in line])

    graph = [[edges[one, other] for other in SOURCES] for one in SOURCES]
    expected = reference.mixtures(graph, measured, 0.5, 2)
    for point, row in zip(mixture["points"], expected, strict=True):
        assert list(point["weights"].values()) == pytest.approx(row, abs=1e-5)
    assert told_again(ground) == (folder / "mixture.yaml").read_text()

    names = [str(Path(one).relative_to(folder)) for one in trained]
    assert find_mixture(ground) == mixture
    assert len(trained) == len(names)
    assert names == ["graph/plain", "graph/reverse", "rounds/1", "rounds/2"]

    # The first round's build draws its own mixture.
    drawn = manifest_of(ground.builds.out / "builds/arm.rounds-1")["ledger"]["phases"]["round-1"]["sources"]
    tokens = np.array([drawn[name]["tokens"] for name in SOURCES])
    assert tokens / tokens.sum() == pytest.approx(expected[0], abs=0.05)

    # A later round's build begins with the rows that were trained on, so its checkpoint can be gone on from.
    first, second = (byline.open(ground.builds.out / f"builds/arm.rounds-{number}") for number in (1, 2))
    assert len(second) > len(first)
    for row in range(len(first)):
        assert (first[row]["input_ids"] == second[row]["input_ids"]).all()
