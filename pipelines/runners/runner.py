"""Running a Beam pipeline on this machine, Spark, Flink or Dataflow, and turning a failure into one line.

```
runner     Beam's name      where the work is done                        `workers` is Beam's
local      FnApiRunner      this process, or processes of this machine    direct_num_workers
spark      SparkRunner      a Spark cluster, through its job server       sdk_worker_parallelism (for an executor)
flink      FlinkRunner      a Flink cluster, through its job server       parallelism
portable   PortableRunner   any other engine with a job server            sdk_worker_parallelism
dataflow   DataflowRunner   Google Cloud                                  max_num_workers
```

Everything else is an option of Beam's, by Beam's name, and is passed on (`--option job_endpoint=HOST:8099`);
`default_options` says what is taken where nothing is given. The local runner is named explicitly, because Beam's
DirectRunner may first try to download another one: `in_memory` runs in this process, `multi_processing` starts one
process a worker.

No pipeline knows its runner. A job's DoFns are found by their modules, so a worker needs Byline installed, and no main
session is pickled.
"""

import logging
import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.spark_runner import SparkRunner
from apache_beam.runners.runner import PipelineResult, PipelineRunner
from apache_beam.transforms import environments

from byline.errors import BylineError
from byline.pipelines.runners import dataflow, interrupts, worker
from byline.pipelines.runners.beam_options import JOB_SERVED, Runner, check_known, check_options, known_names

