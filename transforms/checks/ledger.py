"""The ledger recounted: its sums from its own lines, and its lines from the rows, the shards and the plan.

```
source   read = kept + dropped          kept = used + unused          read = records of _inputs.ipc
         kept = known + null + unknown of every field of the source, and of no other
phase    tokens + prefix + special = positions + discarded            positions + padding = rows * L
         special = documents * (BOS and EOS)                          masked = prefix + BOS of conditioned documents
         every line of its labels, summed                             = the same of its sources
         of what is replaced: no more placeholders than tokens         no fewer documents than documents with any
rows     positions, loss tokens, documents, conditioned ones by source = the ledger's
shards   the counts that each says of itself, summed                  = the ledger's
```

Documents of a source that makes or formats its texts may mask tokens of their own, so of it no fewer positions than
these are masked; and without BOS, which is masked with a prefix alone, no more than those whose first position is
masked are conditioned.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from byline.manifest import Manifest, PhaseEntry
from byline.schemas.config import Config
from byline.schemas.ledger import Amount, DrawCounts, Ledger, PhaseLedger, Replaced, SourceLedger
from byline.schemas.recipe import Condition
from byline.transforms.checks.plan import condition_of, sources_masking_own
from byline.transforms.checks.reports import ShardCounts, SourceCounts
from byline.transforms.filters.tables import drop_reasons_of
from byline.transforms.packing import policy_of

_PAIR = {"documents": int, "tokens": int}
_REPLACED = dict.fromkeys(Replaced.__dataclass_fields__, int)
_DRAWS: dict[str, Any] = {
    **{name: int for name in DrawCounts.__dataclass_fields__ if name not in ("loss_weight", "replaced")},
    "discarded": {str: int},
}
_SOURCE = {
    "read": {"documents": int, "bytes": int},
    "dropped": {str: int},
    "kept": {"documents": int, "tokens": int, "bytes": int},
    "used": _PAIR,
    "unused": {str: _PAIR},
    "special_text": int,
    "damaged": int,
    "fields": {str: {"known": int, "null": int, "unknown": int}},
}
_MANIFEST: dict[str, Any] = {
    "sequence_length": int,
    "tokenizer": {
        **{"name": str, "sha256": str, "vocab_size": int, "bos_id": None, "eos_id": None, "pad_id": int},
        **{"added": {str: int}, "markers": {str: int}},
    },
    "inputs": int,
}
_PHASE = {
    "name": str,
    "packing": str,
    "rows": int,
    "tokens": int,
    "loss_tokens": int,
    "loss_tokens_in_rows": int,
    "loss_tokens_in_segments": int,
    "mixture": {str: {"requested": float, "achieved": float}},
}
_BRANCH = {"of": str, "at": float, "phase": str, "shards": int}
_SHARD = {
    "path": str,
    "rows": int,
    "loss_tokens": int,
    "loss_tokens_in_rows": int,
    "loss_tokens_in_segments": int,
    "bytes": int,
    "sha256": str,
}


def misfits(manifest: Manifest) -> list[str]:
    """What is missing in the manifest or of another type, so that nothing else can be checked."""
    shape = dict(_MANIFEST)
    source: dict[str, Any] = dict(_SOURCE)
    if has_replaced(manifest):
        source["replaced"] = _REPLACED
        shape["tokenizer"] = {**_MANIFEST["tokenizer"], "placeholders": {str: int}}
    draws = _draws(manifest)
    shape["ledger"] = {"sources": {str: source}, "phases": {str: {"sources": {str: draws}, "padding": int}}}
    problems = list(_misfits(vars(manifest), shape))
    for number, phase in enumerate([] if problems else manifest.phases):
        where = f"phases.{number}"
        problems += _misfits(vars(phase), _PHASE, where)
        if phase.labels is not None:
            problems += _misfits(phase.labels, _PHASE["mixture"], f"{where}.labels")
        if phase.branch is not None:
            problems += _misfits(phase.branch, _BRANCH, f"{where}.branch")
        for index, shard in enumerate(phase.shards):
            problems += _misfits(vars(shard), _SHARD, f"{where}.shards.{index}")
        if phase.name not in manifest.ledger["phases"]:
            problems.append(f"ledger.phases: no key {phase.name!r}")
    return [f"_manifest.json: {misfit}" for misfit in problems]


def has_replaced(manifest: Manifest) -> bool:
    """Whether the recipe of a build replaces ranges of tokens."""
    return bool(manifest.config.get("replace"))


def _draws(manifest: Manifest) -> dict[str, Any]:
    """The shape of `DrawCounts` in a build."""
    weight = {} if manifest.loss_weight is None else {"loss_weight": float}
    return {**_DRAWS, **weight, **({"replaced": _REPLACED} if has_replaced(manifest) else {})}


def shard_misfits(said: dict[str, Any], manifest: Manifest) -> list[str]:
    """The same of what a shard of a build says of its contents."""
    shape: dict[str, Any] = {"counts": {str: _draws(manifest)}, "padding": int}
    if "domains" in said:
        shape["domains"] = {str: int}
    if "labels" in said:
        shape["labels"] = {str: shape["counts"][str]}
    return [f"its metadata: {misfit}" for misfit in _misfits(said, shape)]


def _misfits(value: Any, shape: Any, where: str = "") -> Iterator[str]:
    """`shape` is a type, None for anything, or a mapping; one whose only key is `str` stands for any keys."""
    head = f"{where}: " if where else ""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{head}expected a mapping, found {value!r}"
            return
        for key in value if str in shape else shape:
            if key not in value:
                yield f"{head}no key {key!r}"
            else:
                below = shape[str] if str in shape else shape[key]
                yield from _misfits(value[key], below, f"{where}.{key}" if where else key)
    elif shape is not None and (type(value) is not shape and not (shape is float and type(value) is int)):
        yield f"{head}expected {shape.__name__}, found {value!r}"


def check_sources(
    manifest: Manifest, config: Config, names: list[tuple[str, str]], input_rows: np.ndarray
) -> list[str]:
    """Every document that was read is kept or dropped, every kept one used or unused.

    Args:
        manifest: of the build.
        config: of the build.
        names: (source, path) of each input file.
        input_rows: int64 [files], records of each.
    """
    problems = []
    if manifest.inputs != len(names):
        problems.append(f"_inputs.ipc has {len(names):,} input files, the manifest says {manifest.inputs:,}")
    ledger = Ledger.from_json(manifest.ledger)
    owners = np.array([source for source, _ in names], object)
    for name, source in ledger.sources.items():
        unused = sum(source.unused.values(), Amount())
        gone = 0 if source.replaced is None else source.replaced.gone
        sums = [
            ("documents read", source.read.documents, source.kept.documents + sum(source.dropped.values())),
            ("documents kept", source.kept.documents, source.used.documents + unused.documents),
            ("tokens kept", source.kept.tokens, source.used.tokens + unused.tokens + gone),
        ]
        for what, said, counted in sums:
            if said != counted:
                problems.append(f"ledger, source {name}: {said:,} {what}, its lines sum to {counted:,}")
        problems += [f"ledger, source {name}: {problem}" for problem in _check_fields(config, name, source)]
        reasons = drop_reasons_of(config, name)
        problems += [
            f"ledger, source {name}: documents dropped for {reason!r}, a reason that none of its rules gives"
            for reason in source.dropped
            if not reasons.accepts(reason)
        ]
        records = int(input_rows[owners == name].sum())
        if source.read.documents != records:
            problems.append(
                f"ledger, source {name}: {source.read.documents:,} documents read, _inputs.ipc has {records:,} records"
            )
        drawn = sum(phase.of(name).documents for phase in ledger.phases.values())
        if source.replaced is not None and not _is_possible(source.replaced, source.kept.documents):
            problems.append(f"ledger, source {name}: {source.replaced}, of {source.kept.documents:,} kept")
        if source.used.documents > drawn:
            problems.append(f"ledger, source {name}: {source.used.documents:,} documents used, {drawn:,} drawn")
    return problems


def _is_possible(replaced: Replaced, documents: int) -> bool:
    """Whether so much may be replaced in so many documents: at least a token by a placeholder in each that has any."""
    return 0 <= replaced.documents <= min(replaced.placeholders, documents) and replaced.placeholders <= replaced.tokens


def _check_fields(config: Config, name: str, source: SourceLedger) -> Iterator[str]:
    """The counts of a source's fields."""
    expected = {"url", "host", "registered_domain", *config.columns_of(name)}
    if source.kept.documents and source.fields.keys() != expected:
        yield f"counts of the fields {sorted(source.fields)}, it has {sorted(expected)}"
    for field, counts in source.fields.items():
        if counts.documents != source.kept.documents or min(counts.known, counts.null, counts.unknown) < 0:
            yield f"{source.kept.documents:,} documents kept, {counts.documents:,} counted by field {field!r}"


