"""What a configuration is checked for as a whole, before anything is read: names, folders, shares, fields of sources.

```
phases.main.condition.template: source 'web' has no field 'hots'; it has: host, url, ..., quality
```
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from byline import locations
from byline.errors import BylineError
from byline.schemas.documents import RESERVED_NAMES, SIZES
from byline.schemas.fields import FIELDS
from byline.schemas.loss_weights import check_weights, document_weight, weights_key
from byline.schemas.mixtures import Mixture
from byline.schemas.model import first_twice
from byline.schemas.orders import SourceSequence, StageSources
from byline.schemas.orders.by_number import check_number
from byline.schemas.recipe import Holdout, Selection, Stage
from byline.template import Template

if TYPE_CHECKING:
    from byline.schemas.config import Config


def check_config(config: "Config") -> None:
    """Checks the whole of a configuration; reads nothing.

    Raises:
        BylineError: a mistake; names its key and what to do.
    """
    _check_attributes(config)
    _check_names(config)
    _check_folders(config)
    _check_sources(config)
    _check_shares(config)
    _check_replace(config)
    for where, stage in config.located_stages():
        _check_mixture(config, f"{where}.mixture" if stage.mixture else "mixture", config.mixture_of(stage))
        _check_stage(config, where, stage)
    if isinstance(config.tokens, int) and config.tokens < config.sequence.length:
        raise BylineError(f"tokens: {config.tokens} is less than one sequence of {config.sequence.length}")


def _check_names(config: "Config") -> None:
    for source, settings in config.sources.items():
        names = [*settings.score, *settings.keep, *settings.made_fields]
        for name, classifier in config.classifiers.items():
            if name not in settings.score:
                names += [name] if classifier.label is not None else [name, f"{name}_score"]
        names += [column for name, made in config.attributes_of(source).items() for column in made.column_types(name)]
        for name in names:
            if name in RESERVED_NAMES or name in FIELDS:
                raise BylineError(_own_name(config, source, name))
        if (twice := first_twice(names)) is not None:
            raise BylineError(f"sources.{source}: two columns are called {twice!r}; give one another name")
    phases = [phase.name for phase in config.phases]
    branches = [branch.name_at(at) for branch in config.branches for at in branch.at]
    holdouts = [] if config.holdout is None else [config.holdout.name]
    for where, names, kind in (
        ("phases", phases, "phases"),
        ("branches", phases + branches, "phases or branches"),
        ("holdout", phases + branches + holdouts, "phases, branches or holdouts"),
    ):
        for name in names:
            # What readers of folders of Arrow files leave out; names of Byline's own files begin so.
            if name.startswith("_"):
                raise BylineError(f"{where}: {name!r} begins with '_', so readers would skip its folder; rename it")
        # Some disks take `Main` and `main` for one folder.
        if (twice := first_twice([name.lower() for name in names])) is not None:
            same = sorted({name for name in names if name.lower() == twice})
            called = repr(same[0]) if len(same) == 1 else f"{same[0]!r} and {same[1]!r}, one name on some disks"
            raise BylineError(
                f"{where}: two {kind} are called {called}; each has a folder of its own, so give one another name"
            )


def _check_attributes(config: "Config") -> None:
    for name, settings in config.attributes.items():
        for source in settings.sources or ():
            if source not in config.sources:
                raise BylineError(
                    f"attributes.{name}.sources: there is no source {source!r}; the sources are "
                    f"{', '.join(sorted(config.sources))}"
                )


def _check_folders(config: "Config") -> None:
    if os.path.isabs(config.store) != os.path.isabs(config.output):
        # It would depend on the current folder, which is another one when a finished build is verified.
        return
    store, output = locations.absolute(config.store), locations.absolute(config.output)
    if f"{store}/".startswith(f"{output}/"):
        raise BylineError(
            f"store: {config.store} is in `output`, {config.output}, whose readers would take runs for shards; give it "
            "a folder of its own"
        )


def _check_sources(config: "Config") -> None:
    """Keys that name sources."""
    least = config.min_known if isinstance(config.min_known, dict) else {}
    for key, names in (("min_known", least), ("allow_empty", config.allow_empty)):
        for name in names:
            if name not in config.sources:
                raise BylineError(
                    f"{key}: there is no source {name!r}; the sources are {', '.join(sorted(config.sources))}"
                )


def _own_name(config: "Config", source: str, name: str) -> str:
    """What to do about a column of a source that is called as one of Byline's own."""
    settings = config.sources[source]
    makers = [own for own, made in config.attributes_of(source).items() if name in made.column_types(own)]
    where, advice = f"classifiers.{name}", f"call the classifier otherwise, as in my_{name}"
    if name in settings.score:
        where = f"sources.{source}.score.{name}"
        advice = f"give it another name: score: {{my_{name}: {settings.score[name]}}}"
    elif makers:
        where, advice = f"attributes.{makers[0]}", f"give it another name, as my_{name}"
    elif name in settings.keep:
        where, kept = f"sources.{source}.keep", settings.keep[name]
        kind = "" if kept.type == "string" else f", type: {kept.type}"
        advice = f"keep it under another name: keep: {{my_{name}: {{path: {settings.kept_paths[name]}{kind}}}}}"
    return f"{where}: {name!r} is the name of a column or template field of Byline's own; {advice}"


def _check_shares(config: "Config") -> None:
    total = sum(phase.share for phase in config.phases)
    if total != 1:
        raise BylineError(f"phases: the shares sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}")


def _check_mixture(config: "Config", where: str, mixture: Mixture) -> None:
    if mixture.label_field is not None:
        _check_labels(config, where, mixture, mixture.label_field)
        return
    for name in sorted(mixture.mentioned):
        if name not in config.sources:
            raise BylineError(
                f"{where}: there is no source {name!r}; the sources are {', '.join(sorted(config.sources))}"
            )


