"""A Spark and a Flink cluster of processes on this machine, one after the other, started once and stopped at the end.

They are those of `make spark-up` and `make flink-up`; one that is up already is used, and left up. Needs Java 17 and
Maven.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from byline.pipelines.runners import settings as runner_settings
from byline.pipelines.runners.settings import RunnerSettings
from tests.support.processes import stat_fields

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "out/clusters"
# What runs the tasks, by a word of its command line.
RUNS_TASKS = {
    "spark": "org.apache.spark.executor.CoarseGrainedExecutorBackend",
    "flink": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}


def load_cluster() -> ModuleType:
    """docker/cluster.py as a module, which is in no package."""
    spec = importlib.util.spec_from_file_location("cluster", ROOT / "docker/cluster.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["cluster"] = found
    spec.loader.exec_module(found)
    return found


@dataclass(frozen=True)
class Engine:
    """A cluster that is up."""

    name: str
    options: tuple[str, ...]

    def settings(self, *more: str) -> RunnerSettings:
        """How to run on it; `more` options take the place of its own."""
        names = {option.partition("=")[0] for option in more}
        own = (option for option in self.options if option.partition("=")[0] not in names)
        return RunnerSettings(runner=self.name, options=(*own, *more))

    def services(self, name: str) -> list[dict]:
        """The services whose names begin so (`spark-worker`), in the order of their start."""
        return [item for item in _state(self.name)["services"] if item["name"].startswith(name)]

    def pids(self, service: str) -> list[int]:
        """Process ids of the services whose names begin so."""
        return [item["pid"] for item in self.services(service)]

    def task_runners(self) -> list[int]:
        """The JVMs that run tasks now: of Spark, the newest job's executors; of Flink, its task managers."""
        found = []
        for pid in processes_of(self.pids("")):
            command = command_line(pid)
            if RUNS_TASKS[self.name] in command:
                # An application's id begins with the time; those of a job that is over take a moment to end.
                job = command[command.index("--app-id") + 1] if "--app-id" in command else ""
                found.append((job, pid))
        return sorted(pid for job, pid in found if job == max(found)[0])


def processes_of(leaders: list[int]) -> list[int]:
    """Living processes of the groups that these started; each service leads one of its own."""
    found = []
    for path in Path("/proc").iterdir():
        fields = stat_fields(int(path.name)) if path.name.isdigit() else None
        if fields is not None and int(fields[2]) in leaders and fields[0] not in "ZX":
            found.append(int(path.name))
    return found


def command_line(pid: int) -> list[str]:
    """A process's arguments; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def cluster(command: str, name: str) -> int:
    """Runs docker/cluster.py; its output is shown where a test fails."""
    # Steps of the tests' own are in `tests`, and the pool of workers does not look into its current folder.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "docker/cluster.py", command, name]
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


def _state(name: str) -> dict:
    return json.loads((FOLDER / name / "state.json").read_text())


@pytest.fixture
def scans_are_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the token store of a test is, the scans of its plan run on the engine."""
    monkeypatch.setattr(runner_settings, "SMALL_SCAN_BYTES", 0)


@pytest.fixture(scope="session", params=("spark", "flink"))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = request.param
    was_up = cluster("status", name) == 0
    assert was_up or cluster("up", name) == 0
    yield Engine(name, tuple(_state(name)["options"]))
    if not was_up:
        cluster("down", name)
