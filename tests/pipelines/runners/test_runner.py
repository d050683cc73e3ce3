"""Runner options, Beam's portable protocol without an engine, and failures as one line."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.runner import PipelineRunner

from byline.errors import BylineError
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.runners import runner as module
from byline.pipelines.runners import settings as settings_module
from byline.pipelines.runners.failures import explain_failure
from byline.pipelines.runners.runner import make_runner, parse_options, run_pipeline
from byline.pipelines.runners.settings import Runner, RunnerSettings
from byline.schemas.config_file import parse_config
from tests.support.builds import digests, quiet
from tests.support.corpora import Corpus, recipe

# A port that nobody listens on: it is reserved (RFC 6335), and no server is started there by chance.
NOBODY = "localhost:1"
# Beam's runner in this process, behind the job service that Spark and Flink have.
EMBEDDED = RunnerSettings(runner="portable", options=("--job_endpoint=embed", "--environment_type=LOOPBACK"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("local", Runner.LOCAL),
        ("DirectRunner", Runner.LOCAL),
        ("FnApiRunner", Runner.LOCAL),
        ("Spark", Runner.SPARK),
        ("SparkRunner", Runner.SPARK),
        ("flink", Runner.FLINK),
        ("FlinkRunner", Runner.FLINK),
        ("PortableRunner", Runner.PORTABLE),
        ("dataflowrunner", Runner.DATAFLOW),
    ],
)
def test_names(name: str, kind: Runner) -> None:
    assert RunnerSettings(runner=name).kind is kind


def test_an_unknown_name() -> None:
    with pytest.raises(BylineError) as caught:
        run_pipeline(lambda _: None, RunnerSettings(runner="spak"), 0)
    assert str(caught.value) == "runner 'spak': expected one of local, spark, flink, portable, dataflow"


def options_of(runner: str, *options: str, workers: int | None = None) -> dict[str, Any]:
    """Beam's options that are not as Beam has them by default."""
    return parse_options(RunnerSettings(workers, False, runner, options)).get_all_options(drop_default=True)


SERVED = {"job_server_timeout": 60}
POOL = {"environment_type": "EXTERNAL", "environment_config": "localhost:50000"}
DATAFLOW = ("--sdk_container_image=r/byline", "--project=p", "--region=r", "--temp_location=gs://bucket/t")


@pytest.mark.parametrize(
    ("runner", "options", "workers", "expected"),
    [
        ("local", (), None, {}),
        # Beam has the engine run inside the job server that it starts here.
        ("spark", (), None, {**SERVED, "environment_type": "LOOPBACK"}),
        ("flink", (), 3, {**SERVED, "environment_type": "LOOPBACK", "parallelism": 3}),
        # A cluster: workers of a pool beside each executor.
        ("spark", ("--spark_master_url=spark://m:1",), 2, {**SERVED, **POOL, "spark_master_url": "spark://m:1"}),
        ("flink", ("--flink_master=m:1",), None, {**SERVED, **POOL, "flink_master": "m:1"}),
        ("portable", ("--job_endpoint=embed",), None, {**SERVED, **POOL, "job_endpoint": "embed"}),
        # What is given is kept; a pool's address is none for an image.
        (
            "flink",
            ("--environment_type=DOCKER", "--environment_config=image:1", "--environment_cache_millis=5"),
            None,
            {
                **SERVED,
                "environment_type": "DOCKER",
                "environment_config": "image:1",
                "environment_cache_millis": "5",
            },
        ),
        (
            "dataflow",
            (*DATAFLOW, "--experiments=shuffle_mode=service"),
            9,
            {
                "sdk_container_image": "r/byline",
                "project": "p",
                "region": "r",
                "temp_location": "gs://bucket/t",
                "sdk_location": "container",
                "save_main_session": False,
                "experiments": ["use_runner_v2", "shuffle_mode=service"],
                "max_num_workers": 9,
            },
        ),
    ],
)
def test_defaults(runner: str, options: tuple[str, ...], workers: int | None, expected: dict[str, Any]) -> None:
    found = options_of(runner, *options, workers=workers)
    if runner == "spark" and workers:
        assert found.pop("sdk_worker_parallelism") == str(workers)
    assert found == expected


