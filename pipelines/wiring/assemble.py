"""The pipeline of `byline assemble`: `ReadPlan | AssembleShards`."""

from collections.abc import Callable

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult
from rich.console import Console

from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import run_pipeline
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas import plan as plans
from byline.transforms.documents.work_lists import ReadPlan
from byline.transforms.files import storage
from byline.transforms.shards.assembling import AssembleJob
from byline.transforms.shards.assembling_transform import AssembleShards


def run_assembling(job: AssembleJob, size: int, settings: RunnerSettings, console: Console) -> PipelineResult:
    """Writes the shards of the plan in the output that are missing.

    Args:
        job: what every worker must know.
        size: bytes to be read and written, which decide the number of local workers.
        settings: how to run.
        console: for what an engine says of the job.

    Raises:
        BylineError: as `run_pipeline` does.
    """
    return run_pipeline(_wire(job), settings, size, job_shower(console, settings))


def _wire(job: AssembleJob) -> Callable[[beam.Pipeline], object]:
    plan_uri = storage.join(job.output, plans.FILE_NAME)

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | "ReadPlan" >> ReadPlan(plan_uri) | "AssembleShards" >> AssembleShards(job)

    return wire
