"""Sums the records of shards into the manifest, the last file of a build, and closes the ledger.

```
.byline/conditioned-00000.json  ...00001.json   ->   phases   rows, tokens, mixture, shards
                                                     ledger   by phase: what was drawn of each source, and padding
runs of the token store, plan                   ->   ledger   by source: read, dropped, kept, used, unused
```
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.schemas.config import Config
from byline.schemas.ledger import Amount, DrawCounts, Ledger, PhaseLedger, Replaced, ShardRecord, SourceLedger
from byline.schemas.plan import Plan
from byline.schemas.planned_stage import PlannedStage
from byline.schemas.store import RunInfo
from byline.shards import FORMAT
from byline.transforms.fields.placeholders import placeholder_ids
from byline.transforms.files import storage
from byline.transforms.shards.assembling import AssembleJob
from byline.transforms.shards.output import InputList
from byline.transforms.shards.records import WORK_FOLDER, ShardMaker, read_record, record_path
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def write_manifest(
    config: Config, plan: Plan, runs: list[RunInfo], job: AssembleJob, inputs: InputList
) -> list[ShardRecord]:
    """Writes the manifest of a build whose shards are all whole, and deletes what was only needed until then.

    Args:
        config: the recipe.
        plan: whose shards they are.
        runs: of the token store, all of them.
        job: that wrote the shards.
        inputs: the list of input files.

    Returns:
        The records of the shards, in the order of the plan.

    Raises:
        BylineError: the shards hold other documents than the plan draws.
    """
    records = read_records(job.work, plan.shards(), job.maker)
    entries, phases = [], {}
    for stage in plan.header.stages:
        own = [record for record in records if record.phase == stage.name]
        counts = sum((record.contents for record in own), PhaseLedger())
        for source in stage.sources:
            check_draws(plan, stage.name, source, counts.of(source))
        for label in stage.labels:
            planned = plan.header.drawn.labels.get(stage.name, {}).get(label, Amount())
            check_drawn(stage.name, f"label {label}", planned, counts.of_label(label).drawn)
        entries.append(_planned_entry(stage, [record.entry for record in own], counts, config.sequence.length))
        phases[stage.name] = counts
    ledger = Ledger(_source_ledgers(config, plan, runs), phases)
    manifest = Manifest(
        sequence_length=config.sequence.length,
        ids=config.shard.ids,
        tokenizer={**job.tokenizer.to_json(), **_named_tokens(config)},
        config=config.model_dump(mode="json"),
        plan_sha256=job.maker.plan_sha256,
        code_version=job.maker.code_version,
        inputs=inputs.files,
        inputs_sha256=inputs.sha256,
        phases=entries,
        ledger=ledger.to_json(),
        loss_weight=config.weight_type,
    )
    finish_output(config.output, manifest)
    return records


def read_records(work: str, planned: Sequence[tuple[str, int, int]], maker: ShardMaker) -> list[ShardRecord]:
    """The records of all shards of an output, in order.

    Args:
        work: the folder that has them.
        planned: the shards: (stage, shard, number of shards in the stage).
        maker: what they are made by.

    Raises:
        BylineError: one is damaged, or another build's.
    """
    uris = [record_path(work, stage, shard) for stage, shard, _ in planned]
    return list(map(partial(_checked, maker), uris, storage.side_by_side(read_record, uris)))


def finish_output(output: str, manifest: Manifest) -> None:
    """Writes the manifest of an output whose shards are all whole, and deletes what was only needed until then."""
    values: dict[str, Any] = {"format": FORMAT, "version": manifests.MANIFEST_VERSION, **asdict(manifest)}
    del values["sha256"]
    for phase in values["phases"]:
        if phase["labels"] is None:
            del phase["labels"]
    if manifest.loss_weight is None:
        del values["loss_weight"]
    # Of what a reader gets from JSON.
    values["digests"] = manifests.digests_of(json.loads(json.dumps(values)))
    with storage.write_file(storage.join(output, manifests.FILE_NAME)) as sink:
        sink.write(json.dumps(values, indent=1, ensure_ascii=False).encode())
    storage.delete_folder(storage.join(output, WORK_FOLDER))


def _checked(maker: ShardMaker, uri: str, record: ShardRecord | None) -> ShardRecord:
    if record is None:
        raise BylineError(f"{uri}: cannot be read as the record of a shard; run the same command again")
    if not maker.made(record):
        raise BylineError(
            f"{uri}: is of another plan or version, so another build wrote to this output; run the same command again"
        )
    return record


def check_draws(plan: Plan, stage: str, source: str, counted: DrawCounts) -> None:
    """Compares what the shards of a stage took from a source with what the plan draws.

    Raises:
        BylineError: the token store is not the one that was planned with.
    """
    check_drawn(stage, f"source {source}", plan.header.drawn.draws_of(stage, source), counted.drawn)
    planned = plan.header.replaced_by(stage, source)
    # A source that no shard has a document of has no counts.
    found = counted.replaced or (None if planned is None else Replaced())
    if planned != found:
        raise BylineError(
            f"phase {stage}, source {source}: the plan replaces {planned}, the token store gave {found}; it has "
            "changed since, so build again"
        )


def check_drawn(stage: str, what: str, planned: Amount, drawn: Amount) -> None:
    """Compares what the shards of a stage took of a source or label with what the plan draws.

    Raises:
        BylineError: the token store is not the one that was planned with.
    """
    if drawn != planned:
        raise BylineError(
            f"phase {stage}, {what}: the plan draws {planned}, the token store gave {drawn.documents:,} with "
            f"{drawn.tokens:,}; it has changed since, so build again"
        )


def _named_tokens(config: Config) -> dict[str, dict[str, int]]:
    """Name -> id of the tokens that stand around templates and, where any is replaced, of placeholders."""
    tokenizer = shared_tokenizer(config.tokenizer)
    markers = {name: tokenizer.vocabulary[name] for name in config.marker_names}
    placeholders = placeholder_ids(config, tokenizer)
    return {"markers": markers, **({"placeholders": placeholders} if placeholders else {})}


def _planned_entry(stage: PlannedStage, shards: list[ShardEntry], counts: PhaseLedger, length: int) -> PhaseEntry:
    filled = max(sum(of_source.positions for of_source in counts.sources.values()), 1)
    mixture = {
        source: {"requested": planned.requested_share, "achieved": counts.of(source).positions / filled}
        for source, planned in stage.sources.items()
    }
    by_label = {
        label: {"requested": planned.requested_share, "achieved": counts.of_label(label).positions / filled}
        for label, planned in stage.labels.items()
    }
    return replace(
        phase_entry(stage.name, stage.packing, shards, mixture, length),
        template=stage.template,
        branch=None if stage.branch is None else stage.branch.to_json(),
        values=stage.values.to_json(),
        labels=by_label or None,
    )


def phase_entry(
    name: str, packing: str, shards: list[ShardEntry], mixture: dict[str, dict[str, float]], length: int
) -> PhaseEntry:
    """A phase of the timeline without a condition, from its shards of rows of L = `length` tokens."""
    rows = sum(shard.rows for shard in shards)
    return PhaseEntry(
        name=name,
        template=None,
        rows=rows,
        tokens=rows * length,
        loss_tokens=sum(shard.loss_tokens for shard in shards),
        loss_tokens_in_rows=sum(shard.loss_tokens_in_rows for shard in shards),
        loss_tokens_in_segments=sum(shard.loss_tokens_in_segments for shard in shards),
        mixture=mixture,
        shards=shards,
        packing=packing,
    )


def _source_ledgers(config: Config, plan: Plan, runs: list[RunInfo]) -> dict[str, SourceLedger]:
    drawn = plan.header.drawn
    return {
        source: SourceLedger.of(
            [run for run in runs if run.source == source],
            drawn.used.get(source, Amount()),
            drawn.unused.get(source, {}),
            plan.header.replaced_in(source),
        )
        for source in sorted(config.sources)
    }
