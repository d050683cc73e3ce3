"""The tables of a study, from what its trainings wrote.

```
OUT/results.csv   study,arm,model,seed,step,tokens,positions,evaluation,source,metric,value
OUT/arms.csv      arm,model,about,trained_tokens,positions,parameters
OUT/times.csv     arm,model,seed,seconds,device
OUT/weights.csv   arm,domain,weight            the mixture that an arm's phases were given, all together
```
"""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import byline
from byline.lab.arms import ArmRun
from byline.lab.study import Study
from byline.lab.training.loop import FINISHED, METRICS


def write_tables(study: Study, runs: Sequence[ArmRun], out: Path) -> None:
    """Writes the tables of trainings that have finished."""
    _write(out / "results.csv", ("study", "arm", "model", "seed", *METRICS), _results(study, runs))
    _write(out / "arms.csv", ("arm", "model", "about", "trained_tokens", "positions", "parameters"), _arms(study, runs))
    times = [[run.arm, run.model, run.seed, _facts(run)["seconds"], run.task.settings.device] for run in runs]
    _write(out / "times.csv", ("arm", "model", "seed", "seconds", "device"), times)
    _write(out / "weights.csv", ("arm", "domain", "weight"), _weights(runs))


def _results(study: Study, runs: Iterable[ArmRun]) -> Iterable[list[Any]]:
    for run in runs:
        with Path(run.task.folder, "metrics.csv").open(encoding="utf-8", newline="") as lines:
            for line in list(csv.reader(lines))[1:]:
                yield [study.name, run.arm, run.model, run.seed, *line]


def _arms(study: Study, runs: Iterable[ArmRun]) -> Iterable[list[Any]]:
    for run in {(run.arm, run.model): run for run in runs}.values():
        about = study.arms[run.build.name].about
        counts = [run.build.trained_tokens, run.build.positions]
        yield [run.arm, run.model, about, *counts, _facts(run)["parameters"]]


def _weights(runs: Iterable[ArmRun]) -> Iterable[list[Any]]:
    for build in {run.build.name: run.build for run in runs}.values():
        phases = [phase for phase, _ in byline.read_manifest(build.out).training_order()]
        total = sum(phase.tokens for phase in phases)
        domains = sorted({domain for phase in phases for domain in phase.mixture})
        for domain in domains:
            asked = sum(
                phase.mixture[domain]["requested"] * phase.tokens for phase in phases if domain in phase.mixture
            )
            yield [build.name, domain, asked / total]


def _facts(run: ArmRun) -> dict[str, Any]:
    return json.loads(Path(run.task.folder, FINISHED).read_text(encoding="utf-8"))


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink, lineterminator="\n").writerows([names, *rows])


def write_report(study: Study, parts: Sequence[Study], out: Path, command: str) -> None:
    """Writes the figures and the page."""
