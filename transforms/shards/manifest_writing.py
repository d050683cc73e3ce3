"""Sums the records of shards into the manifest, the last file of a build, and closes the ledger.

```
.byline/conditioned-00000.json  ...00001.json   ->   phases   rows, tokens, mixture, shards
                                                     ledger   by phase: what was drawn of each source, and padding
runs of the token store, plan                   ->   ledger   by source: read, dropped, kept, used, unused
```
"""

import json
from collections import Counter
from typing import Any

from byline import manifest as manifests
from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts
from byline.schemas.plan import Plan
from byline.schemas.store import RunInfo
from byline.shards import FORMAT
from byline.transforms.files import storage
from byline.transforms.shards.assembling import AssembleJob, record_path
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def write_manifest(
    config: Config, plan: Plan, runs: list[RunInfo], job: AssembleJob, inputs: int
) -> list[dict[str, Any]]:
    """Writes the manifest of a build whose shards are all whole, and deletes what was only needed until then.

    Args:
        config: the recipe.
        plan: whose shards they are.
        runs: of the token store, all of them.
        job: that wrote the shards.
        inputs: how many input files there are.

    Returns:
        The records of the shards, in the order of the plan.

    Raises:
        BylineError: the shards hold other documents than the plan draws.
    """
    uris = [record_path(job.work, phase, shard) for phase, shard, _ in plan.shards()]
    records = [json.loads(content) for content in storage.side_by_side(storage.read_bytes, uris)]
    phases, ledger_phases = [], {}
    for phase in plan.header["phases"]:
        phase_records = [record for record in records if record["phase"] == phase["name"]]
        counts = _sum_counts(phase_records)
        for source in phase["sources"]:
            drawn = counts.get(source, DrawCounts())
            check_draws(plan, phase["name"], source, drawn.documents, drawn.tokens)
        phases.append(_phase_entry(config, phase, phase_records, counts))
        ledger_phases[phase["name"]] = {
            "sources": {source: count.to_json() for source, count in sorted(counts.items())},
            "padding": sum(record["padding"] for record in phase_records),
        }
    manifest = {
        "format": FORMAT,
        "version": manifests.MANIFEST_VERSION,
        "sequence_length": config.sequence.length,
        "ids": config.shard.ids,
        "tokenizer": {**job.tokenizer.to_json(), "markers": _markers(config)},
        "config": config.model_dump(mode="json"),
        "plan_sha256": job.plan_sha256,
        "code_version": job.code_version,
        "inputs": inputs,
        "phases": phases,
        "ledger": {"sources": _source_ledger(config, plan, runs), "phases": ledger_phases},
    }
    with storage.write_file(storage.join(config.output, manifests.FILE_NAME)) as sink:
        sink.write(json.dumps(manifest, indent=1, ensure_ascii=False).encode())
    storage.delete_folder(job.work)
    return records


def check_draws(plan: Plan, phase: str, source: str, documents: int, tokens: int) -> None:
    """Compares what the shards of a phase took from a source with what the plan draws.

    Raises:
        BylineError: the token store is not the one that was planned with.
    """
    epochs = plan.header["drawn"]["phases"].get(phase, {}).get(source, {}).values()
    expected = (sum(e["documents"] for e in epochs), sum(e["tokens"] for e in epochs))
    if (documents, tokens) != expected:
        raise BylineError(
            f"phase {phase}, source {source}: the plan draws {expected[0]:,} documents with {expected[1]:,} tokens, "
            f"the token store gave {documents:,} with {tokens:,}; it has changed since, so build again"
        )


def _markers(config: Config) -> dict[str, int]:
    """Name -> id of the tokens that stand around templates."""
    vocabulary = shared_tokenizer(config.tokenizer).vocabulary
    return {name: vocabulary[name] for name in config.marker_names}


def _sum_counts(records: list[dict[str, Any]]) -> dict[str, DrawCounts]:
    """What shards took together, by source."""
    sums: dict[str, DrawCounts] = {}
    for record in records:
        for source, counts in record["counts"].items():
            sums.setdefault(source, DrawCounts()).add(DrawCounts(**counts))
    return sums


def _phase_entry(
    config: Config, phase: dict[str, Any], records: list[dict[str, Any]], counts: dict[str, DrawCounts]
) -> dict[str, Any]:
    rows = sum(record["rows"] for record in records)
    filled = max(sum(count.positions for count in counts.values()), 1)
    return {
        "name": phase["name"],
        "template": None if phase["condition"] is None else phase["condition"]["template"],
        "branch": phase["branch"],
        "packing": phase["packing"],
        "values": phase["values"],
        "rows": rows,
        "tokens": rows * config.sequence.length,
        "loss_tokens": sum(record["loss_tokens"] for record in records),
        "mixture": {
            source: {
                "requested": planned["requested_share"],
                "achieved": counts.get(source, DrawCounts()).positions / filled,
            }
            for source, planned in phase["sources"].items()
        },
        "shards": [
            {key: record[key] for key in ("path", "rows", "loss_tokens", "bytes", "sha256")} for record in records
        ],
    }


def _source_ledger(config: Config, plan: Plan, runs: list[RunInfo]) -> dict[str, Any]:
    """Documents read, dropped and kept, and kept ones used and unused, of each source."""
    ledger = {}
    for source in sorted(config.sources):
        source_runs = [run for run in runs if run.source == source]
        dropped: Counter[str] = Counter()
        for run in source_runs:
            dropped.update(run.dropped)
        ledger[source] = {
            "read": {
                "documents": sum(run.rows_read for run in source_runs),
                "bytes": sum(run.bytes_read for run in source_runs),
            },
            "dropped": dict(sorted(dropped.items())),
            "kept": {
                "documents": sum(run.rows for run in source_runs),
                "tokens": sum(run.tokens for run in source_runs),
                "bytes": sum(run.text_bytes for run in source_runs),
            },
            "used": plan.header["drawn"]["used"].get(source, {"documents": 0, "tokens": 0}),
            "unused": plan.header["drawn"]["unused"].get(source, {}),
            "special_text": sum(run.special_text for run in source_runs),
        }
    return ledger
