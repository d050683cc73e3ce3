"""A Spark and a Flink cluster of processes on this machine, one after the other, started once and stopped at the end.

They are those of `make spark-up` and `make flink-up`; one that is up already is used, and left up. Needs Java 17 and
Maven.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.runner import RunnerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "out/clusters"


@dataclass(frozen=True)
class Engine:
    """A cluster that is up."""

    name: str
    options: tuple[str, ...]

    def settings(self, *more: str) -> RunnerSettings:
        """How to run on it; `more` options win over its own."""
        return RunnerSettings(runner=self.name, options=(*self.options, *more))

    def pids(self, service: str) -> list[int]:
        """Process ids of the services whose names begin so (`spark-worker`), in the order of their start."""
        return [item["pid"] for item in _state(self.name)["services"] if item["name"].startswith(service)]


def cluster(command: str, name: str) -> int:
    """Runs docker/cluster.py; its output is shown where a test fails."""
    return subprocess.run([sys.executable, "docker/cluster.py", command, name], cwd=ROOT, check=False).returncode


def _state(name: str) -> dict:
    return json.loads((FOLDER / name / "state.json").read_text())


@pytest.fixture(scope="session", params=("spark", "flink"))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = request.param
    was_up = cluster("status", name) == 0
    assert was_up or cluster("up", name) == 0
    yield Engine(name, tuple(_state(name)["options"]))
    if not was_up:
        cluster("down", name)
