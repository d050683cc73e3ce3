"""The tables of a study, from what its trainings wrote, and the page that is made of them.

```
OUT/results.csv   study,arm,model,seed,step,tokens,positions,evaluation,source,metric,value
OUT/arms.csv      arm,model,about,trained_tokens,positions,parameters
OUT/times.csv     arm,model,seed,seconds,device
OUT/weights.csv   arm,domain,weight            the mixture that an arm's phases were given, all together
```
"""

import csv
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

import byline
from byline.lab.arms import ArmRun
from byline.lab.results.figures import draw, parse_figures
from byline.lab.results.kinds import Known
from byline.lab.results.page import Described, PageFacts, Section, write_page
from byline.lab.results.statements import answers, parse_statements
from byline.lab.results.table import read_results
from byline.lab.results.text_tables import main_table, show_table
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


def check_report(study: Study) -> None:
    """Checks the figures and statements of a study without parts. Raises: BylineError: one is wrong; one line."""
    known = Known(list(study.arms), list(study.evaluations))
    parse_figures(study.figures, known)
    parse_statements(study.statements, known)


def write_report(study: Study, parts: Sequence[Study], out: Path, command: str, console: Console) -> None:
    """Writes the figures and the page, and shows the main tables."""
    sections = []
    for part in parts:
        folder = out / part.name if study.parts else out
        section = _section(part, folder)
        (folder / "figures").mkdir(exist_ok=True)
        for figure in section.figures:
            figure.save(folder / "figures")
        console.print(f"\n{part.title}", highlight=False, markup=False, style="bold")
        # On a page one table has room for all metrics, in a terminal it has not.
        for metric in part.metrics:
            show_table(main_table(section.results, [metric]), console)
        for statement in section.statements:
            console.print(f"{statement.question} {statement.verdict.value}", highlight=False, markup=False)
            console.print(f"  {statement.answer}", highlight=False, markup=False)
        sections.append(section)
    facts = PageFacts(study.title, study.about, [command], _versions(), study.notes if study.parts else ())
    write_page(out / "index.html", facts, sections)


def _section(study: Study, folder: Path) -> Section:
    results = read_results(folder)
    known = Known(list(study.arms), list(study.evaluations))
    return Section(
        name=study.name,
        title=study.title,
        about=study.about,
        results=results,
        figures=[draw(one, results) for one in parse_figures(study.figures, known)],
        statements=answers(parse_statements(study.statements, known), results),
        metrics=study.metrics,
        arms=[Described(name, arm.about, _difference(arm.config, arm.find)) for name, arm in study.arms.items()],
        evaluations=[Described(name, one.about, _difference(one.config)) for name, one in study.evaluations.items()],
        training=_training(study),
        notes=study.notes,
        recipe=(folder / "recipe.yaml").read_text(encoding="utf-8"),
    )


def _difference(config: Mapping[str, Any], find: Mapping[str, Any] | None = None) -> str:
    values = {**config, **({} if find is None else {"find": dict(find)})}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None) if values else ""


def _training(study: Study) -> list[tuple[str, str]]:
    """What all arms have in common."""
    training = study.training
    counted = "that count in the loss" if study.equal == "trained" else "of all positions"
    return [
        ("tokens", f"{study.tokens:,} {counted}"),
        ("models", ", ".join(training.models)),
        ("steps", f"{training.steps:,}"),
        ("learning rate", str(training.learning_rate)),
        ("schedule", f"{training.schedule}, warm-up {training.warmup:.0%}, decay {training.decay:.0%} of the steps"),
        ("weight decay", f"{training.weight_decay:g}"),
        ("seeds", ", ".join(map(str, training.seeds))),
    ]


def _versions() -> list[tuple[str, str]]:
    names = ("byline", "torch", "numpy", "pyarrow", "tokenizers")
    return [("python", platform.python_version()), *((name, importlib.metadata.version(name)) for name in names)]
