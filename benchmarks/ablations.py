"""What it costs to try a recipe on a prepared corpus: every recipe of `configs/ablation`, from one token store.

```
byline sample out/sample
python -m benchmarks.ablations                                            the sample corpus, a minute
python -m benchmarks.ablations --set sources.c4=null --set 'mixture={dclm: 0.8, refinedweb: 0.2}'
python -m benchmarks.ablations --base-overrides mine.yaml --workers 8     another corpus
```

`mine.yaml` overrides keys of every recipe: sources, classifiers, tokenizer, sequence.length, tokens, mixture; `--set`
overrides those in turn. The corpus is prepared once, then the recipes are planned and assembled one after another; all
of it is timed. `base.yaml` itself is built first, untimed, to compile the kernels.

```
recipe               tokens  trained  masked  prefix    plan  assemble    both  of preparing
host              1,499,136   95.37%   4.54%     8.5     1.4       0.4     1.8        112.5%
```

masked: prefixes and BOS; the rest is padding. prefix: mean tokens of prefixes in documents that have one, repeated ones
included. Times are in seconds. Starting the pipelines takes about half a second for each recipe, so the last column
means something for a corpus of gigabytes, not for the sample. Everything is written to a temporary folder, or to
`--folder`, which must be empty for the time of preparing to mean anything.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from byline.errors import BylineError
from byline.manifest import Manifest, read_manifest
from byline.pipelines.jobs.assemble import assemble
from byline.pipelines.jobs.plan import make_recipe_plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.config_file import load_config
from byline.schemas.ledger import DrawCounts, Ledger
from byline.transforms.store.state import StoreState

RECIPES = Path("configs/ablation")
BASE = "base"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one recipe.

    Attributes:
        name: of its file.
        tokens: positions of all phases and branches.
        trained, masked: shares of them.
        prefix: mean tokens of prefixes in documents that have one.
        plan, assemble: seconds.
    """

    name: str
    tokens: int
    trained: float
    masked: float
    prefix: float
    plan: float
    assemble: float

    @property
    def seconds(self) -> float:
        return self.plan + self.assemble


def recipe_names(folder: Path) -> list[str]:
    """Every recipe in a folder except the base, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != BASE)


def load_recipe(recipes: Path, name: str, overrides: Path | None, settings: Sequence[str], folder: Path) -> Config:
    """A recipe with the overrides applied, which writes below `folder`."""
    values = {} if overrides is None else yaml.safe_load(overrides.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or "extends" in values:
        raise BylineError(f"{overrides}: expected keys of a configuration, such as `tokens: 10M`, without `extends`")
    file = folder / "recipes" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**values, "extends": str((recipes / f"{name}.yaml").resolve())}), encoding="utf-8")
    return load_config(file, [*settings, f"store={folder / 'store'}", f"output={folder / 'shards' / name}"])


def time_preparing(config: Config, settings: RunnerSettings, console: Console) -> tuple[StoreState, float]:
    """The token store, and the seconds that preparing it took."""
    started = time.perf_counter()
    state = prepare(config, settings, console)
    return state, time.perf_counter() - started


def time_recipe(name: str, config: Config, state: StoreState, settings: RunnerSettings, console: Console) -> Outcome:
    """Plans and assembles a recipe."""
    started = time.perf_counter()
    plan = make_recipe_plan(config, state, [], settings)
    planned = time.perf_counter()
    assemble(config, plan, state.runs, settings, console, overwrite=True)
    return measure(name, read_manifest(config.output), planned - started, time.perf_counter() - planned)


def measure(name: str, manifest: Manifest, plan: float, assembled: float) -> Outcome:
    """Reads an outcome from the manifest's ledger."""
    phases = Ledger.from_json(manifest.ledger).phases.values()
    counts = sum((count for phase in phases for count in phase.sources.values()), DrawCounts())
    tokens = sum(phase.tokens for phase in manifest.phases)
    masked = counts.positions - counts.loss_tokens
    prefix = counts.prefix_tokens / max(counts.conditioned, 1)
    return Outcome(name, tokens, counts.loss_tokens / tokens, masked / tokens, prefix, plan, assembled)


def run(
    recipes: Path,
    names: Sequence[str],
    folder: Path,
    overrides: Path | None = None,
    settings: Sequence[str] = (),
    workers: int | None = None,
) -> Iterator[float | Outcome]:
    """The seconds of preparing, then the outcome of each recipe.

    Args:
        recipes: their folder.
        names: of the recipes, in the order to run them in.
        folder: for everything that is written.
        overrides: a YAML file on top of the base.
        settings: `key=value` on top of that.
        workers: processes; None for the default of `byline build`.

    Raises:
        BylineError: a mistake in a recipe or its overrides.
    """
    configs = {name: load_recipe(recipes, name, overrides, settings, folder) for name in [BASE, *names]}
    runner, console = RunnerSettings(workers=workers), Console(file=io.StringIO())
    state, seconds = time_preparing(configs[BASE], runner, console)
    yield seconds
    time_recipe(BASE, configs[BASE], state, runner, console)
    for name in names:
        yield time_recipe(name, configs[name], state, runner, console)


HEADER = "recipe               tokens  trained  masked  prefix    plan  assemble    both  of preparing"


def line(outcome: Outcome, preparing: float) -> str:
    """A row of the table."""
    return (
        f"{outcome.name:<15}{outcome.tokens:>12,}  {outcome.trained:7.2%}  {outcome.masked:6.2%}  {outcome.prefix:6.1f}"
        f"  {outcome.plan:6.1f}  {outcome.assemble:8.1f}  {outcome.seconds:6.1f}  {outcome.seconds / preparing:12.1%}"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names such as host and topic; default: all")
    parser.add_argument("--base-overrides", type=Path, help="a YAML file on top of base.yaml")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--folder", type=Path, help="keeps what is written")
    arguments = parser.parse_args()
    names = arguments.recipes or recipe_names(RECIPES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        results = run(RECIPES, names, folder, arguments.base_overrides, arguments.settings, arguments.workers)
        try:
            _show(results)
        except BylineError as error:
            raise SystemExit(f"error {error}") from None


def _show(results: Iterator[float | Outcome]) -> None:
    preparing = next(results)
    assert isinstance(preparing, float), preparing
    print(f"preparing, once: {preparing:.1f} s\n\n{HEADER}", flush=True)
    outcomes = []
    for outcome in results:
        assert isinstance(outcome, Outcome), outcome
        outcomes.append(outcome)
        print(line(outcome, preparing), flush=True)
    seconds = sum(outcome.seconds for outcome in outcomes)
    print(f"\n{len(outcomes)} recipes in {seconds:.1f} s, {seconds / preparing:.2f} of preparing")


if __name__ == "__main__":
    main()