def check_phase(
    manifest: Manifest,
    config: Config,
    phase: PhaseEntry,
    shards: list[ShardCounts],
    said: list[PhaseLedger],
) -> list[str]:
    """The lines of one phase against its rows.

    Args:
        manifest: of the build.
        config: of the build.
        phase: one of it.
        shards: what was counted in its shards.
        said: what its shards say of their contents.
    """
    ledger = Ledger.from_json(manifest.ledger).phases[phase.name]
    where = f"ledger, phase {phase.name}"
    problems = _check_sums(manifest, phase, shards, ledger)
    problems += [f"{where}: {problem}" for problem in _check_said(ledger, said)]
    problems += [f"{where}: {problem}" for problem in _check_labels(phase, ledger)]
    masking = sources_masking_own(config)
    for name in sorted({*ledger.sources, *phase.mixture}):
        counted = ledger.of(name)
        is_formatted = config.sources[name].is_formatted
        rules = _SourceRules(manifest, phase, condition_of(config, phase), name in masking, is_formatted)
        lines = [*_check_draws(counted, rules), *_check_counted(counted, _in_rows(shards, name), rules)]
        problems += [f"{where}, source {name}: {line}" for line in lines]
    return problems + [f"{where}, {line}" for line in _check_achieved(phase, shards)]


