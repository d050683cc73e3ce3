"""The upper half of the configuration: what decides the token store.

```yaml
sources:
  mine:     {format: jsonl, path: "data/*.jsonl", fields: {text: body, url: meta.link}, keep: [license]}
  chats:    {format: jsonl, path: "chats/*.jsonl", fields: {messages: conversation}, formatter: chat}
  addition: {format: arithmetic, arithmetic: {style: reverse, digits: 3, examples: 100000}}
classifiers:
  quality: {model: quality.bin, label: __label__hq}
tokenizer: {file: tokenizer.json, bos: "<|endoftext|>", eos: "<|endoftext|>"}
```
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    field_validator,
    model_serializer,
    model_validator,
)

from byline import locations
from byline.addresses import is_object_address, without_secrets
from byline.errors import BylineError
from byline.schemas.documents import FORMATTED, RECORD_FIELDS
from byline.schemas.field_paths import FieldPath
from byline.schemas.filters import FilterRule
from byline.schemas.formatters import FORMATTERS
from byline.schemas.layouts import LAYOUTS, Layout
from byline.schemas.model import ByteCount, Location, Model, Name, Share, first_twice
from byline.schemas.patterns import expand_variables, names_of

# The longest path that Linux opens.
_LONGEST_PATTERN = 4096


class Malformed(str, Enum):
    """What a record that is not of the layout does."""

    ERROR = "error"  # stop, and name the file and row
    DROP = "drop"  # drop it, and count it


class Damaged(str, Enum):
    """What a file that is damaged or cut short does."""

    ERROR = "error"  # nothing of it is used, and the build stops when all other files are prepared
    USE_READABLE = "use_readable"  # what stands before the damage is used, and the ledger says so


KeptType = Literal["string", "int", "float", "bool"]


class Kept(Model):
    """A raw field that is kept.

    Attributes:
        path: where it stands in a record; under its own name where that is not said.
        type: what it is kept as.
    """

    path: FieldPath | None = None
    type: KeptType = "string"

    @model_validator(mode="before")
    @classmethod
    def _type_alone(cls, value: Any) -> Any:
        if isinstance(value, (dict, Kept)):
            return value
        if value not in get_args(KeptType):
            raise ValueError(f"expected {', '.join(get_args(KeptType))} or {{path: ..., type: ...}}; found {value!r}")
        return {"type": value}

    @model_serializer
    def _written(self) -> Any:
        return self.type if self.path is None else {"path": self.path, "type": self.type}


# A longer text takes a worker's memory: several times its size, with its tokens. Web corpora have none.
MAX_DOCUMENT = 32 << 20


def _record_field(name: str) -> str:
    if name not in RECORD_FIELDS:
        raise ValueError(f"expected {', '.join(RECORD_FIELDS)}, found {name!r}; any other field goes under `keep`")
    return name


class ArithmeticStyle(str, Enum):
    """How an addition is written (arXiv 2307.03381)."""

    PLAIN = "plain"
    REVERSE = "reverse"
    SIMPLIFIED_SCRATCHPAD = "simplified_scratchpad"
    DETAILED_SCRATCHPAD = "detailed_scratchpad"


class Arithmetic(Model):
    """A source of additions.

    Attributes:
        style: how they are written.
        digits: the most digits of an operand.
        examples: how many additions, each a document of its own unless `per_document` says otherwise.
        per_document: additions in one document, a line end between them.
        seed: of the hash that picks the operands.
    """

    style: ArithmeticStyle = ArithmeticStyle.PLAIN
    digits: int = Field(default=3, ge=1, le=18)
    examples: int = Field(default=10_000, ge=1)
    per_document: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def has_problems(self) -> bool:
        """Whether each document is one addition, and so has a `problem`."""
        return self.per_document == 1


class FormatterSettings(Model):
    """What makes another text of a record before it is scored and tokenized.

    Attributes:
        name: `chat`, `qa`, `fim`, or one's own, a function or a `Formatter`, as `package.module:object`.
        options: its keyword arguments, plain values.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return FORMATTERS.check(name)

    @property
    def token_names(self) -> set[str]:
        """Names of tokens in its options; of a formatter of one's own they are not known before it is imported."""
        if self.name not in FORMATTERS:
            return set()
        return FORMATTERS.named("formatter", self.name).token_names(self.options)

    def added_tokens(self, add: list[str]) -> list[str]:
        """The part of `tokenizer.add` that decides the texts: up to the last token that may come from it, as ids follow
        their order; of a formatter of one's own, which may name any, all of it."""
        if self.name not in FORMATTERS:
            return add
        names = self.token_names
        return add[: max((at for at, name in enumerate(add, 1) if name in names), default=0)]


