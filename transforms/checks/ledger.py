"""The ledger recounted: its sums from its own lines, and its lines from the rows, the shards and the plan.

```
source   read = kept + dropped          kept = used + unused          read = records of inputs.arrow
phase    tokens + prefix + special = positions + discarded            positions + padding = rows * L
         special = documents * (BOS and EOS)                          masked = prefix + BOS of conditioned documents
rows     positions, loss tokens, documents, conditioned ones by source = the ledger's
shards   the counts that each says of itself, summed                  = the ledger's
```

Documents of a source that makes or formatters its texts may mask tokens of their own, so of it no fewer positions than
these are masked; and without BOS, which is masked with a prefix alone, no more than those whose first position is
masked are conditioned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from byline.manifest import Manifest, PhaseEntry
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts
from byline.schemas.recipe import Condition, Packing
from byline.schemas.store import RunInfo
from byline.transforms.checks.plan import condition_of, sources_masking_own
from byline.transforms.checks.reports import ShardCounts, SourceCounts
from byline.transforms.filters.tables import drop_reasons_of

_PAIR = {"documents": int, "tokens": int}
_DRAWS = dict.fromkeys(DrawCounts.__dataclass_fields__, int) | {"discarded": {str: int}}
_SOURCE = {
    "read": {"documents": int, "bytes": int},
    "dropped": {str: int},
    "kept": {"documents": int, "tokens": int, "bytes": int},
    "used": _PAIR,
    "unused": {str: _PAIR},
    "special_text": int,
}
_MANIFEST = {
    "sequence_length": int,
    "tokenizer": {
        **{"name": str, "sha256": str, "vocab_size": int, "bos_id": None, "eos_id": None, "pad_id": int},
        **{"added": {str: int}, "markers": {str: int}},
    },
    "inputs": int,
    "ledger": {"sources": {str: _SOURCE}, "phases": {str: {"sources": {str: _DRAWS}, "padding": int}}},
}
_PHASE = {
    "name": str,
    "packing": str,
    "rows": int,
    "tokens": int,
    "loss_tokens": int,
    "mixture": {str: {"requested": float, "achieved": float}},
}
_BRANCH = {"of": str, "at": float, "phase": str, "shards": int}
_SHARD = {"path": str, "rows": int, "loss_tokens": int, "bytes": int, "sha256": str}


def misfits(manifest: Manifest) -> list[str]:
    """What is missing in the manifest or of another type, so that nothing else can be checked."""
    found = list(_misfits(vars(manifest), _MANIFEST))
    for number, phase in enumerate([] if found else manifest.phases):
        where = f"phases.{number}"
        found += _misfits(vars(phase), _PHASE, where)
        if phase.branch is not None:
            found += _misfits(phase.branch, _BRANCH, f"{where}.branch")
        for index, shard in enumerate(phase.shards):
            found += _misfits(vars(shard), _SHARD, f"{where}.shards.{index}")
        if phase.name not in manifest.ledger["phases"]:
            found.append(f"ledger.phases: no key {phase.name!r}")
    return [f"manifest.json: {misfit}" for misfit in found]


def shard_misfits(said: dict[str, Any]) -> list[str]:
    """The same of what a shard says of its contents."""
    return [f"its metadata: {misfit}" for misfit in _misfits(said, {"counts": {str: _DRAWS}, "padding": int})]


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
        problems.append(f"inputs.arrow has {len(names):,} input files, the manifest says {manifest.inputs:,}")
    drawn = _drawn(manifest)
    owners = np.array([source for source, _ in names], object)
    for name, source in manifest.ledger["sources"].items():
        read, kept, used, unused = source["read"], source["kept"], source["used"], source["unused"].values()
        sums = [
            ("documents read", read["documents"], kept["documents"] + sum(source["dropped"].values())),
            ("documents kept", kept["documents"], used["documents"] + sum(u["documents"] for u in unused)),
            ("tokens kept", kept["tokens"], used["tokens"] + sum(u["tokens"] for u in unused)),
        ]
        for what, said, counted in sums:
            if said != counted:
                problems.append(f"ledger, source {name}: {said:,} {what}, its lines sum to {counted:,}")
        reasons = drop_reasons_of(config, name)
        problems += [
            f"ledger, source {name}: documents dropped for {reason!r}, a reason that none of its rules gives"
            for reason in source["dropped"]
            if not reasons.accepts(reason)
        ]
        records = int(input_rows[owners == name].sum())
        if read["documents"] != records:
            problems.append(
                f"ledger, source {name}: {read['documents']:,} documents read, inputs.arrow has {records:,} records"
            )
        if used["documents"] > drawn.get(name, 0):
            problems.append(
                f"ledger, source {name}: {used['documents']:,} documents used, {drawn.get(name, 0):,} drawn"
            )
    return problems


def source_totals(runs: list[RunInfo]) -> dict[str, Any]:
    """What the runs of one source give for its lines in the ledger."""
    dropped: dict[str, int] = {}
    for run in runs:
        for reason, count in run.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return {
        "read": {"documents": sum(run.rows_read for run in runs), "bytes": sum(run.bytes_read for run in runs)},
        "dropped": dropped,
        "kept": {
            "documents": sum(run.rows for run in runs),
            "tokens": sum(run.tokens for run in runs),
            "bytes": sum(run.text_bytes for run in runs),
        },
        "special_text": sum(run.special_text for run in runs),
    }


def _drawn(manifest: Manifest) -> dict[str, int]:
    total: dict[str, int] = {}
    for phase in manifest.ledger["phases"].values():
        for name, counts in phase["sources"].items():
            total[name] = total.get(name, 0) + counts["documents"]
    return total


def check_phase(
    manifest: Manifest,
    config: Config,
    phase: PhaseEntry,
    shards: list[ShardCounts],
    said: list[dict[str, Any]],
) -> list[str]:
    """The lines of one phase against its rows.

    Args:
        manifest: of the build.
        config: of the build.
        phase: one of it.
        shards: what was counted in its shards.
        said: what its shards say of their contents.
    """
    ledger = manifest.ledger["phases"][phase.name]
    where = f"ledger, phase {phase.name}"
    problems = _check_sums(manifest, phase, shards, ledger)
    problems += [f"{where}: {problem}" for problem in _check_said(ledger, said)]
    masking = sources_masking_own(config)
    for name in sorted({*ledger["sources"], *phase.mixture}):
        counted = DrawCounts(**ledger["sources"].get(name, {}))
        found = _found(shards, name)
        rules = _SourceRules(manifest, phase, condition_of(config, phase), name in masking)
        lines = [*_check_draws(counted, rules), *_check_counted(counted, found, rules)]
        problems += [f"{where}, source {name}: {line}" for line in lines]
    return problems + [f"{where}, {line}" for line in _check_achieved(phase, shards)]


def _found(shards: list[ShardCounts], source: str) -> SourceCounts:
    """What the rows of a phase have of a source."""
    mine = [shard.sources[source] for shard in shards if source in shard.sources]
    return SourceCounts(*(sum(getattr(some, what) for some in mine) for what in SourceCounts.__dataclass_fields__))


def _check_achieved(phase: PhaseEntry, shards: list[ShardCounts]) -> Iterator[str]:
    positions = sum(source.positions for shard in shards for source in shard.sources.values())
    for name, shares in phase.mixture.items():
        share = _found(shards, name).positions / max(positions, 1)
        if abs(shares["achieved"] - share) > 1e-9:
            yield f"source {name}: the manifest's achieved share is {shares['achieved']}, that of the shards {share}"


def _check_said(ledger: dict[str, Any], said: list[dict[str, Any]]) -> Iterator[str]:
    total: dict[str, DrawCounts] = {}
    padding = 0
    for shard in said:
        padding += shard["padding"]
        for name, counts in shard["counts"].items():
            total.setdefault(name, DrawCounts()).add(DrawCounts(**counts))
    if padding != ledger["padding"]:
        yield f"{ledger['padding']:,} padding, the shards say {padding:,}"
    for name in sorted({*total, *ledger["sources"]}):
        mine, theirs = ledger["sources"].get(name, {}), total.get(name, DrawCounts()).to_json()
        for key, value in theirs.items():
            if mine.get(key) != value:
                yield f"source {name}: {key} {mine.get(key)}, the shards say {value}"


@dataclass(frozen=True)
class _SourceRules:
    """What the lines of one source in one phase must keep to; `masks_own`: its documents may mask their own tokens."""

    manifest: Manifest
    phase: PhaseEntry
    condition: Condition | None
    masks_own: bool

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
    if counted.special_tokens != counted.documents * special:
        yield f"{counted.special_tokens:,} BOS and EOS, {counted.documents:,} documents have {special} each"
    if not counted.prefix_too_long <= counted.conditioned <= counted.documents:
        yield f"{counted.prefix_too_long:,} long prefixes, {counted.conditioned:,} conditioned of {counted.documents:,}"
    if counted.discarded and packing != Packing.DOCUMENT_START:
        yield f"{counted.discarded} discarded, where {packing} discards nothing"
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


def _check_counted(counted: DrawCounts, found: SourceCounts, rules: _SourceRules) -> Iterator[str]:
    """The lines of one source against the rows."""
    lines = [
        ("positions", counted.positions, found.positions),
        ("loss tokens", counted.loss_tokens, found.loss_tokens),
        ("documents", counted.documents, found.drawn),
    ]
    if rules.condition is None or rules.condition.position == "before":
        conditioned = counted.conditioned
        if rules.masks_own and not rules.has_bos:
            # The first position of a document may be a token of its own that it masks.
            conditioned = max(conditioned, found.conditioned)
        lines.append(("conditioned documents", conditioned, found.conditioned))
    for what, said, rows in lines:
        if said != rows:
            yield f"{said:,} {what}, the shards have {rows:,}"


def _check_sums(manifest: Manifest, phase: PhaseEntry, shards: list[ShardCounts], ledger: dict[str, Any]) -> list[str]:
    rows = sum(shard.rows for shard in shards)
    documents = sum(counts["positions"] for counts in ledger["sources"].values())
    sums = [
        ("rows", phase.rows, rows),
        ("tokens", phase.tokens, rows * manifest.sequence_length),
        ("loss tokens", phase.loss_tokens, sum(shard.loss_tokens for shard in shards)),
        ("padding", ledger["padding"], sum(shard.padding for shard in shards)),
        ("positions and padding", documents + ledger["padding"], rows * manifest.sequence_length),
    ]
    return [
        f"phase {phase.name}: the manifest says {said:,} {what}, the shards have {found:,}"
        for what, said, found in sums
        if said != found
    ]
