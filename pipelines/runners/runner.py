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
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

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
from byline.pipelines.runners.beam_options import check_known, known_names, split_endpoint
from byline.pipelines.runners.failures import explain_failure
from byline.pipelines.runners.quick_pipelines import quicken
from byline.pipelines.runners.settings import JOB_SERVED, Runner, RunnerSettings

# Where a pool of workers usually listens, on the machine of each executor.
WORKER_POOL = "localhost:50000"
# For one request to a job server that accepts connections; Beam's default of five minutes is a long time to wait.
REQUEST_SECONDS = 60
CONNECT_SECONDS = 5.0
# So often is a job run whose local workers are killed. The second and third time have half as many if memory may lack.
_TRIES = 3
# What Beam turns an interrupt into, in the middle of a step that runs in this process.
_INTERRUPT = re.compile(r"^(?:RuntimeError: )?KeyboardInterrupt(?: \[while running [^\n]*)?$", re.MULTILINE)


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
