"""The pipeline of `byline prepare`: input files -> runs of the token store."""

from collections.abc import Callable, Iterable

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult
from rich.console import Console

from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import run_pipeline
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.transforms.corpora.metadata_transform import ExtractMetadata
from byline.transforms.corpora.reading_transform import ReadCorpus
from byline.transforms.documents.work_lists import ListInputs, write_lines
from byline.transforms.filters.filtering_transform import FilterDocuments
from byline.transforms.filters.tables import rules_of
from byline.transforms.formatters.formatting_transform import FormatDocuments
from byline.transforms.scores.models_folder import models_folder
from byline.transforms.scores.scoring_transform import ScoreQuality
from byline.transforms.store.faults import FaultNotes
from byline.transforms.store.resuming_transform import LeaveOutWritten
from byline.transforms.store.runs_transform import WriteRuns
from byline.transforms.store.state import StoreState
from byline.transforms.tokens.tokenizing_transform import Tokenize


def run_preparing(
    config: Config,
    state: StoreState,
    pending: Iterable[InputFile],
    list_uri: str,
    settings: RunnerSettings,
    console: Console,
) -> PipelineResult:
    """Prepares input files.

    Args:
        config: the configuration.
        state: of its token store.
        pending: the files.
        list_uri: where a list of them goes, which all workers can read.
        settings: how to run.
        console: for what an engine says of the job.

    Raises:
        BylineError: as `run_pipeline` does.
    """
    # Large files first, so that no worker starts on the largest one last; the bytes do not depend on it.
    files = sorted(pending, key=lambda file: (-file.size, file.source, file.path))
    write_lines(list_uri, (file.to_json() for file in files))
    size = sum(file.size for file in files)
    return run_pipeline(wire_preparing(config, state, list_uri), settings, size, job_shower(console, settings))


def wire_preparing(config: Config, state: StoreState, list_uri: str) -> Callable[[beam.Pipeline], object]:
    """The steps, for a list of input files."""
    # Without patterns, of which a source may list thousands: the workers are given each file by its path.
    sources = {name: source.model_copy(update={"path": []}) for name, source in config.sources.items()}
    formatters = {name: source.formatter for name, source in sources.items() if source.formatter is not None}
    malformed = {name: source.malformed for name, source in sources.items()}
    given = {name: set(source.score) for name, source in sources.items()}
    rules = {name: rules_of(config, name) for name in config.sources}
    models = models_folder(config.store)

    note = FaultNotes(state.folders)

    def wire(pipeline: beam.Pipeline) -> object:
        return (
            pipeline
            | "ListInputs" >> ListInputs(list_uri)
            | "LeaveOutWritten" >> LeaveOutWritten(state.folders)
            | "ReadCorpus" >> ReadCorpus(sources, note=note)
            | "FormatDocuments" >> FormatDocuments(formatters, malformed, note)
            | "ExtractMetadata" >> ExtractMetadata()
            | "ScoreQuality" >> ScoreQuality(dict(config.classifiers), models, given)
            | "FilterDocuments" >> FilterDocuments(rules, models)
            | "Tokenize" >> Tokenize(config.tokenizer)
            | "WriteRuns" >> WriteRuns(state.folders, state.fingerprints)
        )

    return wire
