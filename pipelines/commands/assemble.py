"""`byline assemble`: plan -> shards, and the manifest last. Writes only the shards that are missing."""

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import apache_beam as beam
import pyarrow as pa
from rich.console import Console

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import ShardEntry
from byline.pipelines.commands.prepare import StoreState
from byline.pipelines.console.leftovers import clean_output
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.runners.engine import job_shower, show_counts
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.reader import INPUTS_NAME
from byline.schemas import plan as plans
from byline.schemas.config import Config
from byline.schemas.inputs import input_table
from byline.schemas.ledger import DrawCounts
from byline.schemas.plan import Plan
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.shards import FORMAT, shard_metadata
from byline.transforms.documents.counters import shard_counts, total
from byline.transforms.documents.work_lists import ReadPlan
from byline.transforms.files import storage
from byline.transforms.plans.planning import check_draws
from byline.transforms.shards.assembling import (
    INDEX_NAME,
    WORK_FOLDER,
    AssembleJob,
    AssembleShards,
    record_path,
    write_record,
)
from byline.transforms.shards.gathering import write_index
from byline.transforms.store.run_reading import forget_runs
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def assemble(
    config: Config,
    plan: Plan,
    state: StoreState,
    settings: RunnerSettings,
    console: Console,
    *,
    overwrite: bool = False,
) -> None:
    """Writes the shards of a plan and the manifest.

    Args:
        config: the recipe.
        plan: made from it.
        state: of the token store that it was made with.
        settings: how to run.
        console: for progress.
        overwrite: whether a finished build of another plan may be replaced.

    Raises:
        BylineError: the output holds another build, or the token store is not the planned one.
    """
    has_room = _make_room(config.output, plan, console, overwrite=overwrite)
    clean_output(config.output, console)
    if not has_room:
        console.print(f"assemble  nothing to do: {config.output} is finished", highlight=False, markup=False)
        return
    forget_runs()
    job = AssembleJob.of(config, TokenizerInfo(**plan.header["tokenizer"]), plan.sha256, version("byline"))
    numbers = _write_lists(config, plan, state, job)
    expected = sum(
        source["expected_positions"] for phase in plan.header["phases"] for source in phase["sources"].values()
    )
    with progress_bar(console, "assemble", len(plan.shards()), _follow(job), unit="shards"):
        result = run_pipeline(_wire(config, job), settings, 2 * expected, job_shower(console, settings))
    clean_output(config.output, console, is_finished=True)
    records = _finish(config, plan, state, job, len(numbers))
    show_counts(console, "assemble", settings, result, total(map(shard_counts, records)))


def show_result(output: str, console: Console) -> None:
    """Prints what each phase of a finished build came to: rows, trained tokens, mixture, what packing discarded."""
    uri = storage.join(output, manifests.FILE_NAME)
    manifest = manifests.parse_manifest(storage.read_bytes(uri), uri)
    for phase in manifest.phases:
        console.print(
            f"{phase.name}: {phase.rows:,} sequences, {phase.tokens:,} tokens, "
            f"{phase.loss_tokens / max(phase.tokens, 1):.2%} of them trained",
            highlight=False,
        )
        ledger = manifest.ledger["phases"][phase.name]
        for source, share in phase.mixture.items():
            counts = ledger["sources"].get(source, {"documents": 0, "discarded": {}})
            discarded = "".join(f", {count:,} tokens discarded ({why})" for why, count in counts["discarded"].items())
            console.print(
                f"  {source}: {share['achieved']:.2%} (asked {share['requested']:.2%}), "
                f"{counts['documents']:,} documents{discarded}",
                highlight=False,
                soft_wrap=True,
            )


def _make_room(output: str, plan: Plan, console: Console, *, overwrite: bool) -> bool:
    """Makes the folder ready for a plan; False where its build is finished already."""
    manifest_uri, plan_uri = storage.join(output, manifests.FILE_NAME), storage.join(output, plans.FILE_NAME)
    if not storage.exists(plan_uri):
        if storage.exists(manifest_uri):
            raise BylineError(
                f"{output}: has a {manifests.FILE_NAME} but no {plans.FILE_NAME}; choose another `output`"
            )
        return True
    content = storage.read_bytes(plan_uri)
    is_finished = storage.exists(manifest_uri)
    if content == plan.to_bytes():
        return not is_finished or _has_lost(output, console)
    if is_finished and not overwrite:
        raise BylineError(
            f"{output}: holds a finished build of another plan; choose another `output`, "
            f"or give --overwrite to replace it"
        )
    shards = [plans.shard_path(*shard) for shard in plans.read_plan(content, plan_uri).shards()]
    storage.delete_file(manifest_uri)
    storage.delete_folder(storage.join(output, WORK_FOLDER))
    storage.side_by_side(storage.delete_file, (storage.join(output, shard) for shard in shards))
    return True


