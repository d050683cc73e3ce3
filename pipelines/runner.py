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

import contextlib
import difflib
import io
import logging
import os
import re
import shlex
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

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
from pipelines import dataflow, worker

# Below this, starting worker processes takes longer than they save.
SMALL_INPUT_BYTES = 32 << 20
# Below this, the passes of a plan take about as long in the driver's process as their jobs take to start, or less. So
# much is 4 million documents of 1,300 tokens: 1 to 13 s of a busy core for a pass, 230 MB, and from an object store 5 s
# at least (10,000 requests, 64 of 30 ms at a time). A job starts in 3 s on Flink, 7 s on Spark, 4 to 10 s in processes
# of this machine, minutes on Dataflow; a plan is three to eight passes, of which one or two are long.
SMALL_PASS_BYTES = 256 << 20
# Where a pool of workers listens by custom, on the machine of each executor.
WORKER_POOL = "localhost:50000"
POOL_MODULE = "pipelines.worker_pool"
# For one request to a job server that is there; Beam's own five minutes are long to look at nothing.
REQUEST_SECONDS = 60
CONNECT_SECONDS = 5.0
# A worker's error arrives as text: a traceback whose last line is the error, with Beam's note of the step.
_USER_ERROR = re.compile(r"BylineError: (?P<message>[^\n]*?)(?: \[while running [^\n]*)?$", re.MULTILINE)
# What Spark and Flink say when a worker of theirs finds no pool; Flink gives the last cause alone.
_NO_POOL = re.compile(r"BeamFnExternalWorkerPool|ConnectException.*Connection refused")
# What they say when a Python worker that has begun is not there any more.
_LOST_WORKER = re.compile(r"StatusRuntimeException: CANCELLED: (?:client cancelled|call already cancelled)")
_CAUSE = re.compile(r"^(?:Caused by: |.* failed in state \w+: )(?P<cause>[^\n]+)$", re.MULTILINE)


class Runner(Enum):
    """What runs the pipelines; the value is what a user says."""

    LOCAL = "local"
    SPARK = "spark"
    FLINK = "flink"
    PORTABLE = "portable"
    DATAFLOW = "dataflow"

    @classmethod
    def named(cls, name: str) -> "Runner":
        """The runner of our name or of Beam's, in any case of letters.

        Raises:
            BylineError: no runner is called so.
        """
        key = name.lower()
        beams = {"directrunner": cls.LOCAL, "fnapirunner": cls.LOCAL}
        names = {**{kind.value: kind for kind in cls}, **{f"{kind.value}runner": kind for kind in cls}, **beams}
        if key not in names:
            raise BylineError(f"runner {name!r}: expected one of {', '.join(kind.value for kind in cls)}")
        return names[key]


# Those that take a job through a job server of Beam's.
JOB_SERVED = frozenset({Runner.SPARK, Runner.FLINK, Runner.PORTABLE})


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

    def workers_for(self, input_bytes: int) -> int:
        """How many local processes for an input of so many bytes on disk."""
        if self.workers is not None:
            return self.workers
        return 1 if input_bytes < SMALL_INPUT_BYTES else os.cpu_count() or 1


def is_worth_a_job(pass_bytes: int) -> bool:
    """Whether a pass over so much of the token store is work for a runner, and not for this process alone."""
    return pass_bytes >= SMALL_PASS_BYTES


def default_options(kind: Runner, given: PipelineOptions, workers: int | None) -> list[str]:
    """Beam's options as they are where a user says nothing.

    Args:
        kind: the runner.
        given: what the user says.
        workers: of the settings.

    Returns:
        `--name=value` each. Spark and Flink: Python workers of a pool beside each executor
        (`environment_type=EXTERNAL`, at `localhost:50000`), or in this process where Beam starts an engine on this
        machine by itself (LOOPBACK). Dataflow: see `pipelines.dataflow`.
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
    unknown, known = unknown_options(settings.options)
    given = PipelineOptions(list(settings.options))
    endpoint = given.view_as(PortableOptions).job_endpoint
    if kind in JOB_SERVED and endpoint not in (None, "embed"):
        _check_reachable(kind, endpoint)
        if unknown:
            server = _described_options(kind, endpoint)
            unknown, known = [name for name in unknown if name not in server], [*known, *server]
    # Java's options cannot be known before Beam starts its own job server, which says itself what it does not know.
    if unknown and (kind not in JOB_SERVED or endpoint is not None):
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"; did you mean {near[0].lstrip('-')}?" if near else ""
        name = unknown[0].lstrip("-")
        raise BylineError(f"{kind.value}: unknown --option {name}; expected a NAME=VALUE of Beam's{hint}")
    options = PipelineOptions([*default_options(kind, given, settings.workers), *settings.options])
    _check_complete(kind, options)
    return options


def unknown_options(options: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Names that Beam's Python side does not know, and all that it knows.

    Raises:
        BylineError: a value is not of its option's type.
    """
    parsers: list[ArgumentParser] = []
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _quiet():
            PipelineOptions(list(options)).get_all_options(add_extra_args_fn=parsers.append)
            _, unknown = parsers[0].parse_known_args(list(options))
    except SystemExit:
        # The last line of a usage text of three hundred lines: `PROG: error: argument --x: invalid int value: 'y'`.
        line = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise BylineError(line.replace("argument --", "--option ")) from None
    known = [name for action in parsers[0]._actions for name in action.option_strings]
    return [item.split("=", 1)[0] for item in unknown if item.startswith("-")] or unknown, known


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of Beam's log."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _check_reachable(kind: Runner, endpoint: str) -> None:
    if not answers(endpoint):
        raise BylineError(_lost(kind, endpoint))


def answers(endpoint: str, seconds: float = CONNECT_SECONDS) -> bool:
    """Whether something listens at HOST:PORT."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise BylineError(f"{endpoint!r}: expected HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except OSError:
        return False
    return True


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
    if kind is Runner.PORTABLE and options.view_as(PortableOptions).job_endpoint is None:
        raise BylineError("portable: needs the job server's address: --option job_endpoint=HOST:PORT")
    if kind is Runner.DATAFLOW:
        dataflow.check_options(options.get_all_options())


def _environment(settings: RunnerSettings, workers: int) -> environments.Environment:
    """Where the steps of the local runner run: in this process, or in processes of their own."""
    if workers == 1:
        return environments.EmbeddedPythonEnvironment.default()
    module = "apache_beam.runners.worker.sdk_worker_main" if settings.verbose else "pipelines.worker"
    command = f"{shlex.quote(sys.executable)} -m {module}"
    return environments.SubprocessSDKEnvironment.from_command_string(command_string=command)


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
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
    except ValueError as error:
        # Beam's own checks of the options, on lines of their own.
        raise BylineError(f"{settings.kind.value}: {' '.join(str(error).split())}") from None
    wire(pipeline)
    failed = dataflow.failures() if settings.kind is Runner.DATAFLOW else (RuntimeError,)
    try:
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
        line = explain_failure(str(error), settings.kind, options)
        if line is None:
            raise
        raise BylineError(line) from None
    return result


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