# Below this, starting worker processes takes longer than they save.
SMALL_INPUT_BYTES = 32 << 20
# Below this, the scans of a plan take about as long in the driver's process as their jobs take to start, or less. So
# much is 4 million documents of 1,300 tokens: 1 to 13 s of a busy core for a scan, 230 MB, and from an object store 5 s
# at least (10,000 requests, 64 of 30 ms at a time). A job starts in 3 s on Flink, 7 s on Spark, 4 to 10 s in processes
# of this machine, minutes on Dataflow; a plan is three to eight scans, of which one or two are long.
SMALL_SCAN_BYTES = 256 << 20
# Where a pool of workers listens by custom, on the machine of each executor.
WORKER_POOL = "localhost:50000"
POOL_MODULE = "byline.pipelines.runners.worker_pool"
# For one request to a job server that is there; Beam's own five minutes are a long time to see nothing.
REQUEST_SECONDS = 60
CONNECT_SECONDS = 5.0
# A worker's error arrives as text: a traceback whose last line is the error, with Beam's note of the step.
_USER_ERROR = re.compile(r"BylineError: (?P<message>[^\n]*?)(?: \[while running [^\n]*)?$", re.MULTILINE)
# What Spark and Flink say when a worker of theirs finds no pool; Flink gives the last cause alone.
_NO_POOL = re.compile(r"BeamFnExternalWorkerPool|ConnectException.*Connection refused")
# What they say when a Python worker that has begun is not there any more.
_LOST_WORKER = re.compile(r"StatusRuntimeException: CANCELLED: (?:client cancelled|call already cancelled)")
# What Beam makes of an interrupt in the middle of a step that runs in this process.
_INTERRUPT = re.compile(r"^(?:RuntimeError: )?KeyboardInterrupt(?: \[while running [^\n]*)?$", re.MULTILINE)
_CAUSE = re.compile(r"^(?:Caused by: |.* failed in state \w+: )(?P<cause>[^\n]+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunnerSettings:
    """How to run pipelines.

    Attributes:
        workers: how many, in the sense of the module's table; None for the runner's own choice, which is for the local
            one a process a core, or one in all where the input is small.
        verbose: show Beam's own log.
        runner: a name of the table, ours or Beam's.
        options: Beam's options as on a command line: `--name=value`.
    """

    workers: int | None = None
    verbose: bool = False
    runner: str = "local"
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> Runner:
        """The runner.

        Raises:
            BylineError: there is none of this name.
        """
        return Runner.named(self.runner)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether all workers are processes of this machine."""
        return self.kind is Runner.LOCAL

    def check(self) -> list[str]:
        """What is wrong with the settings, as far as that is known without asking anybody: for a command's start.

        Returns:
            Names of options that only a job server may know.

        Raises:
            BylineError: no such runner, or an option is unknown, wrong or missing.
        """
        unknown = check_options(self.kind, self.options)
        _check_complete(self.kind, PipelineOptions(list(self.options)))
        return unknown

    def check_locations(self, locations: Iterable[tuple[str, str]]) -> None:
        """Refuses locations that this runner's workers cannot open: on Spark and Flink there may be a shared file
        system.

        Args:
            locations: each with its key of the recipe.

        Raises:
            BylineError: there are such.
        """
        if self.kind is Runner.DATAFLOW:
            dataflow.check_locations(locations)

    def workers_for(self, input_bytes: int) -> int:
        """How many local processes for an input of so many bytes on disk."""
        if self.workers is not None:
            return self.workers
        return 1 if input_bytes < SMALL_INPUT_BYTES else os.cpu_count() or 1


def is_worth_a_job(scan_bytes: int) -> bool:
    """Whether a scan over so much of the token store is work for a runner, and not for this process alone."""
    return scan_bytes >= SMALL_SCAN_BYTES


def default_options(kind: Runner, given: PipelineOptions, workers: int | None) -> list[str]:
    """Beam's options as they are where a user says nothing.

    Args:
        kind: the runner.
        given: what the user says.
        workers: of the settings.

    Returns:
        `--name=value` each. Spark and Flink: Python workers of a pool beside each executor
        (`environment_type=EXTERNAL`, at `localhost:50000`), or in this process where Beam starts an engine on this
        machine by itself (LOOPBACK). Dataflow: see `byline.pipelines.runners.dataflow`.
    """
    if kind is Runner.LOCAL:
        return []
    if kind is Runner.DATAFLOW:
        return dataflow.default_options(workers)
    # environment_cache_millis stays 0, as Beam has it. An engine that keeps its Python workers has a dead one, too, and
    # gives it the task that it was killed with, four times in a third of a second.
    found = [f"--job_server_timeout={REQUEST_SECONDS}"]
    if given.view_as(PortableOptions).environment_type is None:
        found += _environment_options(kind, given)
    if workers is not None:
        found.append(f"--{'parallelism' if kind is Runner.FLINK else 'sdk_worker_parallelism'}={workers}")
    return found


def _environment_options(kind: Runner, given: PipelineOptions) -> list[str]:
    portable = given.view_as(PortableOptions)
    if portable.job_endpoint is None and starts_engine_here(kind, given):
        return ["--environment_type=LOOPBACK"]
    where = [] if portable.environment_config else [f"--environment_config={WORKER_POOL}"]
    return ["--environment_type=EXTERNAL", *where]


def starts_engine_here(kind: Runner, given: PipelineOptions) -> bool:
    """Whether Beam, left alone, has the engine run inside the job server that it starts on this machine."""
    if kind is Runner.SPARK:
        return str(given.view_as(SparkRunnerOptions).spark_master_url).startswith("local")
    return kind is Runner.FLINK and given.view_as(FlinkRunnerOptions).flink_master in ("[local]", "[auto]")


def parse_options(settings: RunnerSettings) -> PipelineOptions:
    """The user's options with the defaults for the rest; a user's come later, and win.

    Raises:
        BylineError: an option that neither Beam nor the job server knows, or with a wrong value.
    """
    kind = settings.kind
    unknown = settings.check()
    given = PipelineOptions(list(settings.options))
    endpoint = given.view_as(PortableOptions).job_endpoint
    # Java's options cannot be known before Beam starts its own job server, which says itself what it does not know.
    if kind in JOB_SERVED and endpoint is not None:
        server: list[str] = []
        if endpoint != "embed":
            _check_reachable(kind, endpoint)
            server = _described_options(kind, endpoint) if unknown else []
        check_known(kind, [name for name in unknown if name not in server], [*known_names(), *server])
    return PipelineOptions([*default_options(kind, given, settings.workers), *settings.options])


def _check_reachable(kind: Runner, endpoint: str) -> None:
    if not answers(endpoint):
        raise BylineError(_lost(kind, endpoint))


def answers(endpoint: str, seconds: float = CONNECT_SECONDS) -> bool:
    """Whether something listens at HOST:PORT."""
    try:
        socket.create_connection(split_endpoint(endpoint), seconds).close()
    except OSError:
        return False
    return True


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        BylineError: it is none.
    """
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise BylineError(f"{endpoint!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def _lost(kind: Runner, endpoint: str | None) -> str:
    return (
        f"{kind.value}: no job server answers at {endpoint}; start it, or correct --option job_endpoint "
        "(docs/clusters.md); what is written stays, and the same command goes on from there"
    )


def _described_options(kind: Runner, endpoint: str) -> list[str]:
    """Names of the options that a job server takes."""
    request = beam_job_api_pb2.DescribePipelineOptionsRequest()
    try:
        with grpc.insecure_channel(endpoint) as channel:
            stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
            reply = stub.DescribePipelineOptions(request, timeout=REQUEST_SECONDS)
    except grpc.RpcError:
        raise BylineError(_lost(kind, endpoint)) from None
    return [f"--{option.name}" for option in reply.options]


def _check_complete(kind: Runner, options: PipelineOptions) -> None:
    """What has no default, and Beam does not ask for."""
    endpoint = options.view_as(PortableOptions).job_endpoint
    if kind in JOB_SERVED and endpoint not in (None, "embed"):
        split_endpoint(endpoint)
    if kind is Runner.PORTABLE and endpoint is None:
        raise BylineError("portable: needs the job server's address: --option job_endpoint=HOST:PORT")
    if kind is Runner.DATAFLOW:
        dataflow.check_options(options.get_all_options())


def _environment(settings: RunnerSettings, workers: int) -> environments.Environment:
    """Where the steps of the local runner run: in this process, or in processes of their own."""
    if workers == 1:
        return environments.EmbeddedPythonEnvironment.default()
    module = "apache_beam.runners.worker.sdk_worker_main" if settings.verbose else "byline.pipelines.runners.worker"
    interrupts.note_workers()
    # A shell runs it. Ctrl-C in a terminal reaches workers, too; from their first moment they leave it to the driver.
    command = f"trap '' INT; exec {shlex.join(module_command(module))}"
    return environments.SubprocessSDKEnvironment.from_command_string(command_string=command)


def module_command(module: str) -> list[str]:
    """Runs a module as a program, and leaves the current folder out of where it looks for others.

    A worker starts in the user's folder, in which a `tokenizers.py` or `utils/` of the user's own may lie. What a
    configuration names as `package.module:function` is looked for there last.
    """
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-m", module]
    program = f"import runpy, sys; del sys.path[0]; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", program]


def make_runner(settings: RunnerSettings, input_bytes: int) -> tuple[PipelineRunner, PipelineOptions]:
    """Beam's runner and all its options.

    Raises:
        BylineError: an option is wrong or missing, or no job server answers.
    """
    kind, options = settings.kind, parse_options(settings)
    if kind is Runner.LOCAL:
        workers = settings.workers_for(input_bytes)
        # The running mode "in_memory" leaves the environment as it is given.
        options = PipelineOptions(list(settings.options), direct_running_mode="in_memory", direct_num_workers=workers)
        return FnApiRunner(default_environment=_environment(settings, workers)), options
    if kind is Runner.DATAFLOW:
        # Imported late: it needs the packages of apache-beam[gcp].
        from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

        return DataflowRunner(), options
    return {Runner.SPARK: SparkRunner, Runner.FLINK: FlinkRunner, Runner.PORTABLE: PortableRunner}[kind](), options


def run_pipeline(
    wire: Callable[[beam.Pipeline], object],
    settings: RunnerSettings,
    input_bytes: int,
    begun: Callable[[PipelineResult, PipelineOptions], None] | None = None,
) -> PipelineResult:
    """Builds a pipeline with `wire` and runs it to its end; an interrupt ends the job, too.

    Args:
        wire: adds the transforms.
        settings: how to run.
        input_bytes: bytes to be read, which decide the number of local processes.
        begun: called when the engine has taken the job.

    Returns:
        Beam's result of the finished job.

    Raises:
        BylineError: a mistake in the input that a worker found, or a cluster that is not there or failed.
    """
    logging.getLogger().setLevel(logging.INFO if settings.verbose else logging.CRITICAL)
    runner, options = make_runner(settings, input_bytes)
    if options.view_as(PortableOptions).environment_type == "LOOPBACK" and not settings.verbose:
        worker.silence()
    failed = dataflow.failures() if settings.kind is Runner.DATAFLOW else (RuntimeError,)
    try:
        # Beam checks buckets here, too.
        pipeline = _make_pipeline(runner, options, settings.kind)
        wire(pipeline)
        result = pipeline.run()
        if begun is not None:
            begun(result, options)
        try:
            result.wait_until_finish()
        except KeyboardInterrupt:
            if settings.kind is not Runner.LOCAL:
                result.cancel()
            raise
    except BylineError as error:
        raise BylineError(re.sub(r" \[while running .*$", "", str(error))) from None
    except (grpc.RpcError, grpc.FutureTimeoutError):
        if settings.kind not in JOB_SERVED:
            raise
        raise BylineError(_lost(settings.kind, options.view_as(PortableOptions).job_endpoint)) from None
    except failed as error:
        if settings.kind is Runner.LOCAL and _INTERRUPT.search(str(error)):
            raise KeyboardInterrupt from None
        line = explain_failure(str(error), settings.kind, options)
        if line is None:
            raise
        raise BylineError(line) from None
    return result


def _make_pipeline(runner: PipelineRunner, options: PipelineOptions, kind: Runner) -> beam.Pipeline:
    try:
        return beam.Pipeline(runner=runner, options=options)
    except ValueError as error:
        # Beam's own checks of the options, on lines of their own.
        raise BylineError(f"{kind.value}: {' '.join(str(error).split())}") from None


def explain_failure(text: str, kind: Runner, options: PipelineOptions) -> str | None:
    """A failed job's text as one line; None where it is a fault in the code, which wants its traceback.

    Args:
        text: of the error: tracebacks of Python and of Java, one inside the other.
        kind: the runner.
        options: that it ran with.
    """
    found = _USER_ERROR.search(text)
    if found is not None:
        return found["message"]
    if kind is Runner.DATAFLOW:
        return dataflow.explain(text)
    if kind not in JOB_SERVED:
        return None
    portable = options.view_as(PortableOptions)
    if _NO_POOL.search(text) and portable.environment_type == "EXTERNAL":
        pool = str(portable.environment_config)
        return (
            f"{kind.value}: connection refused, most likely by the pool of Python workers at {pool}, as the engine's "
            f"workers see it; start one there: python -m {POOL_MODULE} --port={pool.rpartition(':')[2]}"
        )
    if "Traceback (most recent call last)" in text:
        return None
    causes = _CAUSE.findall(text)
    cause = causes[-1] if causes else text.strip().partition("\n")[0]
    if _LOST_WORKER.search(cause):
        cause = "a Python worker ended in the middle of its work, each time that it was tried (killed? out of memory?)"
    return (
        f"{kind.value}: the job failed: {cause.strip()}; the logs of the job server and the workers say more; "
        "what is written stays, and the same command goes on from there"
    )