def _are_patterns(path: str | list[str]) -> str | list[str]:
    addresses = expanded(path)
    for address in addresses:
        if len(address) > _LONGEST_PATTERN:
            raise ValueError(f"a pattern of {len(address):,} characters; no file has such a path, so shorten it")
        _check_pattern(address)
    if len({address.partition("://")[0] if is_object_address(address) else "" for address in addresses}) > 1:
        raise ValueError("the patterns are on different file systems; make each a source of its own")
    return path


def _check_pattern(pattern: str) -> None:
    """Refuses what can be no address. Raises: BylineError."""
    names = names_of(pattern)
    if not is_object_address(pattern):
        locations.check(pattern)
        return
    scheme, _, rest = pattern.partition("://")
    bucket, _, keys = rest.partition("/")
    if len(names) < len(f"{scheme}://{bucket}"):
        shown = without_secrets(pattern)
        raise BylineError(f"{shown}: a bucket takes no wildcard; expected {scheme}://bucket/ and a pattern of keys")
    locations.check(names)
    if not keys.strip("/"):
        raise BylineError(f"{pattern}: is a bucket; write {scheme}://{bucket}/** for all objects in it")
    if "//" in f"/{keys}".rstrip("/"):
        raise BylineError(f"{pattern}: an empty name between slashes cannot be read; copy the objects to other keys")


class Classifier(Model):
    """A fastText model. With `label`, it gives that label's probability as a score of the classifier's name;
    without, the likeliest label under its name and that label's probability as `<name>_score`."""

    model: Location
    label: str | None = None


class Tokenizer(Model):
    """A Hugging Face `tokenizer.json`.

    Attributes:
        pad: fills what is left of a row; without it, `eos` or `bos` does.
        add: names of further tokens, which get the ids behind the last one of the file, in this order.
        library: `fastest` takes gigatoken where it can read the file, `tokenizers` never; the ids are the same.
        sentinels: names of further tokens that no text becomes, though the tokenizer does not call them special; those
            that the configuration names elsewhere need not be listed.
    """

    file: Location
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    add: list[str] = Field(default_factory=list)
    library: Literal["fastest", "tokenizers"] = "fastest"
    sentinels: list[str] = Field(default_factory=list)
    _named: frozenset[str] = PrivateAttr(frozenset())
    _folder: str | None = PrivateAttr(None)

    def __eq__(self, other: object) -> bool:
        """Whether the section says the same, whatever the rest of the configuration does."""
        return isinstance(other, Tokenizer) and self.model_dump() == other.model_dump()

    @property
    def text_only(self) -> tuple[str, ...]:
        """Names of all tokens that no text becomes, whether the tokenizer calls them special or not; sorted."""
        own = (self.bos, self.eos, self.pad, *self.sentinels)
        return tuple(sorted({name for name in own if name is not None} | self._named))

    @property
    def folder(self) -> str | None:
        """Where it is kept what is found out about the tokenizer once; None for a tokenizer without a token store."""
        return self._folder

    def belong_to(self, folder: str | None, names: Iterable[str]) -> None:
        """Tells it what the rest of its configuration says: its `folder`, and which tokens are named there."""
        self._folder, self._named = folder, frozenset(names)

    def to_json(self) -> dict[str, Any]:
        """All of it, with what the rest of its configuration says, which `model_dump` leaves out."""
        return {"settings": self.model_dump(), "folder": self.folder, "text_only": self.text_only}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer that `to_json` made this of."""
        tokenizer = cls(**values["settings"])
        tokenizer.belong_to(values["folder"], values["text_only"])
        return tokenizer

    @model_validator(mode="after")
    def _added_once(self) -> "Tokenizer":
        wrong = "" if "" in self.add else first_twice(self.add)
        if wrong is not None:
            raise ValueError(f"add: {wrong!r} is empty or given twice; each added token has a name")
        return self


def expanded(path: str | list[str]) -> list[str]:
    """Patterns as a list, with this machine's home and variables in them."""
    return [expand_variables(text) for text in ([path] if isinstance(path, str) else path)]


# Patterns of files, as written.
Patterns = Annotated[str | list[str], AfterValidator(_are_patterns)]