def _check_labels(config: "Config", where: str, mixture: Mixture, name: str) -> None:
    """What a mixture is by: a field that some source has, or in bins a number, of one type wherever it is one."""
    sources = config.sources_with(name)
    numbers = {source: config.numbers_of(source) for source in config.sources}
    if not sources:
        of_sources = [{**config.columns_of(source), **config.attribute_columns_of(source)} for source in config.sources]
        known = sorted({*FIELDS, *SIZES, *(column for columns in of_sources for column in columns)})
        raise BylineError(f"{where}.by: no source has a field {name!r}; they have: {', '.join(known)}")
    if mixture.bins is not None:
        check_number(f"{where}.by", name, StageSources({source: numbers[source] for source in sources}, False))
    elif any(numbers[source].get(name) in ("float32", "float") for source in sources):
        raise BylineError(
            f"{where}: `by: {name}` is a number, so it needs `bins`: how many, or the borders between them"
        )


def _check_stage(config: "Config", where: str, stage: Stage) -> None:
    sources = config.sources_of(stage)
    for number, step in enumerate(stage.select):
        path = f"{where}.select" if len(stage.select) == 1 else f"{where}.select.{number}"
        _check_step(config, path, step, stage)
    _check_marks_tokens(config, f"{where}.mask", stage.mask)
    stage.ordering.check(where, _stage_sources(config, stage, sources))
    if isinstance(stage.ordering, SourceSequence) and config.mixture_of(stage).label_field is not None:
        raise BylineError(f"{where}.order: one source after the other needs a mixture between sources")
    _check_weights(config, where, stage)
    if isinstance(stage, Holdout) and stage.field is not None:
        for source in sources:
            _check_field(config, f"{where}.by", stage.field, source)
    if stage.condition is not None:
        for source in sources:
            _check_template(config, f"{where}.condition", stage.condition.template, source)
        for name in stage.condition.bins:
            check_number(f"{where}.condition.bins", name, _stage_sources(config, stage, sources))


def _check_marks_tokens(config: "Config", where: str, names: Iterable[str]) -> None:
    ranged = [own for own, made in config.attributes.items() if "ranges" in made.column_types(own).values()]
    for name in names:
        if name not in ranged:
            known = f"those that mark tokens are {', '.join(ranged)}" if ranged else "no attribute marks tokens"
            raise BylineError(f"{where}: {name!r} is no attribute that marks tokens; {known}")


def _check_replace(config: "Config") -> None:
    """What is replaced, and that its placeholder stands for nothing else in a sequence."""
    _check_marks_tokens(config, "replace", config.replace)
    settings = config.tokenizer
    formatters = [source.formatter for source in config.sources.values() if source.formatter is not None]
    uses: dict[str | None, str] = {
        **dict.fromkeys((name for formatter in formatters for name in formatter.token_names), "a formatter's"),
        **dict.fromkeys(config.marker_names, "a condition's"),
    }
    uses |= {settings.pad: "tokenizer.pad", settings.eos: "tokenizer.eos", settings.bos: "tokenizer.bos"}
    for name, token in config.replace.items():
        if token in uses:
            raise BylineError(
                f"replace.{name}: {token!r} is {uses[token]} already, so a placeholder could not be told from it; give "
                "one that is used for nothing else, such as one of tokenizer.add"
            )


def _check_weights(config: "Config", where: str, stage: Stage) -> None:
    """The loss weights of a stage; errors name the section that they are from."""
    weights, sources = config.weights_of(stage) or {}, config.sources_of(stage)
    where = weights_key(where, stage.loss_weight)
    check_weights(where, weights, {source: config.numbers_of(source) for source in config.sources})
    if sources and all(document_weight(weights.get(source)) == 0 for source in sources):
        raise BylineError(f"{where}: all documents of {stage.name!r} have weight 0, so it would train nothing")


def _check_step(config: "Config", where: str, step: Selection, stage: Stage) -> None:
    for name in step.sources or ():
        if name not in config.sources:
            known = ", ".join(sorted(config.sources))
            raise BylineError(f"{where}.sources: there is no source {name!r}; the sources are {known}")
    sources = [name for name in config.sources_of(stage) if step.sources is None or name in step.sources]
    if step.by is not None:
        check_number(f"{where}.by", step.by, _stage_sources(config, stage, sources))
    for source in sources:
        for name in (*step.allow, *step.deny):
            _check_field(config, where, name, source)
    for name in step.drop:
        flags = {
            column for own in sources for column, kind in config.attribute_columns_of(own).items() if kind == "bool"
        }
        if name not in flags:
            known = f"those are {', '.join(sorted(flags))}" if flags else "there is none"
            raise BylineError(f"{where}.drop: {name!r} is no column of an attribute that is true or false; {known}")


def _stage_sources(config: "Config", stage: Stage, sources: list[str]) -> StageSources:
    return StageSources({name: config.numbers_of(name) for name in sources}, config.mixture_of(stage).is_schedule)


def _check_template(config: "Config", where: str, template: str, source: str) -> None:
    for name in Template(template).fields:
        _check_field(config, f"{where}.template", name, source)


def _check_field(config: "Config", where: str, name: str, source: str) -> None:
    if source not in config.sources_with(name):
        of_attributes = [own for own, kind in config.attribute_columns_of(source).items() if kind != "ranges"]
        known = ", ".join([*FIELDS, *config.columns_of(source), *of_attributes, *SIZES])
        is_several = name == "problem" and config.sources[source].format == "arithmetic"
        advice = f"; with sources.{source}.arithmetic.per_document: 1, each document has one" if is_several else ""
        raise BylineError(f"{where}: source {source!r} has no field {name!r}; it has: {known}{advice}")
