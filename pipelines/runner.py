"""Running a Beam pipeline on this machine, and turning a worker's error into one line.

`in_memory` runs in this process; `multi_processing` starts one process a worker. The runner is named explicitly,
because Beam's DirectRunner may first try to download another one.
"""

import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import environments

from byline.errors import BylineError

# Below this, starting worker processes takes longer than they save.
SMALL_INPUT_BYTES = 32 << 20
# A worker's error arrives as text: a traceback whose last line is the error, with Beam's note of the step.
_USER_ERROR = re.compile(r"BylineError: (?P<message>[^\n]*?)(?: \[while running [^\n]*)?$", re.MULTILINE)


@dataclass(frozen=True)
class RunnerSettings:
    """How to run pipelines.

    Attributes:
        workers: processes; None for one a core, or one in all where the input is small.
        verbose: show Beam's own log.
    """

    workers: int | None = None
    verbose: bool = False

    def workers_for(self, input_bytes: int) -> int:
        """How many processes for an input of so many bytes on disk."""
        if self.workers is not None:
            return self.workers
        return 1 if input_bytes < SMALL_INPUT_BYTES else os.cpu_count() or 1


def _environment(settings: RunnerSettings, workers: int) -> environments.Environment:
    """Where the steps run: in this process, or in processes of their own."""
    if workers == 1:
        return environments.EmbeddedPythonEnvironment.default()
    module = "apache_beam.runners.worker.sdk_worker_main" if settings.verbose else "pipelines.worker"
    command = f"{shlex.quote(sys.executable)} -m {module}"
    return environments.SubprocessSDKEnvironment.from_command_string(command_string=command)


def run_pipeline(wire: Callable[[beam.Pipeline], object], settings: RunnerSettings, input_bytes: int) -> None:
    """Builds a pipeline with `wire` and runs it to its end.

    Args:
        wire: adds the transforms.
        settings: how to run.
        input_bytes: bytes to be read, which decide the number of processes.

    Raises:
        BylineError: a mistake in the input that a worker found.
    """
    workers = settings.workers_for(input_bytes)
    level = logging.INFO if settings.verbose else logging.CRITICAL
    logging.getLogger().setLevel(level)
    runner = FnApiRunner(default_environment=_environment(settings, workers))
    # The running mode "in_memory" leaves the environment as it is given.
    options = PipelineOptions(direct_running_mode="in_memory", direct_num_workers=workers)
    pipeline = beam.Pipeline(runner=runner, options=options)
    wire(pipeline)
    try:
        pipeline.run().wait_until_finish()
    except BylineError as error:
        raise BylineError(re.sub(r" \[while running .*$", "", str(error))) from None
    except RuntimeError as error:
        found = _USER_ERROR.search(str(error))
        if found is None:
            raise
        raise BylineError(found["message"]) from None