@pytest.mark.parametrize(
    ("runner", "option", "message"),
    [
        (
            "local",
            "--job_endpont=x",
            "local: unknown --option job_endpont; expected a NAME=VALUE of Beam's; did you mean job_endpoint?",
        ),
        ("local", "word", "local: unknown --option word; expected a NAME=VALUE of Beam's"),
        ("spark", "--job_endpoint=here", "'here': expected HOST:PORT"),
        ("flink", "--parallelism=two", "--option parallelism: invalid int value: 'two'"),
        ("portable", "--job_name=x", "portable: needs the job server's address: --option job_endpoint=HOST:PORT"),
        (
            "local",
            "--help",
            "--option help: expected a NAME=VALUE of Beam's (docs/clusters.md has those to know)",
        ),
        ("spark", "--h", "--option h: expected a NAME=VALUE of Beam's (docs/clusters.md has those to know)"),
        ("local", "--runner=SparkRunner", "--option runner: give --runner instead"),
        ("flink", "--direct_num_workers=3", "--option direct_num_workers: give --workers instead"),
        ("local", "--direct_running_mode=in_memory", "--option direct_running_mode: give --workers instead"),
        (
            "local",
            f"--job_endpoint={NOBODY}",
            "--option job_endpoint means nothing on this machine; give --runner spark, flink or portable with it, or "
            "leave it out",
        ),
        (
            "local",
            "--flink_master=m:1",
            "--option flink_master means nothing on this machine; give --runner flink with it, or leave it out",
        ),
        (
            "local",
            "--temp_location=gs://bucket/t",
            "--option temp_location means nothing on this machine; give --runner dataflow with it, or leave it out",
        ),
        ("dataflow", "--no_use_public_ips=true", "--option no_use_public_ips takes no value; leave =true out"),
        (
            "spark",
            "--spark_master=x",
            "spark: unknown --option spark_master; expected a NAME=VALUE of Beam's; did you mean spark_master_url?",
        ),
        (
            "dataflow",
            "--project=x",
            "dataflow: needs --option sdk_container_image=REGISTRY/byline:TAG, --option region=REGION, "
            "--option temp_location=gs://BUCKET/tmp (docs/dataflow.md)",
        ),
        (
            "spark",
            f"--job_endpoint={NOBODY}",
            "spark: no job server answers at localhost:1; start it, or correct --option job_endpoint "
            "(docs/clusters.md); what is written is kept, and the same command continues from there",
        ),
    ],
)
def test_a_mistake_in_an_option(runner: str, option: str, message: str) -> None:
    with pytest.raises(BylineError) as caught:
        make_runner(RunnerSettings(runner=runner, options=(option,)), 0)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--job_name=a", "--job_name=b"), "--option job_name is given twice: 'a' and 'b'; leave one out"),
        (
            ("--machine_type=a", "--worker_machine_type=b"),
            "--option machine_type and worker_machine_type, the same option, is given twice: 'a' and 'b'; "
            "leave one out",
        ),
        (("--job_name=a", "--job_name=a", "--experiments=a", "--experiments=b"), None),
    ],
)
def test_an_option_given_twice(options: tuple[str, ...], message: str | None) -> None:
    settings = RunnerSettings(runner="flink", options=options)
    if message is None:
        assert settings.check() == []
        return
    with pytest.raises(BylineError) as caught:
        settings.check()
    assert str(caught.value) == message


def test_settings_are_checked_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "answers", lambda _: pytest.fail("a connection"))
    settings = RunnerSettings(runner="spark", options=(f"--job_endpoint={NOBODY}", "--bundle_size=5"))
    assert settings.check() == ["--bundle_size"]