def _in_rows(shards: list[ShardCounts], source: str) -> SourceCounts:
    """What the rows of a phase have of a source."""
    counts = [shard.sources[source] for shard in shards if source in shard.sources]
    return SourceCounts(*(sum(vars(count)[what] for count in counts) for what in SourceCounts.__dataclass_fields__))


def _check_achieved(phase: PhaseEntry, shards: list[ShardCounts]) -> Iterator[str]:
    positions = sum(source.positions for shard in shards for source in shard.sources.values())
    for name, shares in phase.mixture.items():
        share = _in_rows(shards, name).positions / max(positions, 1)
        if abs(shares["achieved"] - share) > 1e-9:
            yield f"source {name}: the manifest's achieved share is {shares['achieved']}, that of the shards {share}"


def _check_said(ledger: PhaseLedger, said: list[PhaseLedger]) -> Iterator[str]:
    total = sum(said, PhaseLedger())
    if total.padding != ledger.padding:
        yield f"{ledger.padding:,} padding, the shards say {total.padding:,}"
    pairs = [(f"source {name}", ledger.of(name), total.of(name)) for name in {*total.sources, *ledger.sources}]
    pairs += [
        (f"label {name}", ledger.of_label(name), total.of_label(name)) for name in {*total.labels, *ledger.labels}
    ]
    for what, in_ledger, in_shards in sorted(pairs, key=lambda pair: pair[0]):
        for key, said_in, counted in _unlike(in_ledger, in_shards):
            yield f"{what}: {key} {said_in}, the shards say {counted}"


def _unlike(one: DrawCounts, other: DrawCounts) -> Iterator[tuple[str, Any, Any]]:
    """The name of each count that differs, and both."""
    for key, value in vars(other).items():
        own = vars(one)[key]
        if own != value and not (key == "loss_weight" and _same_weight(own, value)):
            yield key, own, value


def _check_labels(phase: PhaseEntry, ledger: PhaseLedger) -> Iterator[str]:
    """The lines of labels against those of sources, which are of the same documents."""
    if phase.labels is None and not ledger.labels:
        return
    sources, labels = (sum(lines.values(), DrawCounts()) for lines in (ledger.sources, ledger.labels))
    for key, of_sources, of_labels in _unlike(sources, labels):
        yield f"{key} {of_sources} of all sources, its labels sum to {of_labels}"
    filled = max(labels.positions, 1)
    for name in sorted({*ledger.labels, *(phase.labels or {})}):
        achieved = (phase.labels or {}).get(name, {}).get("achieved", 0.0)
        if abs(achieved - ledger.of_label(name).positions / filled) > 1e-9:
            yield f"label {name}: the manifest's achieved share is {achieved}, not that of its positions"


@dataclass(frozen=True)
class _SourceRules:
    """What the lines of one source in one phase must keep to.

    Attributes:
        manifest, phase: whose.
        condition: of the phase.
        masks_own: whether its documents may mask tokens of their own.
        is_formatted: whether its texts are made, and may have special tokens.
    """

    manifest: Manifest
    phase: PhaseEntry
    condition: Condition | None
    masks_own: bool
    is_formatted: bool

    @property
    def has_bos(self) -> bool:
        return self.manifest.tokenizer["bos_id"] is not None

    @property
    def specials(self) -> int:
        return self.has_bos + (self.manifest.tokenizer["eos_id"] is not None)


