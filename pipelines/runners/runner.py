"""Runs a Beam pipeline on this machine, Spark, Flink or Dataflow, and turns a failure into one line.

```
runner     Beam's name      where the work is done                        `workers` is Beam's
local      FnApiRunner      this process, or processes on this machine    direct_num_workers
spark      SparkRunner      a Spark cluster, through its job server       sdk_worker_parallelism (for an executor)
flink      FlinkRunner      a Flink cluster, through its job server       parallelism
portable   PortableRunner   any other engine with a job server            sdk_worker_parallelism
dataflow   DataflowRunner   Google Cloud                                  max_num_workers
```

Everything else is one of Beam's options, under Beam's name, and is passed on (`--option job_endpoint=HOST:8099`);
`default_options` has the defaults. The local runner is named explicitly, because Beam's DirectRunner may first try to
download another one: `in_memory` runs in this process, `multi_processing` starts one process for each worker.

Pipelines do not know their runner. A job's DoFns are found by their modules, so workers need Byline installed, and no
main session is pickled.
"""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
from apache_beam.transforms.environments import EmbeddedPythonEnvironment

from byline.errors import BylineError
from byline.pipelines.runners import dataflow, interrupts, local_workers, worker
from byline.pipelines.runners.beam_options import JOB_SERVED, Runner, check_known, check_options, known_names
from byline.pipelines.runners.failures import explain_failure
from byline.pipelines.runners.quick_pipelines import quicken

# Below this, starting worker processes takes longer than they save.
SMALL_INPUT_BYTES = 32 << 20
# Below this, the scans of a plan take no longer in the driver's process than their jobs take to start. It is 4 million
# documents of 1,300 tokens: for a scan 1 to 13 s of a busy core, 230 MB, and from an object store at least 5 s (10,000
# requests of 30 ms, 64 at a time). A job starts in 3 s on Flink, 7 s on Spark, 2 to 10 s in processes on this machine,
# and minutes on Dataflow; a plan is three to eight scans, of which one or two are long.
SMALL_SCAN_BYTES = 256 << 20
# Where a pool of workers usually listens, on the machine of each executor.
WORKER_POOL = "localhost:50000"
# For one request to a job server that accepts connections; Beam's default of five minutes is a long time to wait.
REQUEST_SECONDS = 60
CONNECT_SECONDS = 5.0
# So often is a job run whose local workers are killed. The second and third time have half as many if memory may lack.
_TRIES = 3
# What Beam turns an interrupt into, in the middle of a step that runs in this process.
_INTERRUPT = re.compile(r"^(?:RuntimeError: )?KeyboardInterrupt(?: \[while running [^\n]*)?$", re.MULTILINE)


