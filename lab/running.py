"""`byline lab RECIPE`: builds, trains every arm with every seed, evaluates, and writes what came of it.

```
byline lab meco --small       OUT = out/lab/meco-small
    OUT/recipe.yaml           the study, as it was run
    OUT/builds, OUT/runs      byline.lab.building, byline.lab.tasks
    OUT/results.csv, arms.csv, times.csv, weights.csv
    OUT/figures/*.svg
    OUT/index.html            the page
```

Whatever stands there is not made again, so a run that was stopped goes on. What a part of a recipe needs is below
OUT/PART, and the page is one.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from rich.console import Console

from byline.errors import BylineError
from byline.lab.arms import ArmRun, arm_runs, evaluated_rows
from byline.lab.building import Builds, check_disjoint
from byline.lab.corpora.kinds import corpus_of
from byline.lab.mixing.finding import check_find, find_mixture
from byline.lab.mixing.ground import Ground
from byline.lab.reporting import check_report, write_report, write_tables
from byline.lab.study import Study, read_study
from byline.lab.tasks import run_tasks
from byline.lab.training.model import size_named
from byline.lab.training.schedules import schedule_named
from byline.pipelines.jobs.locking import locked
from byline.schemas.yaml_text import load_yaml
from byline.transforms.files.storage import write_file

# Keys of a study that change what is shown, and nothing that is built or trained.
SHOWN = ("title", "about", "metrics", "figures", "statements", "notes")


def run(
    recipe: str,
    console: Console,
    scale: str | None = None,
    output: str | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    device: str | None = None,
) -> None:
    """Runs a study, or goes on with it.

    Args:
        recipe: its name or path.
        scale: `small`, `smoke` or None for the whole.
        output: the folder for all of it; None for `out/lab/RECIPE[-SCALE]`.
        overrides: settings such as `training.steps=100`; of a recipe with parts, for each of them.
        workers: trainings at a time; None for one a core, and one on a GPU.
        device: `cpu` or `cuda`; None for the latter where there is one.

    Raises:
        BylineError: the recipe, its data or a training is wrong, or the folder is of another study; one line.
    """
    study = read_study(recipe, scale, overrides)
    out = Path(output or f"out/lab/{study.name}{f'-{scale}' if scale else ''}").absolute()
    parts = [read_study(part, scale, overrides) for part in study.parts] or [study]
    for part in parts:
        if part.parts:
            raise BylineError(f"{study.name}: its part {part.name} has parts of its own; name those instead")
        _check(part)
    device = _device(device)
    workers = workers or (1 if device == "cuda" else len(os.sched_getaffinity(0)))
    out.mkdir(parents=True, exist_ok=True)
    with locked("lab", [str(out)], console):
        for part in parts:
            folder = out / part.name if study.parts else out
            _keep_recipe(part, folder)
            run_part(part, folder, workers, device, console)
        write_report(study, parts, out, command_of(recipe, scale, overrides, device), console)
    console.print(f"page      {out / 'index.html'}", highlight=False, markup=False)


def run_part(study: Study, out: Path, workers: int, device: str, console: Console) -> None:
    """Builds and trains what is missing of a study without parts, and writes its tables."""
    builds = Builds(study, out, console)
    timelines: list[ArmRun] = []
    branches: list[ArmRun] = []
    for name in study.arms:
        mixture = find_mixture(Ground(study, builds, name, workers, device, console))
        build = builds.arm(name, study.arms[name], {} if mixture is None else {"mixture": mixture})
        evaluations = evaluated_rows(study, builds, name)
        for one in evaluations:
            if one.is_holdout:
                check_disjoint(build.out, Path(one.out))
        of_timeline, of_branches = arm_runs(study, build, evaluations, device)
        timelines += of_timeline
        branches += of_branches
    for runs in (timelines, branches):
        run_tasks([one.task for one in runs], workers, console)
    write_tables(study, [*timelines, *branches], out)


def _device(asked: str | None) -> str:
    """Where is trained. Raises: BylineError: there is no such device."""
    has_gpu = torch.cuda.is_available()
    if asked is None:
        return "cuda" if has_gpu else "cpu"
    if asked not in ("cpu", "cuda"):
        raise BylineError(f"--device {asked}: expected cpu or cuda")
    if asked == "cuda" and not has_gpu:
        raise BylineError("--device cuda: PyTorch finds no GPU here; leave --device out, or install torch with CUDA")
    return asked


def _check(study: Study) -> None:
    """What would only be noticed after hours. Raises: BylineError."""
    check_report(study)
    for model in study.training.models:
        size_named(model)
        study.training.rate_of(model)
    schedule_named(study.training.schedule)
    for name, corpus in study.corpora.items():
        corpus_of(corpus, f"corpora.{name}")
    for name in study.arms:
        check_find(study, name)


def _keep_recipe(study: Study, folder: Path) -> None:
    """Writes `recipe.yaml`. Raises: BylineError: what is there is another study."""
    values = study.model_dump(mode="json", by_alias=True)
    path = folder / "recipe.yaml"
    if path.exists():
        there = load_yaml(path)
        for key in values.keys() | there.keys():
            if key not in SHOWN and there.get(key) != values.get(key):
                raise BylineError(
                    f"{folder}: is of a study with another `{key}`; give another --output, or remove this folder"
                )
    with write_file(str(path)) as sink:
        sink.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())


def command_of(recipe: str, scale: str | None, overrides: Sequence[str], device: str) -> str:
    """The command that makes the same again."""
    words = [
        shlex.quote(recipe),
        *([f"--{scale}"] if scale else []),
        *(f"--set {shlex.quote(one)}" for one in overrides),
    ]
    return f"byline lab {' '.join(words)} --device {device}"
