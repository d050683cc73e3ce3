"""The configuration: one YAML file, checked before anything is read.

```yaml
sources:                                                   # this half decides the token store (byline.schemas.corpora)
  mine: {format: jsonl, path: "data/*.jsonl", fields: {text: body, url: meta.link}, keep: [license]}
classifiers:
  quality: {model: quality.bin, label: __label__hq}
filter: [gopher_quality, {words: {at_least: 20}}]
tokenizer: {file: tokenizer.json, bos: "<|endoftext|>", eos: "<|endoftext|>"}
sequence: {length: 2048, packing: document_start}      # this half decides the plan and the shards (schemas/recipe.py)
tokens: 10M
mixture: natural
phases:
  - {name: conditioned, share: 0.9, select: {top: 0.7, by: quality}, condition: {template: "URL: {host}\n\n"}}
  - {name: cooldown,    share: 0.1, select: {top: 0.7, by: quality}}
store: out/store
output: out/shards
```

Paths are relative to the folder the command runs in. `byline.schemas.config_file` reads the file.
"""

import os
from fractions import Fraction
from typing import Literal

from pydantic import Field, model_validator

from byline import locations
from byline.errors import BylineError
from byline.schemas.attribute_kinds import AnyAttribute
from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.corpora import Classifier, Source, Tokenizer
from byline.schemas.documents import RESERVED_NAMES
from byline.schemas.fields import FIELDS
from byline.schemas.filters import FilterRule
from byline.schemas.loss_weights import LossWeights, check_weights
from byline.schemas.mixtures import Mixture, Natural
from byline.schemas.mixtures.reading import AnyMixture
from byline.schemas.model import Location, Model, Name, Share, TokenCount, first_twice
from byline.schemas.orders import SourceSequence, StageSources
from byline.schemas.orders.by_number import check_number
from byline.schemas.own_objects import is_own_name
from byline.schemas.recipe import Branch, Holdout, Phase, Selection, Sequence, Shard, Shortage, Stage
from byline.template import Template

# Numbers that every document has.
SIZES = {"num_tokens": "int", "num_bytes": "int"}


_LEAST_KNOWN = Fraction(1, 2)


