"""The job of `byline build`: prepare what is missing, plan, assemble what is missing."""

import time

from rich.console import Console
from rich.filesize import decimal

from byline import manifest as manifests
from byline.pipelines.console import plan_report
from byline.pipelines.console.notes import show_warnings
from byline.pipelines.jobs.assemble import assemble, show_result
from byline.pipelines.jobs.attribute import make_attributes
from byline.pipelines.jobs.locking import locked
from byline.pipelines.jobs.plan import known_fields, make_recipe_plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.transforms.attributes.attribute_state import used_attributes
from byline.transforms.fields.known_fields import known_warnings
from byline.transforms.files import storage
from byline.transforms.plans.limits import check_asked


def build(config: Config, settings: RunnerSettings, console: Console, *, overwrite: bool = False) -> None:
    """Runs the three steps, and says what each did.

    Raises:
        BylineError: a mistake in the configuration or the input.
    """
    check_asked(config)
    if storage.exists(storage.join(config.output, manifests.FILE_NAME)):
        _build(config, settings, console, overwrite=overwrite)
        return
    storage.check_writable(config.output)
    # From the start: what another command writes there would be noticed hours later.
    with locked("build", [config.output], console):
        _build(config, settings, console, overwrite=overwrite)


def _build(config: Config, settings: RunnerSettings, console: Console, *, overwrite: bool) -> None:
    started = time.monotonic()
    state = prepare(config, settings, console, builds=True)
    prepared = time.monotonic()
    size = sum(run.bytes_read for run in state.runs)
    console.print(
        f"prepare   {decimal(size)} of text in {len(state.runs)} runs, {prepared - started:.1f} s", highlight=False
    )
    attributes = make_attributes(config, state, used_attributes(config), settings, console)
    if attributes:
        show_warnings(known_warnings(config, known_fields(state, attributes)), console)
    plan = make_recipe_plan(config, state, attributes, settings)
    planned = time.monotonic()
    console.print(f"plan      {len(plan.shards())} shards, {planned - prepared:.1f} s", highlight=False)
    plan_report.show(plan_report.report(plan, state), console)
    assemble(config, plan, state.runs, settings, console, overwrite=overwrite)
    console.print(f"assemble  {config.output}, {time.monotonic() - planned:.1f} s", highlight=False, markup=False)
    show_result(config.output, console)