class Source(Model):
    """One corpus.

    Attributes:
        format: the layout of its files: one of `LAYOUTS`, or one's own as `package.module:object`.
        path: pattern(s) of its files, as written: `*` within a folder, `**` over folders, `{a,b}`, `~`, `$NAME`.
        fields: the paths (`byline.schemas.field_paths`) of `text`, `url`, and what a formatter reads, if not those of
            the layout. Where `messages`, `question` or `answer` is given, a text is read only if `text` is too.
        keep: raw fields to keep for templates and selection; a list (as text), or a mapping to a type, or to a path and
            a type.
        score: score name -> path of the raw field that holds it.
        malformed: what a record that is not of the layout does, and one that is too long.
        max_rejected: the most of its records that may be dropped as no documents, a share.
        damaged: what a file does that is damaged or cut short.
        max_document: the most bytes of a text in UTF-8 (of messages, question and answer together).
        formatter: its name, or a mapping of `name` and its options.
        arithmetic: of `format: arithmetic` alone.
        filter: rules for this source alone, after those of all sources.
    """

    format: str
    path: Patterns = Field(default_factory=list)
    fields: dict[Annotated[str, AfterValidator(_record_field)], FieldPath] = Field(default_factory=dict)
    keep: dict[str, Kept] = Field(default_factory=dict)
    score: dict[Name, FieldPath] = Field(default_factory=dict)
    malformed: Malformed = Malformed.ERROR
    max_rejected: Share = Fraction(1, 100)
    damaged: Damaged = Damaged.ERROR
    max_document: Annotated[ByteCount, Field(ge=1, le=1 << 30)] = MAX_DOCUMENT
    formatter: FormatterSettings | None = None
    arithmetic: Arithmetic | None = None
    filter: list[FilterRule] = Field(default_factory=list)

    @field_validator("format")
    @classmethod
    def _is_layout(cls, name: str) -> str:
        return LAYOUTS.check(name)

    @field_validator("keep", mode="before")
    @classmethod
    def _keep_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"expected names, as in [license, date]; found {name!r}")
        return dict.fromkeys(value, "string")

    @field_validator("formatter", mode="before")
    @classmethod
    def _formatter_options(cls, value: Any) -> Any:
        """A name alone, or options beside the name."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "name" in value and "options" not in value:
            return {"name": value["name"], "options": {key: option for key, option in value.items() if key != "name"}}
        return value

    @model_validator(mode="after")
    def _has_input(self) -> "Source":
        if self.arithmetic is not None and self.format != "arithmetic":
            raise ValueError("arithmetic: only a source of `format: arithmetic` takes it")
        if self.format not in LAYOUTS:
            # One's own is asked when its files are listed: a recipe can be read where its modules are not.
            return self
        if self.is_made and (self.path or self.fields or self.keep or self.score or self.formatter):
            raise ValueError(f"`format: {self.format}` is made, not read: it takes `{self.format}` and no other key")
        if not self.is_made and not self.path:
            raise ValueError("path: this key is needed: a pattern of the source's files, or a list of patterns")
        return self

    @model_validator(mode="after")
    def _fields_are_read(self) -> "Source":
        if self.formatter is None:
            for name in FORMATTED:
                if name in self.fields:
                    raise ValueError(f"fields.{name}: only a source with a `formatter` reads it; name one")
            return self
        if self.formatter.name not in FORMATTERS:
            return self
        for name in FORMATTERS.named("formatter", self.formatter.name).reads:
            if name != "text" and name not in self.fields:
                raise ValueError(f"formatter: {self.formatter.name} needs fields.{name}: where it stands in a record")
        return self

    @property
    def layout(self) -> Layout:
        """Its layout. Raises: BylineError where one's own cannot be imported."""
        return LAYOUTS.named("format", self.format)

    @property
    def kept_paths(self) -> dict[str, str]:
        """Where each kept field stands in a record."""
        return {name: name if kept.path is None else kept.path for name, kept in self.keep.items()}

    @property
    def is_made(self) -> bool:
        """Whether it has no files."""
        return self.layout.is_made

    @property
    def made(self) -> Arithmetic:
        """The additions of `format: arithmetic`."""
        return Arithmetic() if self.arithmetic is None else self.arithmetic

    @property
    def made_fields(self) -> dict[str, KeptType]:
        """The columns, by their types, that its documents have by themselves as others have kept fields."""
        return {"problem": "string"} if self.format == "arithmetic" and self.made.has_problems else {}

    @property
    def is_formatted(self) -> bool:
        """Whether its documents may bring loss spans."""
        return self.formatter is not None or self.is_made

    @property
    def patterns(self) -> list[str]:
        """Those of `path`, with this machine's home and variables in them."""
        return expanded(self.path)