def _has_lost(output: str, console: Console) -> bool:
    """Whether files of a finished build are gone or of another size; if so, it is no finished build any more.

    What is left of it is taken over: each shard that is as it was is said to be whole again.
    """
    uri = storage.join(output, manifests.FILE_NAME)
    manifest = manifests.parse_manifest(storage.read_bytes(uri), uri)
    sizes = {storage.resolve(info.path)[1]: info.size for info in storage.list_files(output)}
    folder = storage.resolve(output)[1]
    shards = [shard for phase in manifest.phases for shard in phase.shards]
    lost = [shard.path for shard in shards if sizes.get(f"{folder}/{shard.path}") != shard.bytes]
    lost += [INPUTS_NAME] * (f"{folder}/{INPUTS_NAME}" not in sizes)
    work = storage.join(output, WORK_FOLDER)
    if not lost:
        # What a build leaves that was killed after its last file.
        storage.delete_folder(work)
        return False
    console.print(
        f"assemble  missing or of another size in the finished build: {len(lost):,} of {len(shards) + 1:,} files "
        f"(first: {lost[0]}); written again",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    storage.delete_file(uri)
    gone = set(lost)
    storage.side_by_side(lambda shard: _take_over(output, shard), (shard for shard in shards if shard.path not in gone))
    return True


def _take_over(output: str, shard: ShardEntry) -> None:
    """Says that a shard is whole; one that is damaged is not said to be, and written again."""
    with storage.open_random(storage.join(output, shard.path)) as source:
        try:
            metadata = shard_metadata(pa.ipc.open_file(source).schema, shard.path)
        except (pa.ArrowException, OSError, ValueError):
            return
    write_record(storage.join(output, WORK_FOLDER), shard, metadata)


def _write_lists(config: Config, plan: Plan, state: StoreState, job: AssembleJob) -> dict[tuple[str, str], int]:
    """Writes what the workers read (plan, runs) and the list of input files; returns the files' numbers."""
    table = input_table(state.runs)
    names = zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True)
    numbers = {name: number for number, name in enumerate(names)}
    with storage.write_file(storage.join(config.output, plans.FILE_NAME)) as sink:
        sink.write(plan.to_bytes())
    with (
        storage.write_file(storage.join(config.output, INPUTS_NAME)) as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    with storage.write_file(storage.join(job.work, INDEX_NAME)) as sink:
        write_index([(run.source, numbers[run.source, run.path], run.uri) for run in state.runs], sink)
    return numbers


def _wire(config: Config, job: AssembleJob) -> Callable[[beam.Pipeline], object]:
    plan_uri = storage.join(config.output, plans.FILE_NAME)

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | "ReadPlan" >> ReadPlan(plan_uri) | "AssembleShards" >> AssembleShards(job)

    return wire


def _follow(job: AssembleJob) -> Callable[[], int]:
    return lambda: sum(info.base_name.endswith(".json") for info in storage.list_files(job.work))


def _finish(config: Config, plan: Plan, state: StoreState, job: AssembleJob, inputs: int) -> list[dict[str, Any]]:
    """Sums the shards' records into the manifest, writes it, and removes what was only needed until then.

    Returns:
        The records.
    """
    uris = [record_path(job.work, phase, shard) for phase, shard, _ in plan.shards()]
    records = [json.loads(content) for content in storage.side_by_side(storage.read_bytes, uris)]
    phases, ledger_phases = [], {}
    for phase in plan.header["phases"]:
        mine = [record for record in records if record["phase"] == phase["name"]]
        counts = _sum_counts(mine)
        for source in phase["sources"]:
            drawn = counts.get(source, DrawCounts())
            check_draws(plan, phase["name"], source, drawn.documents, drawn.tokens)
        phases.append(_phase_entry(config, phase, mine, counts))
        ledger_phases[phase["name"]] = {
            "sources": {source: count.to_json() for source, count in sorted(counts.items())},
            "padding": sum(record["padding"] for record in mine),
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
        "ledger": {"sources": _source_ledger(config, plan, state), "phases": ledger_phases},
    }
    with storage.write_file(storage.join(config.output, manifests.FILE_NAME)) as sink:
        sink.write(json.dumps(manifest, indent=1, ensure_ascii=False).encode())
    storage.delete_folder(job.work)
    return records


def _markers(config: Config) -> dict[str, int]:
    """Name -> id of the tokens that stand around templates."""
    vocabulary = shared_tokenizer(config.tokenizer).vocabulary
    return {name: vocabulary[name] for name in config.marker_names}


def _sum_counts(records: list[dict[str, Any]]) -> dict[str, DrawCounts]:
    total: dict[str, DrawCounts] = {}
    for record in records:
        for source, counts in record["counts"].items():
            total.setdefault(source, DrawCounts()).add(DrawCounts(**counts))
    return total


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
                "requested": found["requested_share"],
                "achieved": counts.get(source, DrawCounts()).positions / filled,
            }
            for source, found in phase["sources"].items()
        },
        "shards": [
            {key: record[key] for key in ("path", "rows", "loss_tokens", "bytes", "sha256")} for record in records
        ],
    }


def _source_ledger(config: Config, plan: Plan, state: StoreState) -> dict[str, Any]:
    """Documents read, dropped and kept, and kept ones used and unused, of each source."""
    ledger = {}
    for source in sorted(config.sources):
        runs = [run for run in state.runs if run.source == source]
        dropped: dict[str, int] = {}
        for run in runs:
            for reason, count in run.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        ledger[source] = {
            "read": {"documents": sum(run.rows_read for run in runs), "bytes": sum(run.bytes_read for run in runs)},
            "dropped": dict(sorted(dropped.items())),
            "kept": {
                "documents": sum(run.rows for run in runs),
                "tokens": sum(run.tokens for run in runs),
                "bytes": sum(run.text_bytes for run in runs),
            },
            "used": plan.header["drawn"]["used"].get(source, {"documents": 0, "tokens": 0}),
            "unused": plan.header["drawn"]["unused"].get(source, {}),
            "special_text": sum(run.special_text for run in runs),
        }
    return ledger
