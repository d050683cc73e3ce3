"""What Dataflow would be given of a build, and what is said of options and failures."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions
from google.api_core.exceptions import PermissionDenied, RetryError
from google.cloud import dataflow_v1beta3 as dataflow

import byline.pipelines.jobs.assemble
import byline.pipelines.jobs.plan
import byline.pipelines.jobs.prepare
import byline.pipelines.runners.settings
import byline.pipelines.wiring.assemble
import byline.pipelines.wiring.lines
import byline.pipelines.wiring.prepare
import byline.transforms.store.state
from byline.errors import BylineError
from byline.pipelines.jobs.verify import verify
from byline.pipelines.runners.dataflow import ASSEMBLING, BUILDING, PLANNING, is_out_of_reach, locations_of
from byline.pipelines.runners.runner import parse_options, run_pipeline
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.documents import InputFile
from byline.schemas.plan import Plan
from byline.transforms.files import storage
from byline.transforms.plans import planning
from byline.transforms.scans.counting import RunCounter
from byline.transforms.store.attribute_columns import AttributeFolders, ReplacedColumns
from byline.transforms.store.state import StoreState
from tests.support.builds import copy_build, quiet
from tests.support.corpora import Corpus, recipe
from tests.support.google_dataflow import IMAGE, NEEDED, OPTIONS, Google, Job, Wire, faked_google, translated

LOCATION = "expected gs://BUCKET/FOLDER, the bucket's name of at least three lowercase letters, digits, '-', '_' or '.'"
MOST_BYTES = 100_000
HOSTS = [f"host-{number}.example.org" for number in range(100_000)]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Google]:
    with faked_google() as made:
        yield made


# ----------------------------------------------------------------------------------------------------------- pipelines


class _TakenError(Exception):
    """Ends a command where its pipeline would run."""


@dataclass
class Build:
    """A planned build over all corpora, with everything that a counter may hold; `finished` is another one's output."""

    finished: Path
    config: Config
    state: StoreState
    plan: Plan
    counters: list[RunCounter]

    def wires(self, files: int, folder: Path) -> list[tuple[str, Wire]]:
        """The pipelines of a build from so many input files, with a name each."""
        found: list[tuple[str, Wire]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "temporary_name", lambda name: f".tmp-{name}")
            patch.setattr(byline.pipelines.runners.settings, "SMALL_SCAN_BYTES", 0)

            def take(name: str, module: Any, run: Callable[[], object]) -> None:
                def run_pipeline(wire: Wire, *_: object) -> None:
                    found.append((name, wire))
                    raise _TakenError

                patch.setattr(module, "run_pipeline", run_pipeline)
                with pytest.raises(_TakenError):
                    run()

            settings, inputs = (
                RunnerSettings(runner="dataflow", options=OPTIONS),
                made_inputs(files, list(self.config.sources)),
            )
            patch.setattr(byline.transforms.store.state, "list_inputs", inputs)
            # The files are not there to be read from.
            patch.setattr(byline.pipelines.jobs.prepare, "check_named_fields", lambda *_: True)
            sources = {
                name: source.model_copy(update={"path": [f"{source.path}/{n}" for n in range(files)]})
                for name, source in self.config.sources.items()
            }
            update = {"sources": sources, "store": str(folder / "store"), "output": str(folder / "shards")}
            config = self.config.model_copy(update=update)
            take(
                "prepare",
                byline.pipelines.wiring.prepare,
                lambda: byline.pipelines.jobs.prepare.prepare(config, settings, quiet()),
            )
            many = replace(
                self.state, runs=[replace(run, path=f"{n:05d}") for run in self.state.runs[:1] for n in range(files)]
            )
            scan = byline.pipelines.jobs.plan._scans(config, many, {}, settings)
            for counter in self.counters:
                take(type(counter).__name__, byline.pipelines.wiring.lines, lambda: scan(counter))  # noqa: B023
            take(
                "assemble",
                byline.pipelines.wiring.assemble,
                lambda: byline.pipelines.jobs.assemble.assemble(config, self.plan, many.runs, settings, quiet()),
            )
            take(
                "verify",
                byline.pipelines.wiring.lines,
                lambda: verify(str(self.finished), 64, None, settings, quiet()),
            )
        return found


def made_inputs(files: int, sources: list[str]) -> Callable[..., list[InputFile]]:
    """Input files that are nowhere, dealt out to the sources in turn."""
    dealt = [(sources[n % len(sources)], f"{n:05d}.gz") for n in range(files)]
    return lambda source, _: [InputFile(of, path, f"gs://raw/{path}", 1) for of, path in dealt if of == source]