@dataclass(frozen=True)
class RunnerSettings:
    """How to run pipelines.

    Attributes:
        workers: how many, in the sense of the module's table; None for the runner's default, which for the local runner
            is one process for each core, or a single one if the input is small.
        verbose: show Beam's own log.
        runner: a name from the table, ours or Beam's.
        options: Beam's options as on a command line: `--name=value`.
        keeps_processes: whether a single local worker gets a process of its own, too.
    """

    workers: int | None = None
    verbose: bool = False
    runner: str = "local"
    options: tuple[str, ...] = ()
    keeps_processes: bool = False

    @property
    def kind(self) -> Runner:
        """The runner.

        Raises:
            BylineError: there is no runner of this name.
        """
        return Runner.named(self.runner)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether all workers are processes on this machine."""
        return self.kind is Runner.LOCAL

    def check(self) -> list[str]:
        """Checks the settings, as far as no server has to be asked; for the start of a command.

        Returns:
            Names of options that only a job server may know.

        Raises:
            BylineError: no such runner, or an option is unknown, wrong or missing.
        """
        unknown = check_options(self.kind, self.options)
        _check_complete(self.kind, PipelineOptions(list(self.options)))
        return unknown

    def check_locations(self, locations: Iterable[tuple[str, str]]) -> None:
        """Refuses locations that this runner's workers cannot open; Spark and Flink may have a shared file system.

        Args:
            locations: each with its key in the recipe.

        Raises:
            BylineError: there are such locations.
        """
        if self.kind is Runner.DATAFLOW:
            dataflow.check_locations(locations)

    def workers_for(self, input_bytes: int) -> int:
        """How many local processes to use for an input of this size on disk."""
        if self.workers is not None:
            return self.workers
        return 1 if input_bytes < SMALL_INPUT_BYTES else os.cpu_count() or 1


def is_worth_a_job(scan_bytes: int) -> bool:
    """Whether a scan over this much of the token store is worth a job, instead of running in this process."""
    return scan_bytes >= SMALL_SCAN_BYTES


def default_options(kind: Runner, given: PipelineOptions, workers: int | None) -> list[str]:
    """The defaults for Beam's options.

    Args:
        kind: the runner.
        given: the user's options.
        workers: of the settings.

    Returns:
        `--name=value` each. Spark and Flink: Python workers from a pool beside each executor
        (`environment_type=EXTERNAL`, at `localhost:50000`), or in this process if Beam itself starts the engine on this
        machine (LOOPBACK). Dataflow: see `byline.pipelines.runners.dataflow`.
    """
    if kind is Runner.LOCAL:
        return []
    if kind is Runner.DATAFLOW:
        return dataflow.default_options(workers)
    # environment_cache_millis stays 0, Beam's default. An engine that keeps its Python workers keeps a dead one, too,
    # and retries the task that was killed with it on it, four times in a third of a second.
    defaults = [f"--job_server_timeout={REQUEST_SECONDS}"]
    if given.view_as(PortableOptions).environment_type is None:
        defaults += _environment_options(kind, given)
    if workers is not None:
        defaults.append(f"--{'parallelism' if kind is Runner.FLINK else 'sdk_worker_parallelism'}={workers}")
    return defaults


def _environment_options(kind: Runner, given: PipelineOptions) -> list[str]:
    portable = given.view_as(PortableOptions)
    if portable.job_endpoint is None and starts_engine_here(kind, given):
        return ["--environment_type=LOOPBACK"]
    pool = [] if portable.environment_config else [f"--environment_config={WORKER_POOL}"]
    return ["--environment_type=EXTERNAL", *pool]


def starts_engine_here(kind: Runner, given: PipelineOptions) -> bool:
    """Whether, by default, Beam runs the engine inside a job server that it starts on this machine."""
    if kind is Runner.SPARK:
        return str(given.view_as(SparkRunnerOptions).spark_master_url).startswith("local")
    return kind is Runner.FLINK and given.view_as(FlinkRunnerOptions).flink_master in ("[local]", "[auto]")


def parse_options(settings: RunnerSettings) -> PipelineOptions:
    """The defaults, then the user's options, which win.

    Raises:
        BylineError: neither Beam nor the job server knows an option, or it has a wrong value.
    """
    kind = settings.kind
    unknown = settings.check()
    given = PipelineOptions(list(settings.options))
    endpoint = given.view_as(PortableOptions).job_endpoint
    # Java's options are not known until Beam starts its own job server, which then reports unknown ones itself.
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
        BylineError: it has another form.
    """
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise BylineError(f"{endpoint!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def _lost(kind: Runner, endpoint: str | None) -> str:
    return (
        f"{kind.value}: no job server answers at {endpoint}; start it, or correct --option job_endpoint "
        "(docs/clusters.md); what is written is kept, and the same command continues from there"
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
    """Checks options that have no default and that Beam does not insist on."""
    endpoint = options.view_as(PortableOptions).job_endpoint
    if kind in JOB_SERVED and endpoint not in (None, "embed"):
        split_endpoint(endpoint)
    if kind is Runner.PORTABLE and endpoint is None:
        raise BylineError("portable: needs the job server's address: --option job_endpoint=HOST:PORT")
    if kind is Runner.DATAFLOW:
        dataflow.check_options(options.get_all_options())


def make_runner(settings: RunnerSettings, input_bytes: int) -> tuple[PipelineRunner, PipelineOptions]:
    """Beam's runner and all its options.

    Raises:
        BylineError: an option is wrong or missing, or no job server answers.
    """
    kind, options = settings.kind, parse_options(settings)
    if kind is Runner.LOCAL:
        workers = settings.workers_for(input_bytes)
        # The running mode "in_memory" leaves the given environment as it is.
        options = PipelineOptions(list(settings.options), direct_running_mode="in_memory", direct_num_workers=workers)
        is_here = workers == 1 and not settings.keeps_processes
        environment = EmbeddedPythonEnvironment.default() if is_here else local_workers.environment(settings.verbose)
        return FnApiRunner(default_environment=environment), options
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
    """Builds a pipeline with `wire` and runs it to its end; an interrupt cancels the job.

    The steps write nothing twice, so a job whose local worker was killed is run again: it goes on with what is missing.

    Args:
        wire: adds the transforms; called for each run of the job.
        settings: how to run.
        input_bytes: bytes to be read, which decide the number of local processes.
        begun: called when the engine has accepted the job.

    Returns:
        Beam's result of the finished job.

    Raises:
        BylineError: a worker found a mistake in the input or was lost, or the cluster does not answer or failed.
    """
    if settings.kind is not Runner.LOCAL or settings.workers_for(input_bytes) == 1:
        return _run_once(wire, settings, input_bytes, begun)
    workers = settings.workers_for(input_bytes)
    for left in reversed(range(_TRIES)):
        current = replace(settings, workers=workers, keeps_processes=True)
        try:
            with local_workers.watching() as watch:
                return _run_once(wire, current, input_bytes, begun)
        except Exception as error:
            if not watch.lost or isinstance(error, BylineError) or interrupts.is_stopped():
                raise
            lost = watch.lost[0]
            fewer = max(workers // 2, 1) if lost.may_lack_memory else workers
            if left == 0 or not lost.was_killed:
                raise BylineError(lost.explain(workers, before=_TRIES - 1)) from None
            workers = fewer
            amount = "1 worker" if workers == 1 else f"{workers} workers"
            print(f"note {lost}; what is written is kept, and the work goes on with {amount}", file=sys.stderr)
    raise AssertionError("unreachable")


def _run_once(
    wire: Callable[[beam.Pipeline], object],
    settings: RunnerSettings,
    input_bytes: int,
    begun: Callable[[PipelineResult, PipelineOptions], None] | None,
) -> PipelineResult:
    logging.getLogger().setLevel(logging.INFO if settings.verbose else logging.CRITICAL)
    quicken()
    runner, options = make_runner(settings, input_bytes)
    if options.view_as(PortableOptions).environment_type == "LOOPBACK" and not settings.verbose:
        worker.silence()
    failed = dataflow.failures() if settings.kind is Runner.DATAFLOW else (RuntimeError,)
    try:
        # This already makes Beam access buckets.
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
        # From Beam's own checks of the options; the message has several lines.
        raise BylineError(f"{kind.value}: {' '.join(str(error).split())}") from None
