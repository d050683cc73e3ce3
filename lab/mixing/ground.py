"""What a way to find a mixture works with: builds and trainings of its own in one folder."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from byline.errors import BylineError
from byline.lab.arms import evaluated_rows, training_settings
from byline.lab.building import ArmBuild, Builds
from byline.lab.study import Study
from byline.lab.tasks import Task, run_tasks
from byline.schemas.config_file import merge


@dataclass(frozen=True)
class Ground:
    """An arm's own.

    Attributes:
        study, builds: of the arm.
        arm: its name.
        workers, device, console: of the run.
    """

    study: Study
    builds: Builds
    arm: str
    workers: int
    device: str
    console: Console

    @property
    def folder(self) -> Path:
        """OUT/found/ARM, which is there."""
        path = self.builds.out / "found" / self.arm
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def sources(self) -> list[str]:
        """Names of the sources, sorted: the domains."""
        return sorted(self.config["sources"])

    @property
    def config(self) -> dict[str, Any]:
        """The arm's configuration, before it has a mixture."""
        return merge(self.study.config, self.study.arms[self.arm].config)

    def uniform(self) -> dict[str, Any]:
        """Each source with the same weight."""
        return {"method": "weights", "weights": {name: f"1/{len(self.sources)}" for name in self.sources}}

    def build(self, name: str, over: Mapping[str, Any]) -> ArmBuild:
        """A build of the arm's configuration with some of it changed."""
        return self.builds.build(f"{self.arm}.{name}", merge(self.config, over))

    def task(self, name: str, build: ArmBuild, model: str, steps: int, seed: int = 0, **changes: Any) -> Task:
        """A training on a build, evaluated after its last step; `changes` are of its settings."""
        training = self.study.training.model_copy(update={"steps": steps, "evaluations": 1})
        settings = replace(training_settings(training, model, seed, build.out, self.device), **changes)
        evaluations = evaluated_rows(self.study, self.builds, self.arm)
        return Task(str(self.folder / name), str(build.out), settings, evaluations)

    def train(self, *tasks: Task) -> None:
        """Trains what is not finished."""
        run_tasks(tasks, self.workers, self.console)

    def losses(self, task: Task, evaluation: str, step: int | None = None) -> dict[str, float]:
        """Source -> its loss in an evaluation of a training that has finished, after its last step or another."""
        with Path(task.folder, "metrics.csv").open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["evaluation"] == evaluation and row["metric"] == "loss"]
        wanted = str(task.settings.steps if step is None else step)
        return {row["source"]: float(row["value"]) for row in rows if row["step"] == wanted and row["source"] != "all"}

    def keep(self, command: str, text: str) -> dict[str, Any]:
        """Writes a mixture file and the command that writes it; returns the mixture."""
        (self.folder / "mixture.yaml").write_text(text, encoding="utf-8")
        (self.folder / "command.txt").write_text(f"{command}\n", encoding="utf-8")
        values = yaml.safe_load(text)
        return values if "method" in values else {"method": "weights", **values}

    def evaluation(self, name: str | None) -> str:
        """The evaluation whose losses count; the first one if none is named. Raises: BylineError: there is none."""
        chosen = name or next(iter(self.study.evaluations))
        if chosen not in self.study.evaluations:
            raise BylineError(f"arms.{self.arm}.find.evaluation: there is no evaluation {chosen!r}")
        return chosen


def write_table(path: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Path:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink, lineterminator="\n").writerows([names, *rows])
    return path
