"""The parts of a recipe: who is taken, in which mixture and order, with which metadata, packed how.

```yaml
mixture: {method: linear, points: [{at: 0, weights: {web: 0.9, code: 0.1}}, {at: 1, weights: {web: 0.5, code: 0.5}}]}
phases:
  - name: main
    share: 1
    select: [{deny: {host: [spam.example]}}, {top: 0.7, by: quality}]
    order: {by: num_tokens, bins: 10}
    condition: {template: "URL: {host}\n\n"}
branches:
  - {name: cooldown, at: [0.25, 0.5, 0.75, 1], share: 0.1}
holdout: {share: 0.001, by: host}
```
"""

from enum import Enum
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from byline import salts
from byline.schemas.loss_weights import LossWeights
from byline.schemas.mixtures.reading import AnyMixture
from byline.schemas.model import Exact, Model, Name, Share, first_twice, share_of
from byline.schemas.orders import Order, Shuffled
from byline.schemas.orders.reading import AnyOrder
from byline.template import Template


class Shortage(str, Enum):
    """What to do when a source has fewer tokens than the recipe asks for."""

    ERROR = "error"  # stop, and say how much there is
    REPEAT = "repeat"  # go on with the next epoch
    SHRINK = "shrink"  # plan fewer tokens, in the same proportions


class Sequence(Model):
    """`packing` is a policy of `transforms.packing`, or `package.module:object`."""

    length: int = Field(default=8192, ge=8, le=2**24)
    packing: str = "document_start"


class Shard(Model):
    """What shards are made of.

    Attributes:
        sequences: the most a shard is planned for.
        ids: `uint16` halves the files where the vocabulary fits.
        loss_weight: type of the column of that name, where the recipe has weights.
    """

    sequences: int = Field(default=4096, ge=1)
    ids: Literal["int32", "uint16"] = "int32"
    loss_weight: Literal["float16", "float32"] = "float32"


class Selection(Model):
    """One step of choosing documents: a share by rank, a threshold, or lists of values.

    Attributes:
        top, bottom: the share with the highest or lowest values of `by`.
        at_least, at_most: thresholds on `by`, both inclusive.
        by: a score, `num_tokens`, `num_bytes` or a kept number.
        count: what a share is counted in.
        over: whether a share is of each source or of all sources together.
        allow, deny: template field -> its values, or a text file with one value a line.
        drop: columns of attributes that are true or false; documents for which one is true are not taken.
        sources: the sources that this step is for; None for all.
    """

    top: Annotated[Exact, Field(gt=0, le=1)] | None = None
    bottom: Annotated[Exact, Field(gt=0, le=1)] | None = None
    at_least: Exact | None = None
    at_most: Exact | None = None
    by: str | None = None
    count: Literal["documents", "tokens"] = "documents"
    over: Literal["each", "all"] = "each"
    allow: dict[str, list[str]] = Field(default_factory=dict)
    deny: dict[str, list[str]] = Field(default_factory=dict)
    drop: list[Name] = Field(default_factory=list)
    sources: list[Name] | None = None

    @property
    def share(self) -> Fraction | None:
        """The share of a selection by rank."""
        return self.bottom if self.top is None else self.top

    @property
    def has_threshold(self) -> bool:
        return self.at_least is not None or self.at_most is not None

    @model_validator(mode="after")
    def _one_kind(self) -> "Selection":
        kinds = [self.share is not None, self.has_threshold, bool(self.allow or self.deny), bool(self.drop)]
        if sum(kinds) != 1 or (self.top is not None and self.bottom is not None):
            raise ValueError(
                "a step is one of top, bottom, at_least and at_most, allow and deny, or drop; give several as a list, "
                "as in [{deny: {host: [a.example]}}, {top: 0.7, by: quality}]"
            )
        names_fields = kinds[2] or kinds[3]
        if names_fields and self.by is not None:
            raise ValueError("allow, deny and drop take no `by`: they name their fields themselves")
        if not names_fields and self.by is None:
            raise ValueError("`by` is needed: a number such as num_tokens or a score")
        self._check_values()
        return self

    def _check_values(self) -> None:
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {float(self.at_least):g} is above at_most {float(self.at_most):g}")
        if self.share is None and (self.count, self.over) != ("documents", "each"):
            raise ValueError("`count` and `over` say how a share is meant; they belong to top and bottom")
        if self.sources == []:
            raise ValueError("sources: name one at least, or leave the key out for all")
        for name, values in self.allow.items():
            if not values:
                raise ValueError(f"allow.{name}: an empty list takes no document")


def _read_salt(salt: str) -> str:
    """A salt as it is used; one that a recipe gives is kept for the files of a build, which have its digest."""
    plain = salts.plain_salt(salt)
    salts.remember_salt(plain)
    return plain


# Plain in a recipe and in memory; a plan or manifest gets the digest.
Salt = Annotated[str, AfterValidator(_read_salt), PlainSerializer(salts.salt_digest)]


