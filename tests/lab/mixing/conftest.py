"""A study of two styles of additions whose one arm finds its mixture; its trainings run in this process."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from byline.lab.building import Builds
from byline.lab.mixing import ground as ground_module
from byline.lab.mixing.ground import Ground
from byline.lab.study import parse_study
from byline.lab.tasks import Task
from byline.pipelines.cli import app

ARITHMETIC = {"digits": 1, "examples": 3000}
STUDY = {
    "name": "tiny",
    "title": "Two styles of additions",
    "config": {
        "sources": {
            "plain": {"format": "arithmetic", "arithmetic": ARITHMETIC},
            "reverse": {"format": "arithmetic", "arithmetic": {**ARITHMETIC, "style": "reverse", "examples": 6000}},
        },
        "phases": [{"name": "main", "share": 1}],
        "sequence": {"length": 64, "packing": "best_fit"},
        "holdout": {"share": 0.1, "by": "problem"},
        "shortage": "repeat",
    },
    "tokens": "12K",
    "training": {"models": ["0.1M"], "steps": 24, "seeds": [0]},
    "evaluations": {"own": {"sequences": 8}},
}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of what was trained, in order, which fills as it is."""
    folders: list[str] = []

    def run_here(tasks: Sequence[Task], workers: int, console: Console) -> None:
        for task in tasks:
            if not task.is_finished:
                folders.append(task.folder)
                Task.read(task.write()).run()

    monkeypatch.setattr(ground_module, "run_tasks", run_here)
    return folders


@pytest.fixture
def make_ground(tmp_path: Path, trained: list[str]) -> Callable[..., Ground]:
    """The ground of an arm with a way to find its mixture."""

    def make(**find: Any) -> Ground:
        study = parse_study({**STUDY, "arms": {"arm": {"find": find}}}, "tiny.yaml")
        console = Console(file=(tmp_path / "said").open("w"))
        (tmp_path / "out").mkdir()
        return Ground(study, Builds(study, tmp_path / "out", console), "arm", 2, "cpu", console)

    return make


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def told_again(ground: Ground) -> str:
    """What the command beside a mixture writes."""
    command = (ground.folder / "command.txt").read_text().split()
    assert command[:2] == ["byline", "weights"]
    return CliRunner().invoke(app, command[1:], catch_exceptions=False).stdout
