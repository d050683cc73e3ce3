"""The ledger: where every document and every token went.

For each source:

```
documents   read = kept + dropped[reason]                       (DropReason)
store       kept documents and tokens = used + unused[reason]   (UNUSED_REASONS), each document once
            of tokens + replaced.tokens - replaced.placeholders, where a recipe replaces any
fields      kept documents = known + null + unknown             of every field
```

For each phase and source, a document counted as often as it is drawn (once an epoch):

```
tokens + prefix_tokens + special_tokens = positions + discarded[reason]   (its packing policy's)
positions = loss_tokens + masked
```

and for each phase: the positions of its sources + padding = rows * L.

As JSON, in the manifest:

```
sources: {name: {read: {documents, bytes}, dropped: {reason: documents}, kept: {documents, tokens, bytes},
                 used: {documents, tokens}, unused: {reason: {documents, tokens}}, special_text, damaged,
                 fields: {name: {known, null, unknown}}}}
phases:  {name: {sources: {name: DrawCounts}, padding}}
```

and of one shard, in the file that says that it is whole (of one that was imported, `domains` too):

```
{plan_sha256, code_version, phase, shard, the keys of a ShardEntry, counts: {name: DrawCounts}, padding}
```
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from byline.manifest import ShardEntry
from byline.schemas.field_counts import FieldCounts, total_fields
from byline.schemas.store import RunInfo


@dataclass(frozen=True)
class Amount:
    """Documents, and their own tokens."""

    documents: int = 0
    tokens: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.documents + other.documents, self.tokens + other.tokens)

    def __str__(self) -> str:
        return f"{self.documents:,} documents with {self.tokens:,} tokens"


@dataclass(frozen=True)
class Replaced:
    """Own tokens that placeholders stand for.

    Attributes:
        documents: with any.
        tokens: in ranges that are replaced.
        placeholders: tokens instead of them; own tokens of documents as all others.
    """

    documents: int = 0
    tokens: int = 0
    placeholders: int = 0

    def __add__(self, other: "Replaced") -> "Replaced":
        return Replaced(
            self.documents + other.documents, self.tokens + other.tokens, self.placeholders + other.placeholders
        )

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens by {self.placeholders:,} placeholders in {self.documents:,} documents"

    @property
    def gone(self) -> int:
        """How many tokens fewer there are."""
        return self.tokens - self.placeholders


def _left_out(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Values without these keys, where they are None."""
    return {key: value for key, value in values.items() if key not in keys or value is not None}


# ------------------------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True)
class ReadCounts:
    """Documents that were read, and the bytes of their texts."""

    documents: int
    bytes: int


@dataclass(frozen=True)
class KeptCounts:
    """Documents of the token store, their tokens, and the bytes of their texts."""

    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True)
class SourceLedger:
    """Where the documents of a source went.

    Attributes:
        read, kept: from the corpus, and of these in the token store.
        dropped: `DropReason` value -> documents.
        used: documents that any phase draws, each once.
        unused: `UnusedReason` value -> the others.
        special_text: kept documents whose text has the name of a special token in it.
        damaged: files that were read only up to their damage.
        fields: name of a field -> how many of the kept documents have a value of it.
        replaced: in all documents of the token store; None, as which JSON has no such key, in a build without any.
    """

    read: ReadCounts
    dropped: dict[str, int]
    kept: KeptCounts
    used: Amount
    unused: dict[str, Amount]
    special_text: int
    damaged: int
    fields: dict[str, FieldCounts]
    replaced: Replaced | None = None

    @classmethod
    def of(
        cls, runs: Iterable[RunInfo], used: Amount, unused: Mapping[str, Amount], replaced: Replaced | None = None
    ) -> "SourceLedger":
        """From the source's runs, and what a plan uses of them."""
        runs, dropped = list(runs), Counter[str]()
        for run in runs:
            dropped.update(run.dropped)
        return cls(
            read=ReadCounts(sum(run.rows_read for run in runs), sum(run.bytes_read for run in runs)),
            dropped=dict(sorted(dropped.items())),
            kept=KeptCounts(
                documents=sum(run.rows for run in runs),
                tokens=sum(run.tokens for run in runs),
                bytes=sum(run.text_bytes for run in runs),
            ),
            used=used,
            unused=dict(unused),
            special_text=sum(run.special_text for run in runs),
            damaged=sum(bool(run.damage) for run in runs),
            fields=total_fields(run.fields for run in runs),
            replaced=replaced,
        )

    def to_json(self) -> dict[str, Any]:
        """As in the ledger."""
        return _left_out(asdict(self), "replaced")


# -------------------------------------------------------------------------------------------------------------- phases


