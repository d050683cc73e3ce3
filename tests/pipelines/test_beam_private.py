"""What Byline uses of Beam that Beam does not document, and up to which version it has been tried.

A new minor version of Beam may move any of it, so `apache-beam` has a bound in pyproject.toml. To raise it: pin the new
version in requirements.txt, run the tests (those of clusters, too), mend what is gone, and move the bound.
"""

import importlib
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
RUNNERS = "apache_beam.runners"
FN_RUNNER = f"{RUNNERS}.portability.fn_api_runner"
# module, name, what its source or signature has to have, and what for
PRIVATE = [
    # `print` is replaced in both: a traceback goes to the driver anyway (pipelines/runners/worker.py)
    (f"{RUNNERS}.worker.sdk_worker", "", r"(?m)^ +print\(traceback_string, file=sys.stderr\)"),
    (f"{RUNNERS}.worker.log_handler", "", r"(?m)^ +print\($"),
    (f"{RUNNERS}.worker.sdk_worker_main", "main", r"def main\(\w+\):"),
    # a pool starts workers as Beam's does (pipelines/runners/worker_pool.py)
    (f"{RUNNERS}.worker.sdk_worker", "SdkHarness", r"worker_id=.*data_buffer_time_limit_ms="),
    ("apache_beam.portability.api", "beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer", "StartWorker.*StopWorker"),
    # what is worked out for each pipeline, and kept instead (pipelines/runners/quick_pipelines.py)
    ("apache_beam.options.pipeline_options", "PipelineOptions.view_as", "view._all_options = self._all_options"),
    ("apache_beam.transforms.userstate", "get_dofn_specs", "in method.defaults"),
    # `subprocess` is replaced, to start workers and know their processes (pipelines/runners/interrupts.py)
    (
        f"{RUNNERS}.portability.local_job_service",
        "SubprocessSdkWorker",
        r"WORKER_ID.*subprocess\.Popen\(.*, shell=True, env=",
    ),
    # a handler that learns of a worker's end, and gives the missing answers (pipelines/runners/local_workers.py)
    (f"{FN_RUNNER}.worker_handlers", "WorkerHandler.register_environment", r"_registered_environments\[urn\] ="),
    (
        f"{FN_RUNNER}.worker_handlers",
        "SubprocessSdkWorkerHandler.start_worker",
        "self.worker_thread = .*target=self.worker.run",
    ),
    (f"{FN_RUNNER}.worker_handlers", "GrpcWorkerHandler.close", "self.control_conn.close"),
    (f"{FN_RUNNER}.worker_handlers", "ControlConnection.push", r"self\._futures_by_id\["),
    (f"{FN_RUNNER}.worker_handlers", "ControlFuture.set", "notify_all"),
    (f"{FN_RUNNER}.fn_runner", "BundleManager.process_bundle", r"result_future\.get\(\)\.error.*if result\.error:"),
    # the local runner, in this process or several (pipelines/runners/runner.py)
    (f"{RUNNERS}.portability.fn_api_runner", "FnApiRunner.__init__", "default_environment"),
    ("apache_beam.transforms.environments", "EmbeddedPythonEnvironment.default", "def default"),
    ("apache_beam.transforms.environments", "SubprocessSDKEnvironment.from_command_string", "command_string"),
    # what a job server takes, and the name of a job (pipelines/runners/runner.py, engine.py)
    ("apache_beam.portability.api", "beam_job_api_pb2_grpc.JobServiceStub.__init__", "DescribePipelineOptions"),
    (f"{RUNNERS}.portability.portable_runner", "PipelineResult.__init__", "self._job_id = job_id"),
    # every option and its parser (pipelines/runners/beam_options.py)
    (
        "apache_beam.options.pipeline_options",
        "PipelineOptions.get_all_options",
        "add_extra_args_fn.*current_only|current_only.*add_extra_args_fn",
    ),
    # where its job servers are (pipelines/doctor/runners.py)
    ("apache_beam.utils.subprocess_server", "JavaJarServer", "JAR_CACHE = "),
    # Dataflow's failures, and what it needs (pipelines/runners/dataflow.py, pipelines/doctor/runners.py)
    (f"{RUNNERS}.dataflow.dataflow_runner", "DataflowRuntimeException", "Exception"),
    (f"{RUNNERS}.dataflow.internal.apiclient", "", "class DataflowApplicationClient"),
]


@pytest.mark.parametrize(("module", "name", "pattern"), PRIVATE)
def test_what_is_used_of_beam_is_there(module, name, pattern):
    holder = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        assert hasattr(holder, part), f"{module} has no {name} in Beam {version('apache-beam')}"
        holder = getattr(holder, part)
    found = re.search(pattern, inspect.getsource(holder), re.DOTALL)
    assert found, f"{module} {name} is not what it was in Beam {version('apache-beam')}: no {pattern}"


def test_beam_is_one_that_has_been_tried():
    listed = re.search(r'"(apache-beam>=[^"]+)"', (ROOT / "pyproject.toml").read_text())[1]
    tried = Requirement(listed).specifier
    assert version("apache-beam") in tried, (
        f"apache-beam {version('apache-beam')} is installed and {listed} has been tried; "
        "what to do is in the first lines of tests/pipelines/test_beam_private.py"
    )


def test_the_bound_is_the_minor_version_after_the_pinned_one():
    major, minor, _ = re.search(
        r"(?m)^apache-beam==(\d+)\.(\d+)\.(\d+)$", (ROOT / "requirements.txt").read_text()
    ).groups()
    assert f"<{major}.{int(minor) + 1}" in re.search(r'"apache-beam>=[^"]+"', (ROOT / "pyproject.toml").read_text())[0]
    image = f"apache/beam_python3.11_sdk:{version('apache-beam')} "
    assert image in (ROOT / "Dockerfile").read_text()