class JobServer(beam_job_api_pb2_grpc.JobServiceServicer):
    """One that takes the option `bundle_size`, and goes away when it is given a job."""

    def DescribePipelineOptions(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        options = [beam_job_api_pb2.PipelineOptionDescriptor(name="bundle_size")]
        return beam_job_api_pb2.DescribePipelineOptionsResponse(options=options)

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(JobServer(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(None).wait()


def test_an_option_that_only_the_job_server_knows(endpoint: str) -> None:
    server = f"--job_endpoint={endpoint}"
    assert parse_options(RunnerSettings(runner="spark", options=(server, "--bundle_size=5"))) is not None
    with pytest.raises(BylineError, match=r"^spark: unknown --option bundle_sise; .* did you mean bundle_size\?$"):
        parse_options(RunnerSettings(runner="spark", options=(server, "--bundle_sise=5")))


def test_a_job_server_that_goes_away(endpoint: str) -> None:
    settings = RunnerSettings(runner="flink", options=(f"--job_endpoint={endpoint}",))
    with pytest.raises(BylineError, match=rf"^flink: no job server answers at {endpoint}; start it[^\n]*$"):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), settings, 0)


def test_the_portable_protocol_gives_the_same_bytes(
    built: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "SMALL_SCAN_BYTES", 0)
    config = parse_config(recipe(corpus, tmp_path), "test")
    run_build(config, EMBEDDED, quiet())
    assert digests(Path(config.output)) == digests(built)


def refuse(number: int) -> int:
    """A step that finds a mistake of the user's."""
    if number == 13:
        raise BylineError("a.jsonl, row 13: expected an object; correct it")
    return number


def break_down(number: int) -> int:
    """A step with a fault."""
    return number // 0


def mapping(step: Callable[[int], int]) -> Callable[[beam.Pipeline], object]:
    return lambda pipeline: pipeline | beam.Create(range(20)) | "Step" >> beam.Map(step)


@pytest.mark.parametrize("settings", [RunnerSettings(workers=1), EMBEDDED], ids=["local", "portable"])
def test_a_workers_error_is_one_line(settings: RunnerSettings, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BylineError) as caught:
        run_pipeline(mapping(refuse), settings, 0)
    assert str(caught.value) == "a.jsonl, row 13: expected an object; correct it"
    assert capfd.readouterr() == ("", "")


def interrupt(_: int) -> int:
    """A step in the middle of which the user gets tired."""
    raise KeyboardInterrupt


def test_an_interrupt_in_a_step_of_this_process_is_one() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(mapping(interrupt), RunnerSettings(workers=1), 0)


def test_a_fault_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*break_down.*ZeroDivisionError"):
        run_pipeline(mapping(break_down), EMBEDDED, 0)


PYTHON = """Traceback (most recent call last):
  File "transforms/corpora/reading.py", line 8, in process
byline.errors.BylineError: a.jsonl, row 13: expected an object; correct it [while running 'ReadCorpus/Read-4']
"""
JAVA = """Pipeline job-1 failed in state FAILED: org.apache.spark.SparkException: Job aborted: Lost task 1.3
\tat org.apache.beam.runners.fnexecution.control.DefaultJobBundleFactory.forStage(DefaultJobBundleFactory.java:310)
Caused by: java.io.IOException: No space left on device
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""
GOES_ON = (
    "; the logs of the job server and the workers say more; "
    "what is written is kept, and the same command continues from there"
)
NO_POOL = (
    "flink: connection refused, most likely by the pool of Python workers at h:5, as the engine's workers see it; "
    "start one there: python -m byline.pipelines.runners.worker_pool --port=5"
)


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (PYTHON, Runner.LOCAL, "a.jsonl, row 13: expected an object; correct it"),
        (
            f"Pipeline j failed in state FAILED: java.lang.RuntimeException: Error received: {PYTHON}\n\tat A.b",
            Runner.SPARK,
            "a.jsonl, row 13: expected an object; correct it",
        ),
        (JAVA, Runner.FLINK, f"flink: the job failed: java.io.IOException: No space left on device{GOES_ON}"),
        (
            "Pipeline j failed in state FAILED: a.StatusRuntimeException: b.StatusRuntimeException: CANCELLED: client "
            "cancelled\n\tat A.b",
            Runner.FLINK,
            "flink: the job failed: a Python worker ended in the middle of its work, each time that it was tried "
            f"(killed? out of memory?){GOES_ON}",
        ),
        (
            "Pipeline j failed in state CANCELLED: unknown error",
            Runner.SPARK,
            f"spark: the job failed: unknown error{GOES_ON}",
        ),
        (
            f"{JAVA}Caused by: StatusRuntimeException: UNAVAILABLE\n\tat a.BeamFnExternalWorkerPoolGrpc.startWorker",
            Runner.FLINK,
            NO_POOL,
        ),
        (
            "Pipeline j failed in state FAILED: java.net.ConnectException: finishConnect(..): Connection refused",
            Runner.FLINK,
            NO_POOL,
        ),
        (PYTHON.replace("byline.errors.BylineError", "ZeroDivisionError"), Runner.SPARK, None),
        ("anything", Runner.LOCAL, None),
    ],
)
def test_failures_as_one_line(text: str, kind: Runner, line: str | None) -> None:
    options = PipelineOptions(["--environment_type=EXTERNAL", "--environment_config=h:5"])
    assert explain_failure(text, kind, options) == line


class Interrupted:
    """A job that the user gets tired of."""

    cancelled = False

    def wait_until_finish(self) -> None:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        self.cancelled = True


def test_an_interrupt_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Interrupted()

    class Engine(PipelineRunner):
        def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> Any:
            return job

    monkeypatch.setattr(module, "make_runner", lambda settings, size: (Engine(), PipelineOptions([])))
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), RunnerSettings(runner="spark"), 0)
    assert job.cancelled