@dataclass(frozen=True)
class DrawCounts:
    """What one phase, or one shard of it, takes from one source.

    Attributes:
        documents: documents drawn, one for each use.
        tokens: their own tokens, placeholders among them.
        prefix_tokens: tokens of prefixes (before or after), repeated ones included.
        special_tokens: BOS and EOS.
        positions: positions in sequences that they fill.
        loss_tokens: positions whose loss counts.
        discarded: tokens of any of these kinds that are in no sequence, by name of its packing policy's reason.
        conditioned: documents that got a prefix.
        prefix_too_long: documents whose prefix was replaced by the unknown one.
        loss_weight: the sum of the weights of positions whose loss counts, as shards have them; None, as which JSON has
            no such key, in a build without weights.
        replaced: in the documents drawn; None likewise in a build that replaces nothing.
    """

    documents: int = 0
    tokens: int = 0
    prefix_tokens: int = 0
    special_tokens: int = 0
    positions: int = 0
    loss_tokens: int = 0
    discarded: dict[str, int] = field(default_factory=dict)
    conditioned: int = 0
    prefix_too_long: int = 0
    loss_weight: float | None = None
    replaced: Replaced | None = None

    def __add__(self, other: "DrawCounts") -> "DrawCounts":
        ours, theirs = vars(self), vars(other)
        discarded = Counter(self.discarded)
        discarded.update(other.discarded)
        special = ("discarded", "loss_weight", "replaced")
        sums = {name: ours[name] + theirs[name] for name in ours if name not in special}
        weights = [weight for weight in (self.loss_weight, other.loss_weight) if weight is not None]
        replaced = [amount for amount in (self.replaced, other.replaced) if amount is not None]
        return DrawCounts(
            **sums,
            discarded=dict(discarded),
            loss_weight=sum(weights) if weights else None,
            replaced=sum(replaced, Replaced()) if replaced else None,
        )

    @property
    def drawn(self) -> Amount:
        """The documents with their own tokens."""
        return Amount(self.documents, self.tokens)

    def closes(self) -> bool:
        """Whether every token is in a sequence or discarded for a reason."""
        made = self.tokens + self.prefix_tokens + self.special_tokens
        return made == self.positions + sum(self.discarded.values())

    def to_json(self) -> dict[str, Any]:
        return _left_out(asdict(self), "loss_weight", "replaced")


@dataclass(frozen=True)
class PhaseLedger:
    """What is in the sequences of a phase, or of one shard of it.

    Attributes:
        sources: by name.
        padding: positions.
        labels: the same by what its mixture is by; none where that is the source.
    """

    sources: dict[str, DrawCounts] = field(default_factory=dict)
    padding: int = 0
    labels: dict[str, DrawCounts] = field(default_factory=dict)

    def __add__(self, other: "PhaseLedger") -> "PhaseLedger":
        padding = self.padding + other.padding
        return PhaseLedger(_summed(self.sources, other.sources), padding, _summed(self.labels, other.labels))

    def of(self, source: str) -> DrawCounts:
        """What it takes from a source."""
        return self.sources.get(source, DrawCounts())

    def of_label(self, label: str) -> DrawCounts:
        """What it takes of a label."""
        return self.labels.get(label, DrawCounts())

    def to_json(self) -> dict[str, Any]:
        """As in the ledger."""
        values = {"sources": {name: counts.to_json() for name, counts in self.sources.items()}, "padding": self.padding}
        labels = {label: counts.to_json() for label, counts in self.labels.items()}
        return {**values, "labels": labels} if labels else values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PhaseLedger":
        """From its JSON object in the ledger.

        Raises:
            ValueError: this is none.
        """
        return _PHASE.validate_python(values)

    @classmethod
    def of_shard(cls, metadata: Mapping[str, Any]) -> "PhaseLedger":
        """What a shard's metadata says of its sequences (docs/formats.md)."""
        labels = metadata.get("labels", {})
        return cls.from_json({"sources": metadata["counts"], "padding": metadata["padding"], "labels": labels})


def _summed(one: Mapping[str, DrawCounts], other: Mapping[str, DrawCounts]) -> dict[str, DrawCounts]:
    nothing = DrawCounts()
    return {name: one.get(name, nothing) + other.get(name, nothing) for name in sorted({*one, *other})}


@dataclass(frozen=True)
class Ledger:
    """Both halves, by the names of sources and of phases (or branches at one point)."""

    sources: dict[str, SourceLedger]
    phases: dict[str, PhaseLedger]

    def to_json(self) -> dict[str, Any]:
        """As in the manifest."""
        sources = {name: source.to_json() for name, source in self.sources.items()}
        return {"sources": sources, "phases": {name: phase.to_json() for name, phase in self.phases.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Ledger":
        """The ledger of a manifest.

        Raises:
            ValueError: this is none.
        """
        return _LEDGER.validate_python(values)


# -------------------------------------------------------------------------------------------------------------- shards


@dataclass(frozen=True)
class ShardRecord:
    """Says that a shard is whole.

    Attributes:
        plan_sha256, code_version: what it was made by.
        phase, shard: which one it is.
        entry: its line in the manifest.
        contents: what is in its sequences.
        domains: of a shard that was imported, the domain that samples name -> how many do.
    """

    plan_sha256: str
    code_version: str
    phase: str
    shard: int
    entry: ShardEntry
    contents: PhaseLedger
    domains: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: Mapping[str, Any], entry: ShardEntry) -> "ShardRecord":
        """From a shard's own metadata (docs/formats.md)."""
        plan_sha256, code_version, phase, shard = (
            metadata[key] for key in ("plan_sha256", "code_version", "phase", "shard")
        )
        contents, domains = PhaseLedger.of_shard(metadata), metadata.get("domains", {})
        return cls(plan_sha256, code_version, phase, shard, entry, contents, domains)

    def to_json(self) -> dict[str, Any]:
        """The JSON object above."""
        contents = self.contents.to_json()
        contents["counts"] = contents.pop("sources")
        if self.domains:
            contents["domains"] = self.domains
        names = {key: vars(self)[key] for key in ("plan_sha256", "code_version", "phase", "shard")}
        return {**names, **vars(self.entry), **contents}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ShardRecord":
        """The record that `to_json` made this of."""
        return cls.of(values, ShardEntry(**{key: values[key] for key in ShardEntry.__dataclass_fields__}))


_LEDGER = TypeAdapter(Ledger)
_PHASE = TypeAdapter(PhaseLedger)
