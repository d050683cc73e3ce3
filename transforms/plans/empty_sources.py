"""Sources of which nothing is left: by their filters, or by what a stage selects.

```
web     100 documents read, all dropped (filter_words 100)       an error, unless allow_empty has it
code    none is selected by phases.main                          likewise, unless the stage leaves it out by name
weights {web: 0.5, code: 0.5} and nothing of code                always an error, and so it is of a label
```
"""

from collections.abc import Iterable, Mapping

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.ledger import Amount, SourceLedger
from byline.schemas.recipe import Holdout, Stage
from byline.schemas.store import RunInfo
from byline.transforms.plans.intervals import Stream
from byline.transforms.plans.strata import Strata


def check_kept(config: Config, runs: Iterable[RunInfo]) -> None:
    """Refuses a source that a stage may draw from, and of which no document is in the token store.

    Raises:
        BylineError: says why they were dropped, and what to do.
    """
    drawn = {name for stage in config.stages for name in config.sources_of(stage)}
    by_source: dict[str, list[RunInfo]] = {name: [] for name in config.sources}
    for run in runs:
        by_source[run.source].append(run)
    for name in sorted(drawn - set(config.allow_empty)):
        ledger = SourceLedger.of(by_source[name], Amount(), {})
        if ledger.kept.documents:
            continue
        dropped = ", ".join(f"{reason} {number:,}" for reason, number in ledger.dropped.items())
        why = f"all {ledger.read.documents:,} that were read are dropped ({dropped})" if dropped else "it has no record"
        raise BylineError(
            f"sources.{name}: no document is left: {why}; change its `filter` or `path`, leave it out, or allow it: "
            f"allow_empty: [{name}]"
        )


def strata_with_documents(config: Config, number: int, streams: Mapping[str, Stream], strata: Strata) -> list[str]:
    """The strata that a stage draws from.

    Args:
        config: the recipe.
        number: of the stage in `Config.stages`.
        streams: stratum -> what the stage selects of it.
        strata: of the recipe.

    Raises:
        BylineError: nothing is selected of a source or a label, or of all sources.
    """
    where, stage = config.located_stages()[number]
    selected = {
        source: sum(streams[stratum.name].total for stratum in strata.of_source(source))
        for source in config.sources_of(stage)
    }
    sources = _sources_with_documents(config, where, stage, selected)
    drawn = [
        name
        for name in strata.of_stage(config, number)
        if strata.by_name[name].source in sources and streams[name].total > 0
    ]
    mixture, mixed = config.mixture_of(stage), {strata.mixed_as(number, name) for name in drawn}
    for label in sorted(mixture.named or ()) if mixture.label_field is not None else ():
        if label not in mixed:
            raise BylineError(
                f"{where}: it selects no document of {mixture.label_field} {label!r}; change its `select`, or give the "
                f"label no weight"
            )
    return drawn


def _sources_with_documents(config: Config, where: str, stage: Stage, selected: Mapping[str, int]) -> list[str]:
    """The sources of which a stage selects some tokens; `selected`: how many of each that it may draw from."""
    names = list(selected)
    if isinstance(stage, Holdout):
        held = [name for name in names if selected[name] > 0]
        if not held:
            raise BylineError(
                "holdout: it holds out no document; raise its `share`, check its `select`, or leave it out"
            )
        return held
    empty = [name for name in names if selected[name] == 0]
    mixture = config.mixture_of(stage)
    has_weights = mixture.named is not None and mixture.label_field is None
    if len(empty) == len(names) and not has_weights:
        raise BylineError(f"{where}: it selects no document of any source; check the paths and its `select`")
    for name in empty:
        if has_weights:
            raise BylineError(
                f"{where}: it selects no document of source {name!r}; change its `select`, check what "
                f"sources.{name}.path matches, or leave the source out of the mixture"
            )
        if name not in config.allow_empty and not _is_left_out_by_name(stage, name):
            raise BylineError(
                f"{where}: it selects no document of source {name!r}; change its `select`, or allow it: "
                f"allow_empty: [{name}]"
            )
    return [name for name in names if name not in empty]


def _is_left_out_by_name(stage: Stage, source: str) -> bool:
    """Whether a list of sources leaves one out, so that it is meant."""
    return any(
        source not in step.allow.get("source", [source]) or source in step.deny.get("source", ())
        for step in stage.select
        if step.sources is None or source in step.sources
    )
