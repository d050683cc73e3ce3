"""The configuration: one YAML file, checked before anything is read.

```yaml
sources:                                                   # this half decides the token store
  mine: {format: jsonl, path: "data/*.jsonl", fields: {text: body, url: meta.link}, keep: [license]}
classifiers:
  quality: {model: quality.bin, label: __label__hq}
tokenizer: {file: tokenizer.json, bos: "<|endoftext|>", eos: "<|endoftext|>"}
sequence: {length: 2048, packing: document_start}          # this half decides the plan and the shards
tokens: 10M
mixture: natural
phases:
  - {name: conditioned, share: 0.9, select: {top: 0.7, by: quality}, condition: {template: "URL: {host}\n\n"}}
  - {name: cooldown,    share: 0.1, select: {top: 0.7, by: quality}}
store: out/store
output: out/shards
```

Paths are relative to the folder the command runs in. `schemas.config_file` reads the file.
"""

import re
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from byline.errors import BylineError
from byline.template import Template
from schemas.documents import RESERVED_NAMES

TEMPLATE_FIELDS = ("url", "host", "registered_domain", "suffix", "path", "host_hash", "url_hash", "source")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _safe_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{name!r} is not a usable name: letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
        )
    return name


def _exact(value: Any) -> Any:
    """Keeps a share as the decimal that was written: 0.1 is 1/10, not the nearest binary fraction."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal, Fraction)):
        raise ValueError(f"expected a number, found {value!r}")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number, found {value!r}") from None


def _write_exact(value: Fraction) -> float | str:
    """A decimal where it reads back as the same fraction, else `n/d`."""
    return float(value) if Fraction(str(float(value))) == value else str(value)


def _token_count(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([KMBT]?)", str(value).strip())
    if not match:
        raise ValueError(f"expected a number of tokens such as 160B, 2.5M or 1_000_000, or all; found {value!r}")
    count = Fraction(match[1].replace("_", "")) * _UNITS[match[2]]
    if count.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of tokens")
    return int(count)


Name = Annotated[str, AfterValidator(_safe_name)]
Exact = Annotated[Fraction, BeforeValidator(_exact), PlainSerializer(_write_exact)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceFormat(str, Enum):
    """The layout of a source's files."""

    DCLM = "dclm"  # JSON lines with `text`, `url`
    C4 = "c4"  # JSON lines with `text`, `timestamp`, `url`
    REFINEDWEB = "refinedweb"  # Parquet with `content`, `url`, `timestamp`, `dump`, `segment`, `image_urls`
    JSONL = "jsonl"  # any JSON lines, through `fields`
    PARQUET = "parquet"  # any Parquet, through `fields`


class Packing(str, Enum):
    """How documents fill sequences; docs/formats.md draws each."""

    DOCUMENT_START = "document_start"  # a sequence begins with a document, the rest of a cut one is discarded
    CONCAT = "concat"  # a cut document goes on in the next sequence
    REPEAT_PREFIX = "repeat_prefix"  # as concat, and the prefix is given again
    BEST_FIT = "best_fit"  # no document that fits a sequence is cut


class Malformed(str, Enum):
    """What a record that is not of the layout does."""

    ERROR = "error"  # stop, and name the file and row
    DROP = "drop"  # drop it, and count it


class Shortage(str, Enum):
    """What to do when a source has fewer tokens than the recipe asks for."""

    ERROR = "error"  # stop, and say how much there is
    REPEAT = "repeat"  # go on with the next epoch
    SHRINK = "shrink"  # plan fewer tokens, in the same proportions


KeptType = Literal["string", "int", "float", "bool"]


