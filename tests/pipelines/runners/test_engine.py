"""What an engine counts is what the files say, its absence is said, and nothing else depends on it."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult
from rich.console import Console

from byline.pipelines.jobs import assemble as assembling
from byline.pipelines.jobs import prepare as preparing
from byline.pipelines.jobs.plan import make_recipe_plan
from byline.pipelines.runners import engine
from byline.pipelines.runners.engine import (
    EngineCounts,
    describe_counts,
    describe_job,
    job_shower,
    read_counts,
    show_counts,
)
from byline.pipelines.runners.settings import Runner, RunnerSettings
from byline.schemas.config import Config
from byline.transforms.documents.counters import NOT_IN_LEDGER
from tests.support import small
from tests.support.builds import manifest_of

ALONE = RunnerSettings(workers=1)
Counted = dict[str, tuple[dict[str, int], dict[str, int]]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Step -> (what the engine counted, what the files say) of each job that runs."""
    found: Counted = {}

    def keep(console: Console, name: str, settings: RunnerSettings, result: Any, ledger: dict[str, int]) -> None:
        values = read_counts(result).values
        found[name] = ({key: value for key, value in values.items() if key not in NOT_IN_LEDGER}, ledger)

    monkeypatch.setattr(engine, "show_counts", keep)
    return found


def recipe(folder: Path) -> Config:
    small.tokenizer_file(folder)
    texts = [small.with_kept_fields({"text": f"the quick fox number {number} jumps"}) for number in range(40)]
    small.write_jsonl(folder / "a/x.jsonl", [*texts, {"text": ""}, {"text": None}, {"text": " "}])
    small.write_jsonl(folder / "a/y.jsonl", texts)
    small.write_jsonl(
        folder / "b/z.jsonl",
        [*(small.with_kept_fields({"text": f"é {number}"}) for number in range(30)), {"no": "text"}],
    )
    return small.small_config(folder, tokens=512, shard={"sequences": 4}, sequence={"length": 32})


def test_a_local_run_counts_what_the_ledger_has(tmp_path: Path, counted: Counted) -> None:
    config = recipe(tmp_path)
    state = preparing.prepare(config, ALONE, small.quiet())
    found, files = counted["prepare"]
    assert found == files
    assert (found["runs"], found["documents_read"], found["documents_kept"]) == (3, 114, 110)
    assert (found["dropped_empty_text"], found["dropped_missing_text"]) == (2, 2)
    assert found["text_bytes_kept"] == sum(run.text_bytes for run in state.runs)
    assert found["tokens_kept"] == sum(run.tokens for run in state.runs)

    plan = make_recipe_plan(config, state, [], ALONE)
    assembling.assemble(config, plan, state.runs, ALONE, small.quiet())
    found, files = counted["assemble"]
    (phase,) = manifest_of(Path(config.output))["phases"]
    assert found == files
    assert (found["sequences"], found["loss_tokens"]) == (phase["rows"], phase["loss_tokens"])
    assert found["shards"] == len(phase["shards"]) == 4
    assert found["positions"] + found.get("padding", 0) == phase["tokens"]


def test_a_run_that_goes_on_counts_what_it_writes(tmp_path: Path, counted: Counted) -> None:
    config = recipe(tmp_path)
    state = preparing.prepare(config, ALONE, small.quiet())
    (gone,) = [run for run in state.runs if run.path == "y.jsonl"]
    Path(gone.uri).unlink()
    preparing.prepare(config, ALONE, small.quiet())
    found, files = counted["prepare"]
    assert found == files
    assert (found["runs"], found["documents_read"], found["tokens_kept"]) == (1, 40, gone.tokens)


def result_of(*counters: tuple[str, int | None, int | None]) -> Any:
    """A result with counters (name, committed, attempted), as if each were of a step of its own."""
    found = [
        SimpleNamespace(key=SimpleNamespace(metric=SimpleNamespace(name=name)), committed=committed, attempted=tried)
        for name, committed, tried in counters
    ]
    return SimpleNamespace(metrics=lambda: SimpleNamespace(query=lambda filter: {"counters": found}))


def test_counters_of_several_steps_are_summed_and_committed_ones_count() -> None:
    assert read_counts(result_of(("runs", 2, 3), ("runs", 4, 4), ("new", None, 1))) == EngineCounts(
        {"runs": 6, "new": 0}, True
    )
    assert read_counts(result_of(("runs", None, 3), ("runs", None, 4))) == EngineCounts({"runs": 7}, False)


def test_an_engine_that_does_not_answer_fails_nothing() -> None:
    def refuse() -> None:
        raise ConnectionError("the job server is gone")

    none = EngineCounts({}, False)
    assert read_counts(SimpleNamespace(metrics=refuse)) == none
    assert read_counts(SimpleNamespace(metrics=lambda: None)) == none
    assert describe_counts("prepare", "spark", none, {"runs": 3}) == (
        "prepare   spark gives no counters; the ledger counts files"
    )


def test_the_line_says_whether_the_files_say_the_same() -> None:
    files = {"runs": 1200, "tokens_kept": 5}
    same = EngineCounts({"tokens_kept": 5, "runs": 1200, "store_retries": 2, "dropped_malformed": 0}, True)
    assert describe_counts("prepare", "dataflow", same, files) == (
        "prepare   as counted by dataflow: runs 1,200, store_retries 2, tokens_kept 5; the files say the same"
    )
    twice = EngineCounts({"tokens_kept": 5, "runs": 1201}, False)
    assert describe_counts("prepare", "flink", twice, files) == (
        "prepare   as counted by flink, tries that failed included: runs 1,201, tokens_kept 5; "
        "the files, by which the ledger goes, say otherwise: runs 1,201 instead of 1,200; "
        "a task that ran twice may be counted twice"
    )
    assert EngineCounts({"runs": 1}, True).differences({"runs": 1, "shards": 2}) == ["shards 0 instead of 2"]


@pytest.mark.parametrize(
    ("settings", "is_shown"),
    [
        (RunnerSettings(), False),
        (RunnerSettings(verbose=True), True),
        (RunnerSettings(runner="flink"), True),
    ],
)
def test_counters_of_this_machine_are_shown_where_more_is_asked_for(settings: RunnerSettings, is_shown: bool) -> None:
    console = Console(file=io.StringIO())
    show_counts(console, "prepare", settings, result_of(("runs", 1, 1)), {"runs": 1})
    assert ("runs 1" in console.file.getvalue()) == is_shown


def test_where_a_job_is() -> None:
    cloud = PipelineOptions(["--region=europe-west1", "--project=mine"])
    assert describe_job(Runner.DATAFLOW, SimpleNamespace(job_id=lambda: "2026_x"), cloud) == (
        "dataflow  job 2026_x, https://console.cloud.google.com/dataflow/jobs/europe-west1/2026_x?project=mine"
    )
    served = PipelineOptions(["--job_endpoint=jobs:8099"])
    assert describe_job(Runner.SPARK, SimpleNamespace(_job_id="job_1"), served) == (
        "spark     job job_1, of the job server at jobs:8099"
    )
    assert describe_job(Runner.LOCAL, PipelineResult("DONE"), PipelineOptions([])) is None
    assert describe_job(Runner.FLINK, PipelineResult("DONE"), served) is None


def test_a_job_is_shown_when_it_has_begun() -> None:
    console = Console(file=io.StringIO())
    show = job_shower(console, RunnerSettings(runner="flink"))
    show(SimpleNamespace(_job_id="job_1"), PipelineOptions(["--job_endpoint=[::1]:8099"]))
    assert console.file.getvalue() == "flink     job job_1, of the job server at [::1]:8099\n"