class Config(Model):
    """The whole of it.

    Attributes:
        min_known: share of a source's documents that should have a field which the recipe uses, one number or by
            source; below it there is a warning, and 0 lets a template have a field that no document has.
        allow_empty: sources of which no document may be left, by filters or a selection.
        loss_weight: the weights of sources in the loss; None for a build without weights, unless a stage has some.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    sources: dict[Name, Source] = Field(min_length=1)
    classifiers: dict[Name, Classifier] = Field(default_factory=dict)
    filter: list[FilterRule] = Field(default_factory=list)
    attributes: dict[Name, AnyAttribute] = Field(default_factory=dict)
    tokenizer: Tokenizer
    sequence: Sequence = Sequence()
    shard: Shard = Shard()
    tokens: TokenCount = "all"
    mixture: AnyMixture = Natural(method=Natural.kind)
    shortage: Shortage = Shortage.ERROR
    phases: list[Phase] = Field(min_length=1, max_length=1000)
    branches: list[Branch] = Field(default_factory=list, max_length=1000)
    holdout: Holdout | None = None
    loss_weight: LossWeights | None = None
    min_known: Share | dict[Name, Share] = _LEAST_KNOWN
    allow_empty: list[Name] = Field(default_factory=list)
    store: Location = "out/store"
    output: Location = "out/shards"

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        _check_attributes(self)
        _check_names(self)
        _check_folders(self)
        _check_sources(self)
        _check_shares(self)
        for where, stage in self.located_stages():
            _check_mixture(self, f"{where}.mixture" if stage.mixture else "mixture", self.mixture_of(stage))
            _check_stage(self, where, stage)
        if isinstance(self.tokens, int) and self.tokens < self.sequence.length:
            raise BylineError(f"tokens: {self.tokens} is less than one sequence of {self.sequence.length}")
        formatters = [source.formatter for source in self.sources.values() if source.formatter is not None]
        names = {name for formatter in formatters for name in formatter.token_names}
        self.tokenizer.belong_to(f"{self.store.rstrip('/')}/tokenizers", names.union(self.marker_names))
        return self

    @property
    def stages(self) -> list[Stage]:
        """Phases, then branches, then the holdout."""
        return [*self.phases, *self.branches, *([] if self.holdout is None else [self.holdout])]

    def located_stages(self) -> list[tuple[str, Stage]]:
        """Each stage with its location in the configuration, such as `phases.cooldown`."""
        phases = [(f"phases.{phase.name}", phase) for phase in self.phases]
        branches = [(f"branches.{branch.name}", branch) for branch in self.branches]
        return [*phases, *branches, *([] if self.holdout is None else [("holdout", self.holdout)])]

    def mixture_of(self, stage: Stage) -> Mixture:
        """The stage's own mixture, or the recipe's; that of a holdout is what there is."""
        if isinstance(stage, Holdout):
            return Natural(method=Natural.kind)
        return stage.mixture or self.mixture

    def packing_of(self, stage: Stage) -> str:
        """The name of the stage's own packing policy, or of the recipe's."""
        return stage.packing or self.sequence.packing

    @property
    def weight_type(self) -> Literal["float16", "float32"] | None:
        """The type of the column `loss_weight` in shards; None where there is none."""
        given = [self.loss_weight, *(stage.loss_weight for stage in self.stages)]
        return None if all(weights is None for weights in given) else self.shard.loss_weight

    def weights_of(self, stage: Stage) -> LossWeights | None:
        """The stage's own loss weights, or the recipe's, but not for a holdout; None where no stage has any."""
        if self.weight_type is None:
            return None
        inherited = None if isinstance(stage, Holdout) else self.loss_weight
        return (inherited or {}) if stage.loss_weight is None else stage.loss_weight

    def sources_of(self, stage: Stage) -> list[str]:
        """The sources that a stage may draw from, sorted; a holdout has those of all others."""
        if isinstance(stage, Holdout):
            return sorted({name for other in [*self.phases, *self.branches] for name in self.sources_of(other)})
        mixture = self.mixture_of(stage)
        named = mixture.named if mixture.label_field is None else None
        return sorted(name for name in self.sources if named is None or name in named)

    def sources_with(self, name: str) -> list[str]:
        """The sources that have a field or number of that name, sorted."""
        is_everywhere = name in FIELDS or name in SIZES or is_own_name(name)

        def has(source: str) -> bool:
            # Ranges of tokens are no field.
            kind = self.attribute_columns_of(source).get(name, "ranges")
            return is_everywhere or name in self.columns_of(source) or kind != "ranges"

        return sorted(filter(has, self.sources))

    def least_known(self, source: str) -> Fraction:
        """`min_known` of a source."""
        return self.min_known.get(source, _LEAST_KNOWN) if isinstance(self.min_known, dict) else self.min_known

    @property
    def salts(self) -> tuple[str, ...]:
        """The salts of all conditions, plain: for jobs whose workers read files that hold their digests."""
        return tuple(sorted({stage.condition.salt for stage in self.stages if stage.condition is not None}))

    @property
    def marker_names(self) -> list[str]:
        """Names of the tokens that stand around templates, sorted."""
        conditions = [stage.condition for stage in self.stages if stage.condition is not None]
        return sorted(
            {name for condition in conditions for name in (condition.begin, condition.end) if name is not None}
        )

    def scores_of(self, source: str) -> dict[str, str]:
        """Score name -> where it comes from (`field NAME` or `classifier NAME`), for one source."""
        return {name: kind for name, kind in self.columns_of(source).items() if not kind.startswith(("label", "kept"))}

    def numbers_of(self, source: str) -> dict[str, str]:
        """Every number of a source's documents, for selections and orders: name -> `float32`, `float` or `int`."""
        of_attributes = self.attribute_columns_of(source).items()
        return {
            **self.stored_numbers_of(source),
            **{name: kind for name, kind in of_attributes if kind in ("float32", "float", "int")},
        }

    def stored_numbers_of(self, source: str) -> dict[str, str]:
        """Those of them that the runs have; a filter knows no others."""
        keep = self.sources[source].keep
        kept = {name: field.type for name, field in keep.items() if field.type in ("int", "float")}
        return {**dict.fromkeys(self.scores_of(source), "float32"), **kept, **SIZES}

    def columns_of(self, source: str) -> dict[str, str]:
        """Every configured column of a source's runs: name -> `field X`, `classifier X`, `label X` or `kept TYPE`."""
        columns = {name: f"field {raw}" for name, raw in self.sources[source].score.items()}
        for name, classifier in self.classifiers.items():
            if name in columns:
                continue
            if classifier.label is None:
                columns[name] = f"label {name}"
                columns[f"{name}_score"] = f"classifier {name}"
            else:
                columns[name] = f"classifier {name}"
        columns.update({name: f"kept {kept.type}" for name, kept in self.sources[source].keep.items()})
        columns.update({name: f"kept {kind}" for name, kind in self.sources[source].made_fields.items()})
        return columns

    def attributes_of(self, source: str) -> dict[str, Attribute]:
        """The attributes that are about a source, by name."""
        return {name: settings for name, settings in self.attributes.items() if settings.is_about(source)}

    def attribute_columns_of(self, source: str) -> dict[str, ColumnType]:
        """Every column that attributes have of a source's documents, with its type."""
        attributes = self.attributes_of(source).items()
        return {column: kind for name, settings in attributes for column, kind in settings.column_types(name).items()}

    def masking_columns(self, stage: Stage, source: str) -> list[str]:
        """The columns of ranges of tokens that a stage masks in a source's documents, sorted."""
        attributes = self.attributes_of(source)
        return sorted(
            column
            for name in stage.mask
            if name in attributes
            for column, kind in attributes[name].column_types(name).items()
            if kind == "ranges"
        )


