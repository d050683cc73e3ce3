"""`byline plan`: token store -> plan, and the table that shows it. Writes nothing to the output."""

from collections.abc import Callable
from dataclasses import replace

import apache_beam as beam
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from byline.errors import BylineError
from pipelines.prepare import StoreState, look_at_store
from pipelines.runner import SMALL_INPUT_BYTES, RunnerSettings, run_pipeline
from schemas.config import Config
from schemas.plan import Plan
from transforms import storage
from transforms.counting import CountRuns, RunCounter
from transforms.planning import make_plan
from transforms.tokenizing import shared_tokenizer, tokenizer_info
from transforms.work_lists import ListRuns, write_lines

# Below this, a range costs more to ask for than to read from an object store.
SMALL_RANGE_BYTES = 16_000
MANY_READS = 100_000


def plan(config: Config, settings: RunnerSettings, console: Console) -> tuple[Plan, StoreState]:
    """Plans a recipe from a token store that is whole.

    Raises:
        BylineError: files are not prepared, or the recipe does not work out.
    """
    state = look_at_store(config, console, reads_input=False)
    pending = state.pending()
    if pending:
        raise BylineError(
            f"{config.store}: {len(pending)} of {len(state.inputs)} input files are not prepared with this "
            f"configuration (first: {pending[0].source}/{pending[0].path}); run `byline prepare` or `byline build`"
        )
    return make_recipe_plan(config, state, settings), state


def make_recipe_plan(config: Config, state: StoreState, settings: RunnerSettings) -> Plan:
    """Plans from a state that was looked at."""
    tokenizer = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    return make_plan(config, tokenizer, state.runs, _passes(config, state, settings))


def _passes(config: Config, state: StoreState, settings: RunnerSettings) -> Callable[[RunCounter], pa.RecordBatch]:
    index_bytes = 24 * sum(run.rows for run in state.runs)
    if index_bytes < SMALL_INPUT_BYTES:
        # However many workers were asked for: starting them for a few passes of milliseconds takes seconds.
        settings = replace(settings, workers=1)

    def do_pass(counter: RunCounter) -> pa.RecordBatch:
        list_uri = storage.join(config.store, storage.temporary_name("runs.txt"))
        counts_uri = storage.join(config.store, storage.temporary_name("counts.arrow"))
        write_lines(list_uri, (run.uri for run in state.runs))

        def wire(pipeline: beam.Pipeline) -> object:
            return pipeline | "ListRuns" >> ListRuns(list_uri) | "CountRuns" >> CountRuns(counter, counts_uri)

        try:
            run_pipeline(wire, settings, index_bytes)
            with storage.open_random(counts_uri) as source:
                return pa.ipc.open_file(source).get_batch(0)
        finally:
            storage.delete_file(list_uri)
            storage.delete_file(counts_uri)

    return do_pass


def show_plan(plan: Plan, state: StoreState, console: Console) -> None:
    """Prints the table of phases and sources, the unused documents, and what reading will cost."""
    length = plan.header["sequence"]["length"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("phase", "source"):
        table.add_column(name, no_wrap=True)
    for name in ("documents", "tokens", "asked", "planned", "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    for phase in plan.header["phases"]:
        for number, (source, found) in enumerate(phase["sources"].items()):
            draws = plan.header["drawn"]["phases"].get(phase["name"], {}).get(source, {}).values()
            first, last = found["epochs"]
            table.add_row(
                phase["name"] if number == 0 else "",
                source,
                f"{sum(draw['documents'] for draw in draws):,}",
                f"{sum(draw['tokens'] for draw in draws):,}",
                f"{found['requested_share']:.2%}",
                f"{found['expected_share']:.2%}",
                f"{first:.3f}-{last:.3f}",
            )
    console.print(table)
    for phase in plan.header["phases"]:
        rows = phase["expected_rows"]
        size = f"{rows:,} sequences of {length:,} ({rows * length:,} tokens)"
        console.print(f"{phase['name']}: about {size} in {phase['shards']:,} shards", highlight=False)
    for source, reasons in sorted(plan.header["drawn"]["unused"].items()):
        for reason, left in reasons.items():
            if left["documents"]:
                console.print(
                    f"unused of {source} ({reason}): {left['documents']:,} documents, {left['tokens']:,} tokens",
                    highlight=False,
                )
    _show_reads(plan, state, console)


def _show_reads(plan: Plan, state: StoreState, console: Console) -> None:
    """How many ranges the shards read, and their size."""
    runs = {source: sum(run.source == source for run in state.runs) for source in state.folders}
    pairs = zip(plan.table["source"].to_pylist(), range(plan.table.num_rows), strict=True)
    reads = sum(runs[source] for source, _ in pairs)
    tokens = sum(d["tokens"] for p in plan.header["drawn"]["phases"].values() for s in p.values() for d in s.values())
    width = 2 if plan.header["tokenizer"]["vocab_size"] <= 2**16 else 4
    size = tokens * width / max(reads, 1)
    console.print(f"reads: {reads:,} ranges of {size / 1e3:,.1f} kB on average", highlight=False)
    if reads > MANY_READS and size < SMALL_RANGE_BYTES:
        console.print(
            f"[yellow]note[/] ranges below {SMALL_RANGE_BYTES // 1000} kB are slow on object stores; larger shards help"
        )