class Source(Model):
    """One corpus.

    Attributes:
        path: pattern(s) of its files; `*` within a folder, `**` over folders.
        fields: where `text` and `url` stand, for a layout of one's own; a dot goes into a struct (`metadata.url`).
        keep: raw fields to keep for templates and selection; a list (as text) or a mapping to a type.
        score: score name -> raw field that holds it.
    """

    format: SourceFormat
    path: str | list[str]
    fields: dict[Literal["text", "url"], str] = Field(default_factory=dict)
    keep: dict[str, KeptType] = Field(default_factory=dict)
    score: dict[Name, str] = Field(default_factory=dict)
    malformed: Malformed = Malformed.ERROR

    @model_validator(mode="before")
    @classmethod
    def _keep_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("keep"), list):
            return {**data, "keep": dict.fromkeys(data["keep"], "string")}
        return data

    @property
    def patterns(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path


class Classifier(Model):
    """A fastText model. With `label`, it gives that label's probability as a score of the classifier's name;
    without, the likeliest label under its name and that label's probability as `<name>_score`."""

    model: str
    label: str | None = None


class Tokenizer(Model):
    """A Hugging Face `tokenizer.json`.

    Attributes:
        pad: fills what is left of a row; without it, `eos` or `bos` does.
        library: `fastest` takes gigatoken where it can read the file, `tokenizers` never; the ids are the same.
    """

    file: str
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    library: Literal["fastest", "tokenizers"] = "fastest"


class Sequence(Model):
    length: int = Field(default=8192, ge=8, le=2**24)
    packing: Packing = Packing.DOCUMENT_START


class Shard(Model):
    """`sequences` is the most a shard is planned for; `ids: uint16` halves the files where the vocabulary fits."""

    sequences: int = Field(default=4096, ge=1)
    ids: Literal["int32", "uint16"] = "int32"


class Selection(Model):
    """The best share of a source's documents by a score, counted in documents or in tokens."""

    top: Annotated[Exact, Field(gt=0, le=1)]
    by: str
    count: Literal["documents", "tokens"] = "documents"


class Condition(Model):
    """Metadata put to a document; docs/formats.md has the exact layout."""

    template: str
    place: Literal["before", "after"] = "before"
    dropout: Annotated[Exact, Field(ge=0, lt=1)] = Fraction(0)
    unknown: str = "unknown"
    salt: str = "byline"

    @model_validator(mode="after")
    def _template_parses(self) -> "Condition":
        Template(self.template)
        return self


class Phase(Model):
    name: Name
    share: Annotated[Exact, Field(gt=0, le=1)]
    select: Selection | None = None
    condition: Condition | None = None


class Config(Model):
    seed: int = Field(default=0, ge=0, lt=2**32)
    sources: dict[Name, Source] = Field(min_length=1)
    classifiers: dict[Name, Classifier] = Field(default_factory=dict)
    tokenizer: Tokenizer
    sequence: Sequence = Sequence()
    shard: Shard = Shard()
    tokens: Annotated[int | Literal["all"], BeforeValidator(_token_count)] = "all"
    mixture: Literal["natural"] | dict[Name, Annotated[Exact, Field(ge=0)]] = "natural"
    shortage: Shortage = Shortage.ERROR
    phases: list[Phase] = Field(min_length=1)
    store: str = "out/store"
    output: str = "out/shards"

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        _check_names(self)
        _check_shares(self)
        for phase in self.phases:
            _check_phase(self, phase)
        if isinstance(self.tokens, int) and self.tokens < self.sequence.length:
            raise BylineError(f"tokens: {self.tokens} is less than one sequence of {self.sequence.length}")
        return self

    def weights(self) -> dict[str, Fraction] | None:
        """The mixture by source name, with zero for sources it does not name; None for `natural`."""
        if self.mixture == "natural":
            return None
        return {name: self.mixture.get(name, Fraction(0)) for name in sorted(self.sources)}

    def scores_of(self, source: str) -> dict[str, str]:
        """Score name -> where it comes from (`field NAME` or `classifier NAME`), for one source."""
        return {name: kind for name, kind in self.columns_of(source).items() if not kind.startswith(("label", "kept"))}

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
        columns.update({name: f"kept {kind}" for name, kind in self.sources[source].keep.items()})
        return columns


def _check_names(config: Config) -> None:
    for source, settings in config.sources.items():
        names = list(settings.score) + list(settings.keep)
        for name, classifier in config.classifiers.items():
            if name not in settings.score:
                names += [name] if classifier.label is not None else [name, f"{name}_score"]
        for name in names:
            if name in RESERVED_NAMES:
                raise BylineError(
                    f"sources.{source}: {name!r} is the name of one of Byline's own columns; choose another"
                )
            if names.count(name) > 1:
                raise BylineError(f"sources.{source}: two columns are called {name!r}; give one another name")
    phases = [phase.name for phase in config.phases]
    for name in phases:
        if phases.count(name) > 1:
            raise BylineError(
                f"phases: two phases are called {name!r}; each has a folder of its own, so give one another name"
            )


def _check_shares(config: Config) -> None:
    total = sum(phase.share for phase in config.phases)
    if total != 1:
        raise BylineError(f"phases: the shares sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}")
    if isinstance(config.mixture, dict):
        for name in config.mixture:
            if name not in config.sources:
                raise BylineError(
                    f"mixture: there is no source {name!r}; the sources are {', '.join(sorted(config.sources))}"
                )
        total = sum(config.mixture.values())
        if total != 1:
            raise BylineError(
                f"mixture: the weights sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}"
            )


def _check_phase(config: Config, phase: Phase) -> None:
    weights = config.weights()
    for source in (name for name in config.sources if weights is None or weights[name] > 0):
        columns = config.columns_of(source)
        if phase.select is not None and phase.select.by not in config.scores_of(source):
            found = ", ".join(config.scores_of(source)) or "none"
            raise BylineError(
                f"phases.{phase.name}.select.by: source {source!r} has no score {phase.select.by!r} (it has: {found}); "
                f"give it one with sources.{source}.score or under classifiers"
            )
        for name in Template(phase.condition.template).fields if phase.condition else ():
            if name not in TEMPLATE_FIELDS and name not in columns:
                known = ", ".join([*TEMPLATE_FIELDS, *columns])
                raise BylineError(
                    f"phases.{phase.name}.condition.template: source {source!r} has no field {name!r}; it has: {known}"
                )
