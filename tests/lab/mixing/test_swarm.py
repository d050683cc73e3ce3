"""A swarm of proxies: what is trained, written and found, and that a finished proxy is not trained again."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from byline.lab.building import Builds
from byline.lab.mixing.finding import find_mixture
from byline.lab.mixing.ground import Ground
from byline.lab.study import parse_study
from byline.pipelines.cli import app

ARITHMETIC = {"digits": 1, "examples": 3000}
STUDY = {
    "name": "tiny",
    "title": "Two styles of additions",
    "config": {
        "sources": {
            "plain": {"format": "arithmetic", "arithmetic": ARITHMETIC},
            "reverse": {"format": "arithmetic", "arithmetic": {**ARITHMETIC, "style": "reverse"}},
        },
        "phases": [{"name": "main", "share": 1}],
        "sequence": {"length": 64, "packing": "best_fit"},
        "holdout": {"share": 0.1, "by": "problem"},
        "shortage": "repeat",
    },
    "tokens": "12K",
    "training": {"models": ["0.1M"], "steps": 24, "seeds": [0]},
    "arms": {"swarm": {"find": {"method": "swarm", "tokens": "6K", "steps": 10, "count": 3, "max_epochs": 4}}},
    "evaluations": {"own": {"sequences": 8}},
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    study = parse_study(STUDY, "tiny.yaml")
    console = Console(file=(tmp_path / "said").open("w"))
    return Ground(study, Builds(study, tmp_path / "out", console), "swarm", 2, "cpu", console)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(newline="")))


def test_a_swarm_is_trained_once_and_gives_the_commands_mixture(ground: Ground) -> None:
    mixture = find_mixture(ground)
    assert mixture is not None
    assert sum(mixture["weights"].values()) == pytest.approx(1)

    ratios, metrics = table(ground.folder / "proxies/ratios.csv"), table(ground.folder / "proxies/metrics.csv")
    assert [row["run"] for row in ratios] == [row["run"] for row in metrics] == [f"run-000{n}" for n in range(3)]
    for shares, losses in zip(ratios, metrics, strict=True):
        run = ground.folder / "runs" / shares["run"]
        measured = [row for row in table(run / "metrics.csv") if row["metric"] == "loss" and row["step"] == "10"]
        assert {row["source"]: float(row["value"]) for row in measured if row["source"] != "all"} == pytest.approx(
            {name: float(losses[name]) for name in ("plain", "reverse")}
        )
        manifest = json.loads((ground.builds.out / f"builds/swarm.{shares['run']}/_manifest.json").read_text())
        drawn = manifest["ledger"]["phases"]["main"]["sources"]
        tokens = {name: drawn[name]["tokens"] if name in drawn else 0 for name in ("plain", "reverse")}
        assert tokens["plain"] / sum(tokens.values()) == pytest.approx(float(shares["plain"]), abs=0.03)

    command = (ground.folder / "command.txt").read_text().split()
    done = CliRunner().invoke(app, command[1:], catch_exceptions=False)
    assert done.stdout == (ground.folder / "mixture.yaml").read_text()
    assert yaml.safe_load(done.stdout)["weights"] == mixture["weights"]

    finished = {path: path.stat().st_mtime_ns for path in (ground.folder / "runs").rglob("finished.json")}
    assert len(finished) == 3
    assert find_mixture(ground) == mixture
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