def _check_names(config: Config) -> None:
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


def _check_attributes(config: Config) -> None:
    for name, settings in config.attributes.items():
        for source in settings.sources or ():
            if source not in config.sources:
                raise BylineError(
                    f"attributes.{name}.sources: there is no source {source!r}; the sources are "
                    f"{', '.join(sorted(config.sources))}"
                )


def _check_folders(config: Config) -> None:
    if os.path.isabs(config.store) != os.path.isabs(config.output):
        # It would depend on the current folder, which is another one when a finished build is verified.
        return
    store, output = locations.absolute(config.store), locations.absolute(config.output)
    if f"{store}/".startswith(f"{output}/"):
        raise BylineError(
            f"store: {config.store} is in `output`, {config.output}, whose readers would take runs for shards; give it "
            "a folder of its own"
        )


def _check_sources(config: Config) -> None:
    """Keys that name sources."""
    least = config.min_known if isinstance(config.min_known, dict) else {}
    for key, names in (("min_known", least), ("allow_empty", config.allow_empty)):
        for name in names:
            if name not in config.sources:
                raise BylineError(
                    f"{key}: there is no source {name!r}; the sources are {', '.join(sorted(config.sources))}"
                )


def _own_name(config: Config, source: str, name: str) -> str:
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


def _check_shares(config: Config) -> None:
    total = sum(phase.share for phase in config.phases)
    if total != 1:
        raise BylineError(f"phases: the shares sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}")


def _check_mixture(config: Config, where: str, mixture: Mixture) -> None:
    if mixture.label_field is not None:
        _check_labels(config, where, mixture, mixture.label_field)
        return
    for name in sorted(mixture.mentioned):
        if name not in config.sources:
            raise BylineError(
                f"{where}: there is no source {name!r}; the sources are {', '.join(sorted(config.sources))}"
            )


def _check_labels(config: Config, where: str, mixture: Mixture, name: str) -> None:
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


def _check_stage(config: Config, where: str, stage: Stage) -> None:
    sources = config.sources_of(stage)
    for number, step in enumerate(stage.select):
        path = f"{where}.select" if len(stage.select) == 1 else f"{where}.select.{number}"
        _check_step(config, path, step, stage)
    _check_mask(config, where, stage)
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


def _check_mask(config: Config, where: str, stage: Stage) -> None:
    for name in stage.mask:
        ranged = [own for own, made in config.attributes.items() if "ranges" in made.column_types(own).values()]
        if name not in ranged:
            known = f"those that mark tokens are {', '.join(ranged)}" if ranged else "no attribute marks tokens"
            raise BylineError(f"{where}.mask: {name!r} is no attribute that marks tokens; {known}")


def _check_weights(config: Config, where: str, stage: Stage) -> None:
    """The loss weights of a stage; errors name the section that they are from."""
    weights, sources = config.weights_of(stage) or {}, config.sources_of(stage)
    where = "loss_weight" if stage.loss_weight is None else f"{where}.loss_weight"
    check_weights(where, weights, {source: config.numbers_of(source) for source in config.sources})
    if sources and all(weights.get(source) == 0 for source in sources):
        raise BylineError(f"{where}: all documents of {stage.name!r} have weight 0, so it would train nothing")


def _check_step(config: Config, where: str, step: Selection, stage: Stage) -> None:
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


def _stage_sources(config: Config, stage: Stage, sources: list[str]) -> StageSources:
    return StageSources({name: config.numbers_of(name) for name in sources}, config.mixture_of(stage).is_schedule)


def _check_template(config: Config, where: str, template: str, source: str) -> None:
    for name in Template(template).fields:
        _check_field(config, f"{where}.template", name, source)


def _check_field(config: Config, where: str, name: str, source: str) -> None:
    if source not in config.sources_with(name):
        of_attributes = [own for own, kind in config.attribute_columns_of(source).items() if kind != "ranges"]
        known = ", ".join([*FIELDS, *config.columns_of(source), *of_attributes, *SIZES])
        is_several = name == "problem" and config.sources[source].format == "arithmetic"
        advice = f"; with sources.{source}.arithmetic.per_document: 1, each document has one" if is_several else ""
        raise BylineError(f"{where}: source {source!r} has no field {name!r}; it has: {known}{advice}")