def _check_draws(counted: DrawCounts, rules: _SourceRules) -> Iterator[str]:
    """The lines of one source against each other."""
    special, packing = rules.specials, rules.phase.packing
    if not counted.closes():
        yield "tokens, prefixes and BOS/EOS are not positions and discarded tokens"
    if counted.replaced is not None and not _is_possible(counted.replaced, counted.documents):
        yield f"{counted.replaced}, of {counted.documents:,} drawn"
    if counted.special_tokens != counted.documents * special:
        yield f"{counted.special_tokens:,} BOS and EOS, {counted.documents:,} documents have {special} each"
    if not counted.prefix_too_long <= counted.conditioned <= counted.documents:
        yield f"{counted.prefix_too_long:,} long prefixes, {counted.conditioned:,} conditioned of {counted.documents:,}"
    discards = policy_of(packing).discards
    if counted.discarded.keys() - {discards and discards.name}:
        yield f"{counted.discarded} discarded, where {packing} discards {discards.name if discards else 'nothing'}"
    if rules.condition is None and (counted.prefix_tokens or counted.conditioned):
        yield f"{counted.prefix_tokens:,} tokens of prefixes in a phase without a condition"
    masked = counted.positions - counted.loss_tokens
    due = counted.prefix_tokens + counted.conditioned * rules.has_bos
    if rules.condition is None or rules.condition.position != "before":
        due = 0
    own = counted.tokens if rules.masks_own else 0
    # What the end of a row cuts off may be masked tokens, too.
    if not due - sum(counted.discarded.values()) <= masked <= due + own:
        yield f"{masked:,} masked positions, its prefixes and their BOS are {due:,}"


def _check_counted(counted: DrawCounts, in_rows: SourceCounts, rules: _SourceRules) -> Iterator[str]:
    """The lines of one source against the rows."""
    lines = [
        ("positions", counted.positions, in_rows.positions),
        ("loss tokens", counted.loss_tokens, in_rows.loss_tokens),
        ("documents", counted.documents, in_rows.drawn),
    ]
    if rules.condition is None or rules.condition.position == "before":
        conditioned = counted.conditioned
        if rules.masks_own and not rules.has_bos:
            # The first position of a document may be a token of its own that it masks.
            conditioned = max(conditioned, in_rows.conditioned)
        lines.append(("conditioned documents", conditioned, in_rows.conditioned))
    for what, said, rows in lines:
        if said != rows:
            yield f"{said:,} {what}, the shards have {rows:,}"
    yield from _check_placeholders(counted, in_rows.placeholders, rules)
    if not _same_weight(counted.loss_weight or 0.0, in_rows.loss_weight):
        yield f"{counted.loss_weight} loss weight, the shards have {in_rows.loss_weight}"


def _check_placeholders(counted: DrawCounts, in_rows: int, rules: _SourceRules) -> Iterator[str]:
    """Placeholders against the rows; those that packing discards are in none."""
    if counted.replaced is None:
        return
    said, cut = counted.replaced.placeholders, sum(counted.discarded.values())
    # A formatter of one's own may put the token into its texts, too.
    most = math.inf if rules.is_formatted else said
    if not said - cut <= in_rows <= most:
        yield f"{said:,} placeholders, the shards have {in_rows:,}"


def _same_weight(one: float | None, other: float | None) -> bool:
    """Whether two sums of float32 are the same, in whatever order they were added in float64."""
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9)


def _check_sums(manifest: Manifest, phase: PhaseEntry, shards: list[ShardCounts], ledger: PhaseLedger) -> list[str]:
    rows = sum(shard.rows for shard in shards)
    positions = sum(counts.positions for counts in ledger.sources.values())
    sums = [
        ("rows", phase.rows, rows),
        ("tokens", phase.tokens, rows * manifest.sequence_length),
        ("loss tokens", phase.loss_tokens, sum(shard.loss_tokens for shard in shards)),
        ("loss tokens in rows", phase.loss_tokens_in_rows, sum(shard.loss_tokens_in_rows for shard in shards)),
        (
            "loss tokens in segments",
            phase.loss_tokens_in_segments,
            sum(shard.loss_tokens_in_segments for shard in shards),
        ),
        ("padding", ledger.padding, sum(shard.padding for shard in shards)),
        ("positions and padding", positions + ledger.padding, rows * manifest.sequence_length),
    ]
    return [
        f"phase {phase.name}: the manifest says {said:,} {what}, the shards have {counted:,}"
        for what, said, counted in sums
        if said != counted
    ]