class Condition(Model):
    """Metadata put to a document; docs/formats.md has the exact layout.

    Attributes:
        template: text with `{field}`s.
        position: before the document, masked, or after it, trained.
        begin, end: names of special tokens around the filled template.
        dropout: share of documents that go without any of it.
        empty: share of the others that keep `begin` and `end` alone.
        unknown: stands for a field without a value.
        salt: of the hashed fields.
        top: field -> how many of its commonest values stay, as a number or as "2%" of the distinct ones.
        bins: number -> into how many quantiles of its documents it is cut, or the borders between its bins; the field
            is then the number of the bin, from 0.
    """

    template: str
    position: Literal["before", "after"] = "before"
    begin: str | None = None
    end: str | None = None
    dropout: Annotated[Exact, Field(ge=0, lt=1)] = Fraction(0)
    empty: Annotated[Exact, Field(ge=0, lt=1)] = Fraction(0)
    unknown: str = "unknown"
    salt: Salt = salts.DEFAULT
    top: dict[str, Annotated[int, Field(ge=1)] | str] = Field(default_factory=dict)
    bins: dict[str, Annotated[int, Field(ge=2, le=1000)] | list[Exact]] = Field(default_factory=dict)

    @field_validator("top", mode="before")
    @classmethod
    def _no_fractions(cls, value: Any) -> Any:
        for name, kept in value.items() if isinstance(value, dict) else ():
            if isinstance(kept, float):
                raise ValueError(f"{name}: expected a number of values or a share such as 2%, not {kept!r}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Condition":
        fields = Template(self.template).fields
        for key, names in (("top", self.top), ("bins", self.bins)):
            for name in names:
                if name not in fields:
                    raise ValueError(f"{key}: the template {self.template!r} has no field {name!r}")
        for name, kept in self.top.items():
            share = share_of(kept) if isinstance(kept, str) else Fraction(0)
            if share is None or share > 1:
                raise ValueError(f"top.{name}: expected a number of values or a share such as 2%, not {kept!r}")
            if name in self.bins:
                raise ValueError(f"{name!r} is in `top` and in `bins`; a number in bins has few values already")
        for name, borders in self.bins.items():
            if isinstance(borders, list) and (not borders or borders != sorted(set(borders))):
                raise ValueError(f"bins.{name}: expected a number of bins, or borders that ascend")
        if self.empty > 0 and self.begin is None and self.end is None:
            raise ValueError("empty: leaves `begin` and `end` alone, so give one; `dropout` leaves nothing")
        return self

    def kept_values(self, name: str, distinct: int) -> int:
        """How many of a field's distinct values `top` keeps, at least one."""
        kept = self.top[name]
        if isinstance(kept, int):
            return kept
        share = share_of(kept)
        assert share is not None, kept
        return max(int(share * distinct), 1)


class Stage(Model):
    """What phases and branches share.

    Attributes:
        select: steps of choosing documents, each of what the steps before leave.
        mixture: in place of the recipe's.
        packing: in place of `sequence.packing`.
        mask: attributes whose ranges of tokens do not count in the loss.
        loss_weight: in place of the recipe's.
    """

    name: Name
    select: list[Selection] = Field(default_factory=list)
    mixture: AnyMixture | None = None
    order: AnyOrder | None = None
    condition: Condition | None = None
    packing: str | None = None
    mask: list[Name] = Field(default_factory=list)
    loss_weight: LossWeights | None = None

    @property
    def ordering(self) -> Order:
        """Its order, also where it gives none."""
        return self.order or Shuffled(by=Shuffled.kind)

    @field_validator("select", mode="before")
    @classmethod
    def _one_step(cls, value: Any) -> Any:
        return [] if value is None else [value] if isinstance(value, dict) else value


class Phase(Stage):
    """A stretch of the timeline; `share` is its part of the recipe's tokens."""

    share: Annotated[Exact, Field(gt=0, le=1)]


class Branch(Stage):
    """A phase that leaves the timeline, once for each point.

    A model that is trained on the timeline up to (1 - share) * at of its tokens, and then on the branch, has seen `at`
    of them in all: as many as the timeline's own checkpoint there.

    Attributes:
        at: shares of the recipe's tokens.
        share: the branch's part of the tokens up to its point.
    """

    at: list[Annotated[Exact, Field(gt=0, le=1)]] = Field(min_length=1, max_length=1000)
    share: Annotated[Exact, Field(gt=0, lt=1)] = Fraction(1, 10)

    @field_validator("at", mode="before")
    @classmethod
    def _one_point(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @model_validator(mode="after")
    def _each_point_once(self) -> "Branch":
        if (twice := first_twice(self.at)) is not None:
            raise ValueError(f"at: {float(twice):g} stands in it twice; each point has a folder of its own")
        return self

    def name_at(self, at: Fraction) -> str:
        """The name of the branch at one point, and of its folder: `cooldown-25`, `cooldown-12.5`."""
        return f"{self.name}-{float(at * 100):.10g}"


class Holdout(Stage):
    """Documents that no phase and no branch reads: rows of their own, which train nothing.

    Attributes:
        share: of the documents, or of the values of a field.
        by: `document`, or a template field: documents of one value are held out together, or not at all.
    """

    name: Name = "holdout"
    share: Annotated[Share, Field(gt=0, lt=1)]
    by: str = "document"

    @model_validator(mode="after")
    def _takes_all_as_it_is(self) -> "Holdout":
        for key in ("mixture", "order"):
            if getattr(self, key) is not None:
                raise ValueError(f"{key}: a holdout has everything that is held out, in its own shares and shuffled")
        return self

    @property
    def field(self) -> str | None:
        """The field whose values are held out; None for documents."""
        return None if self.by == "document" else self.by

    @property
    def bound(self) -> int:
        """How many of the 2^64 hashes are held out."""
        return int(self.share * 2**64)