@pytest.fixture(scope="module")
def planned(corpus: Corpus, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A plan from the shared store, with a list of 100,000 hosts, commonest values, bins, an order and a sample."""
    values = recipe(corpus, built.parent)
    values["phases"] = [
        {
            "name": "conditioned",
            "share": 0.9,
            "select": [{"deny": {"host": HOSTS}}, {"top": 0.9, "by": "quality"}],
            "condition": {
                "template": "{host} {num_tokens}\n\n",
                "top": {"host": "50%"},
                "bins": {"num_tokens": 4},
            },
            "order": {"by": "num_tokens", "bins": 2},
        },
        {"name": "cooldown", "share": 0.1, "select": {"deny": {"host": HOSTS}}},
    ]
    config = parse_config(values, "test")
    counters: list[RunCounter] = []
    with pytest.MonkeyPatch.context() as patch:
        count = byline.pipelines.jobs.plan.count_here

        def noted(
            counter: RunCounter, uris: Sequence[str], attributes: AttributeFolders, replaced: ReplacedColumns
        ) -> pa.RecordBatch:
            counters.append(counter)
            return count(counter, uris, attributes, replaced)

        patch.setattr(byline.pipelines.jobs.plan, "count_here", noted)
        patch.setattr(planning, "SAMPLED_DOCUMENTS", 300)
        plan, state = byline.pipelines.jobs.plan.plan(config, RunnerSettings(), quiet())
    kinds = {type(counter).__name__ for counter in counters}
    assert kinds == {"DigitCounter", "ValueCounter", "SampleCounter", "ShuffleKeyCounter", "DrawCounter", "ListCounter"}
    finished = copy_build(built, tmp_path_factory.mktemp("finished") / "shards")
    return Build(finished, config, state, plan, list({type(counter): counter for counter in counters}.values()))


@pytest.fixture(scope="module")
def jobs(planned: Build, cloud: Google, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Job]]:
    """Every pipeline, by the number of input files and its name."""
    folder = tmp_path_factory.mktemp("jobs")
    return {
        files: {name: translated(wire, folder, cloud) for name, wire in planned.wires(files, folder)}
        for files in (1, 30_000)
    }


def test_every_job_of_a_build(jobs: dict[int, dict[str, Job]]) -> None:
    few = jobs[1]
    counters = ["DigitCounter", "ListCounter", "ValueCounter", "SampleCounter", "ShuffleKeyCounter", "DrawCounter"]
    assert sorted(few) == sorted(["prepare", *counters, "assemble", "verify"])
    for name, job in few.items():
        environment = job.template["environment"]
        assert "use_runner_v2" in environment["experiments"]
        assert environment["version"]["job_type"] == "FNAPI_BATCH"
        assert job.images == {IMAGE}
        # Neither a pickled main session nor any other file: all code is in the image.
        assert job.staged == ["pipeline.pb"]
        assert all("packages" not in pool for pool in environment["workerPools"])
        options = environment["sdkPipelineOptions"]["options"]
        assert (options["save_main_session"], options["sdk_location"]) == (False, "container")
        assert len(job.graph) + len(json.dumps(job.template)) < MOST_BYTES, name


def test_a_job_is_the_same_for_1_and_for_30_000_input_files(jobs: dict[int, dict[str, Job]]) -> None:
    assert "ReadCorpus/ReadFile" in jobs[1]["prepare"].steps
    for name, job in jobs[1].items():
        assert jobs[30_000][name].steps == job.steps, name
        assert jobs[30_000][name].graph == job.graph, name
        assert jobs[30_000][name].template == job.template, name


def test_a_main_session_would_be_seen(planned: Build, cloud: Google, tmp_path: Path) -> None:
    """What Beam does for this runner where nobody says otherwise."""
    name, wire = planned.wires(1, tmp_path)[-1]
    assert name == "verify"
    job = translated(wire, tmp_path, cloud, save_main_session=None)
    assert job.staged == ["pickled_main_session", "pipeline.pb"]


# ------------------------------------------------------------------------------------------------ options and failures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sdk_container_image": None, "region": None},
            "dataflow: needs --option sdk_container_image=REGISTRY/byline:TAG, --option region=REGION "
            "(docs/dataflow.md)",
        ),
        ({"temp_location": "/tmp/x"}, f"dataflow: temp_location '/tmp/x': {LOCATION}"),
        ({"temp_location": "gs://bucket"}, f"dataflow: temp_location 'gs://bucket': {LOCATION}"),
        # Beam takes no capitals, and would make a bucket of its own.
        ({"temp_location": "gs://BUCKET/tmp"}, f"dataflow: temp_location 'gs://BUCKET/tmp': {LOCATION}"),
        ({"staging_location": "gs://b/tmp"}, f"dataflow: staging_location 'gs://b/tmp': {LOCATION}"),
        (
            {"template_location": "gs://bucket/t"},
            "dataflow: no template_location: a build is jobs that each need what the one before wrote",
        ),
    ],
)
def test_wrong_options(changes: dict[str, str | None], message: str) -> None:
    values = {**NEEDED, **changes}
    options = tuple(f"--{name}={value}" for name, value in values.items() if value is not None)
    with pytest.raises(BylineError) as caught:
        parse_options(RunnerSettings(runner="dataflow", options=options))
    assert str(caught.value) == message


def test_what_beam_finds_wrong(cloud: Google) -> None:
    options = tuple(f"--{name}={value}" for name, value in {**NEEDED, "project": "12345"}.items())
    with pytest.raises(BylineError, match=r"^dataflow: .*Invalid Project ID \(12345\).*$"):
        run_pipeline(lambda _: None, RunnerSettings(runner="dataflow", options=options), 0)


def test_no_way_to_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam looks at the buckets when the pipeline is made."""

    def give_up(*_: object) -> None:
        raise RetryError("Timeout of 120.0s exceeded", OSError("no route"))

    monkeypatch.setattr(GoogleCloudOptions, "validate", give_up)
    with pytest.raises(BylineError, match=r"^dataflow: Timeout of 120.0s exceeded, [^\n]*$"):
        run_pipeline(lambda _: None, RunnerSettings(runner="dataflow", options=OPTIONS), 0)


def test_locations_that_workers_cannot_open(corpus: Corpus, tmp_path: Path) -> None:
    settings = RunnerSettings(runner="dataflow", options=OPTIONS)
    config = parse_config(recipe(corpus, tmp_path, store="gs://bucket/store", output="s3://bucket/out"), "test")
    settings.check_locations(locations_of(config, PLANNING))
    with pytest.raises(BylineError) as caught:
        settings.check_locations(locations_of(config, ASSEMBLING))
    assert str(caught.value) == (
        f"dataflow: its workers cannot open tokenizer.file {corpus.tokenizer}; expected gs:// or s3:// addresses "
        "(docs/dataflow.md)"
    )
    found = [key for key, location in locations_of(config, BUILDING) if is_out_of_reach(location)]
    sources = [f"sources.{name}.path" for name in ("c4", "dclm", "mine", "refinedweb")]
    assert sorted(found) == sorted([*sources, "classifiers.quality.model", "tokenizer.file"])
    # Elsewhere there may be a shared file system.
    RunnerSettings(runner="spark").check_locations(locations_of(config, BUILDING))


def run_with(monkeypatch: pytest.MonkeyPatch, **methods: Callable[..., Any]) -> str:
    """The message of a job that the service answers so."""
    for name, method in methods.items():
        client = dataflow.MessagesV1Beta3Client if name == "list_job_messages" else dataflow.JobsV1Beta3Client
        monkeypatch.setattr(client, name, lambda _, request, method=method: method(request))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(BylineError) as caught:
        run_pipeline(
            lambda pipeline: pipeline | beam.Create(["a"]), RunnerSettings(runner="dataflow", options=OPTIONS), 0
        )
    return str(caught.value)


def test_a_job_that_is_refused(cloud: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionDenied("(1a2b): the caller has no permission dataflow.jobs.create")

    assert run_with(monkeypatch, create_job=refuse) == (
        "dataflow: 403 (1a2b): the caller has no permission dataflow.jobs.create; the job's page in the console says "
        "more; what is written is kept, and the same command continues from there"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Traceback (most recent call last):\n  ...\nbyline.errors.BylineError: c4/a.json.gz: row 7: no JSON "
            "[while running 'ReadCorpus/ReadFile']\n",
            "c4/a.json.gz: row 7: no JSON",
        ),
        (
            "Workflow failed. Causes: quota exceeded.",
            "dataflow: Workflow failed. Causes: quota exceeded.; the job's page in the console says more; what is "
            "written is kept, and the same command continues from there",
        ),
    ],
)
def test_a_job_that_fails(cloud: Google, monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    begun = dataflow.Job(id="1", current_state=dataflow.JobState.JOB_STATE_RUNNING)
    failed = dataflow.Job(id="1", current_state=dataflow.JobState.JOB_STATE_FAILED)
    message = dataflow.JobMessage(
        message_text=text, message_importance=dataflow.JobMessageImportance.JOB_MESSAGE_ERROR, time={"seconds": 1}
    )
    answer = dataflow.ListJobMessagesResponse(job_messages=[message])
    found = run_with(
        monkeypatch,
        create_job=lambda _: begun,
        get_job=lambda _: failed,
        list_job_messages=lambda _: answer,
    )
    assert found == expected
