"""The manifest of an import, from the records of its shards.

Each segment counts as a document that was read, kept and used; its bytes are those of the files. Nothing is left out of
a folder but the columns that `config.import` names: whatever else cannot be imported is an error.
"""

from dataclasses import asdict

from byline.manifest import Manifest, PhaseEntry
from byline.schemas.imports import ImportedPhase, ImportPlan
from byline.schemas.ledger import Amount, KeptCounts, Ledger, PhaseLedger, ReadCounts, ShardRecord, SourceLedger
from byline.transforms.imports.imported_rows import summed_domains
from byline.transforms.imports.importing import PACKING, ImportJob
from byline.transforms.shards.manifest_writing import finish_output, phase_entry, read_records
from byline.transforms.shards.output import InputList


def write_manifest(plan: ImportPlan, job: ImportJob, inputs: InputList) -> list[ShardRecord]:
    """Writes the manifest of an import whose shards are all whole; returns their records, in order.

    Raises:
        BylineError: a record is damaged, or another build's.
    """
    records = read_records(job.work, plan.shards(), job.maker)
    by_phase = {phase.name: [record for record in records if record.phase == phase.name] for phase in plan.phases}
    contents = {name: sum((record.contents for record in own), PhaseLedger()) for name, own in by_phase.items()}
    domains = {name: summed_domains(record.domains for record in own) for name, own in by_phase.items()}
    finish_output(
        job.output,
        Manifest(
            sequence_length=plan.sequence_length,
            ids=plan.ids,
            tokenizer={**plan.tokenizer.to_json(), "markers": {}},
            config=config_of(plan, domains),
            plan_sha256=job.maker.plan_sha256,
            code_version=job.maker.code_version,
            inputs=inputs.files,
            inputs_sha256=inputs.sha256,
            phases=[_entry(plan, phase, by_phase[phase.name]) for phase in plan.phases],
            ledger=ledger_of(plan, contents).to_json(),
        ),
    )
    return records


def _entry(plan: ImportPlan, phase: ImportedPhase, records: list[ShardRecord]) -> PhaseEntry:
    mixture = {phase.source: {"requested": 1.0, "achieved": 1.0}}
    return phase_entry(phase.name, PACKING, [record.entry for record in records], mixture, plan.sequence_length)


def config_of(plan: ImportPlan, domains: dict[str, dict[str, int]]) -> dict[str, object]:
    """What the manifest has for a configuration; `domains` of each phase, as `summed_domains` gives them."""
    return {
        "import": {
            "kind": plan.kind,
            "phases": [
                {
                    "name": phase.name,
                    "folder": phase.folder,
                    "left_out": phase.left_out,
                    "domains": domains[phase.name],
                }
                for phase in plan.phases
            ],
        },
        "tokenizer": asdict(plan.named),
    }


def ledger_of(plan: ImportPlan, contents: dict[str, PhaseLedger]) -> Ledger:
    """The ledger, from what is in the sequences of each phase."""
    sources = {}
    for phase in plan.phases:
        counts, size = contents[phase.name].of(phase.source), sum(file.bytes for file in phase.files)
        sources[phase.source] = SourceLedger(
            read=ReadCounts(counts.documents, size),
            dropped={},
            kept=KeptCounts(counts.documents, counts.tokens, size),
            used=Amount(counts.documents, counts.tokens),
            unused={},
            special_text=0,
            damaged=0,
            fields={},
        )
    return Ledger(sources, contents)
