"""`byline plan`: token store -> plan; `pipelines.plan_report` shows it. Writes nothing to the output."""

from collections.abc import Callable
from dataclasses import replace

import apache_beam as beam
import pyarrow as pa
from rich.console import Console

from byline.errors import BylineError
from pipelines.prepare import StoreState, look_at_store
from pipelines.runner import SMALL_INPUT_BYTES, RunnerSettings, run_pipeline
from schemas.config import Config
from schemas.plan import Plan
from transforms.batches.work_lists import ListRuns, write_lines
from transforms.files import storage
from transforms.passes.count_runs import CountRuns, write_counter
from transforms.passes.counting import RunCounter
from transforms.plans.planning import make_plan
from transforms.store import store_index
from transforms.store.run_reading import forget_runs
from transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info


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
    forget_runs()
    tokenizer = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    return make_plan(config, tokenizer, state.runs, _passes(config, state, settings))


def _passes(config: Config, state: StoreState, settings: RunnerSettings) -> Callable[[RunCounter], pa.RecordBatch]:
    index_bytes = 24 * sum(run.rows for run in state.runs)
    if index_bytes < SMALL_INPUT_BYTES:
        # However many workers were asked for: starting them for a few passes of milliseconds takes seconds.
        settings = replace(settings, workers=1)

    def do_pass(counter: RunCounter) -> pa.RecordBatch:
        list_uri = storage.join(config.store, storage.temporary_name("runs.txt"))
        counter_uri = storage.join(config.store, storage.temporary_name("counter.json"))
        counts_uri = storage.join(config.store, storage.temporary_name("counts.arrow"))

        def wire(pipeline: beam.Pipeline) -> object:
            return pipeline | "ListRuns" >> ListRuns(list_uri) | "CountRuns" >> CountRuns(counter_uri, counts_uri)

        try:
            write_lines(list_uri, store_index.run_uris(state.runs))
            write_counter(counter_uri, counter)
            run_pipeline(wire, settings, index_bytes)
            with storage.open_random(counts_uri) as source:
                return pa.ipc.open_file(source).get_batch(0)
        finally:
            for uri in (list_uri, counter_uri, counts_uri):
                storage.delete_file(uri)

    return do_pass
