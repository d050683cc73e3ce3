"""The job of `byline plan`: token store -> plan. Writes nothing to the output.

The runner scans a large token store; a small one is scanned in this process.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from rich.console import Console

from byline.pipelines.console.notes import show_notes
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings, is_worth_a_job
from byline.schemas.config import Config
from byline.schemas.field_counts import FieldCounts
from byline.schemas.plan import Plan
from byline.schemas.store import RunFile
from byline.transforms.attributes.attribute_state import (
    AttributeState,
    check_whole,
    folders_of,
    read_attribute,
    used_attributes,
)
from byline.transforms.fields.known_fields import check_known
from byline.transforms.files import storage
from byline.transforms.files.refusals import scratch_folder
from byline.transforms.plans.empty_sources import check_kept
from byline.transforms.plans.limits import check_asked
from byline.transforms.plans.planning import make_plan
from byline.transforms.scans.count_runs import count_here, write_counter
from byline.transforms.scans.counting import RunCounter, Scan
from byline.transforms.store import store_index
from byline.transforms.store.attribute_columns import AttributeFolders
from byline.transforms.store.field_counting import fields_of_sources
from byline.transforms.store.run_reading import forget_runs
from byline.transforms.store.state import StoreState, read_state
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info

# Of a document a scan reads the shuffle key, the number of tokens, and the columns that its predicates name.
_DOCUMENT_BYTES = 24
# A file and a record batch each cost a request to an object store: half a millisecond with 64 under way, in which a
# scan reads about this much. So a store of few but long documents is large, too.
_REQUEST_BYTES = 16 << 10


def plan(config: Config, settings: RunnerSettings, console: Console) -> tuple[Plan, StoreState]:
    """Plans a recipe from a token store that is whole.

    Raises:
        BylineError: files are not prepared, or the recipe does not work out.
    """
    check_asked(config)
    state = read_state(config, reads_input=False)
    show_notes(state.notes, console)
    state.check_whole(config.store, "run `byline prepare` or `byline build`")
    attributes = [read_attribute(config, state, name) for name in used_attributes(config)]
    for attribute in attributes:
        check_whole(attribute, "run `byline attribute` or `byline build`")
    return make_recipe_plan(config, state, attributes, settings), state


def make_recipe_plan(
    config: Config, state: StoreState, attributes: Sequence[AttributeState], settings: RunnerSettings
) -> Plan:
    """Plans from the state of a token store that is whole, and of the attributes that the recipe names."""
    check_kept(config, state.runs)
    check_known(config, known_fields(state, attributes))
    forget_runs()
    tokenizer = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    folders = folders_of(config, attributes)
    return make_plan(config, tokenizer, state.runs, _scans(config, state, folders, settings), folders)


def known_fields(state: StoreState, attributes: Sequence[AttributeState]) -> dict[str, dict[str, FieldCounts]]:
    """Source -> field -> how many documents have a value; columns of attributes stand behind those of the runs."""
    fields = fields_of_sources(state.runs)
    for attribute in attributes:
        for source, counts in attribute.counts.items():
            fields[source] = {**fields[source], **counts}
    return fields


def _scans(config: Config, state: StoreState, attributes: AttributeFolders, settings: RunnerSettings) -> Scan:
    uris, size = store_index.run_uris(state.runs), scan_bytes(state.files)
    replaced = {source: list(columns) for source in config.sources if (columns := config.replaced_columns(source))}

    def run_job(counter: RunCounter) -> pa.RecordBatch:
        # Here, where there is something to run (byline.pipelines.wiring).
        with quick_imports():
            from byline.pipelines.wiring.lines import run_over_lines
            from byline.transforms.scans.count_runs_transform import CountRuns
        with _work_files(config.store, settings) as (list_uri, counter_uri, counts_uri):
            write_counter(counter_uri, counter, attributes, replaced)
            counts = CountRuns(counter_uri, counts_uri, config.salts)
            run_over_lines("Runs", list_uri, uris, counts, size, settings)
            with storage.open_random(counts_uri) as source:
                return pa.ipc.open_file(source).get_batch(0)

    return run_job if is_worth_a_job(size) else lambda counter: count_here(counter, uris, attributes, replaced)


@contextmanager
def _work_files(store: str, settings: RunnerSettings) -> Iterator[list[str]]:
    """Three files that all workers can open, for the block: the list of runs, the counter, and what was counted."""
    names = ("runs.txt", "counter.json", "counts.arrow")
    if settings.is_on_this_machine:
        # A store that may not be written to can be planned from.
        with scratch_folder("plan") as folder:
            yield [storage.join(folder, name) for name in names]
        return
    uris = [storage.join(store, storage.temporary_name(name)) for name in names]
    try:
        yield uris
    finally:
        for uri in uris:
            storage.delete_file(uri)


def scan_bytes(files: Iterable[RunFile]) -> int:
    """About how much a scan over files of the token store reads, in bytes; a request counts as what it costs."""
    return sum(
        _DOCUMENT_BYTES * sum(run.rows for run in file.chunks) + _REQUEST_BYTES * (1 + len(file.batch_shuffle_keys))
        for file in files
    )
