"""A swarm (RegMix, arXiv 2407.01492; Olmix, arXiv 2602.12237): small proxies on drawn mixtures, and what they lead to.

```
found/swarm/proxies/ratios.csv     run,name,index,code,web     byline weights swarm draw builds/swarm.natural.yaml ...
found/swarm/proxies/priors.yaml    the tokens that there are of each source
found/swarm/runs/run-0000/         the training of a proxy, on the build builds/swarm.run-0000
found/swarm/proxies/metrics.csv    run,name,index,code,web     held-out losses after the last step, by source
found/swarm/mixture.yaml           byline weights swarm fit found/swarm/proxies/ratios.csv ...
```
"""

import csv
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from byline.lab.mixing.ground import Ground
from byline.lab.tasks import Task
from byline.pipelines.jobs.swarm import draw_swarm
from byline.schemas.model import Model, TokenCount
from byline.schemas.swarm_tables import METRICS, RATIOS, runs_text
from byline.transforms.weights.drawing import MIN_WEIGHT, STRENGTHS
from byline.transforms.weights.swarm_files import compute_swarm


class SwarmSettings(Model):
    """`find: {method: swarm, ...}`.

    Attributes:
        tokens, steps: of each proxy, in positions and updates.
        count: proxies.
        seed: of the draw and of the search.
        model: the proxies' size; None for the study's first.
        evaluation: whose losses; None for the study's first.
        targets: sources whose losses count; all without it.
        strengths, min_weight: of the draw.
        regression, kl: of the fit.
        max_epochs: of each source in the arm's own training; None for any number.
    """

    tokens: TokenCount
    steps: int = Field(ge=1)
    count: int = Field(default=16, ge=2)
    seed: int = Field(default=0, ge=0)
    model: str | None = None
    evaluation: str | None = None
    targets: list[str] = Field(default_factory=list)
    strengths: tuple[float, float] = STRENGTHS
    min_weight: float = MIN_WEIGHT
    regression: str = "log_linear"
    kl: float = 0.0
    max_epochs: float | None = None


def find(ground: Ground, settings: SwarmSettings) -> dict[str, Any]:
    """The mixture."""
    folder = ground.folder / "proxies"
    evaluation = ground.evaluation(settings.evaluation)
    proxies = _proxies(ground, settings, folder)
    ground.train(*proxies.values())
    losses = {run: ground.losses(task, evaluation) for run, task in proxies.items()}
    names = sorted(settings.targets or {name for one in losses.values() for name in one})
    text = runs_text(names, list(losses), ([one[name] for name in names] for one in losses.values()))
    (folder / METRICS).write_text(text, encoding="utf-8")
    asked = ground.study.tokens
    assert asked != "all"
    computed = compute_swarm(
        folder,
        regression=settings.regression,
        max_epochs=settings.max_epochs,
        tokens=None if settings.max_epochs is None else asked,
        kl=settings.kl,
        seed=settings.seed,
    )
    for note in computed.notes:
        ground.console.print(f"          {note}", highlight=False, markup=False)
    return ground.keep(computed.command, computed.text)


def _proxies(ground: Ground, settings: SwarmSettings, folder: Path) -> dict[str, Task]:
    """Run -> its training, on a build of the mixture that was drawn for it."""
    # A build of everything, so that the token store is whole and the command has a recipe to extend.
    natural = ground.build("natural", {"tokens": "all", "mixture": "natural"})
    draw_swarm(
        natural.out.with_name(f"{natural.name}.yaml"),
        folder,
        settings.count,
        settings.seed,
        str(settings.tokens),
        strengths=settings.strengths,
        min_weight=settings.min_weight,
        max_epochs=None,
        workers=1,
        console=ground.console,
    )
    with (folder / RATIOS).open(encoding="utf-8", newline="") as lines:
        runs = [row["run"] for row in csv.DictReader(lines)]
    model = settings.model or ground.study.training.models[0]
    tasks = {}
    for run in runs:
        recipe = yaml.safe_load((folder / f"{run}.yaml").read_text(encoding="utf-8"))
        build = ground.build(run, {"tokens": recipe["tokens"], "mixture": recipe["mixture"]})
        tasks[run] = ground.task(f"runs/{run}", build, model, settings.steps)
    return tasks
