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

from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from byline.schemas.attribute_kinds import AnyAttribute
from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.config_checks import check_config
from byline.schemas.corpora import Classifier, Source, Tokenizer
from byline.schemas.documents import SIZES
from byline.schemas.fields import FIELDS
from byline.schemas.filters import FilterRule
from byline.schemas.loss_weights import LossWeights
from byline.schemas.mixtures import Mixture, Natural
from byline.schemas.mixtures.reading import AnyMixture
from byline.schemas.model import Location, Model, Name, Share, TokenCount
from byline.schemas.own_objects import is_own_name
from byline.schemas.recipe import Branch, Holdout, Phase, Sequence, Shard, Shortage, Stage

_LEAST_KNOWN = Fraction(1, 2)


class Config(Model):
    """The whole of it.

    Attributes:
        min_known: share of a source's documents that should have a field which the recipe uses, one number or by
            source; below it there is a warning, and 0 lets a template have a field that no document has.
        allow_empty: sources of which no document may be left, by filters or a selection.
        loss_weight: the weights of sources in the loss; None for a build without weights, unless a stage has some.
        replace: attributes whose ranges of tokens become one token each, with the name of that token.
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
    replace: dict[Name, str] = Field(default_factory=dict)
    min_known: Share | dict[Name, Share] = _LEAST_KNOWN
    allow_empty: list[Name] = Field(default_factory=list)
    store: Location = "out/store"
    output: Location = "out/shards"

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        check_config(self)
        formatters = [source.formatter for source in self.sources.values() if source.formatter is not None]
        names = {name for formatter in formatters for name in formatter.token_names}
        self.tokenizer.belong_to(f"{self.store.rstrip('/')}/tokenizers", names.union(self.marker_names))
        return self

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A configuration that replaces nothing is, byte for byte, one that knows nothing of it."""
        values: dict[str, Any] = dump(self)
        if not self.replace:
            values.pop("replace", None)
        return values

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
        return sorted(column for name in stage.mask for column in self._ranges_of(name, source))

    def replaced_columns(self, source: str) -> dict[str, str]:
        """The columns of ranges of tokens that are replaced in a source's documents, sorted -> name of the token."""
        return dict(
            sorted((column, token) for name, token in self.replace.items() for column in self._ranges_of(name, source))
        )

    def _ranges_of(self, attribute: str, source: str) -> list[str]:
        """The columns of ranges of tokens that an attribute has of a source's documents."""
        settings = self.attributes[attribute]
        types = settings.column_types(attribute) if settings.is_about(source) else {}
        return [column for column, kind in types.items() if kind == "ranges"]
