"""What an engine says about a job: its name, the address of its page, and its counters.

```
flink     job BeamApp-ann-1122071201-cb5cc02a_345092e2-..., of the job server at jobs:8099
prepare   as counted by flink: documents_kept 1,642, ..., runs 8, ..., tokens_kept 5,969,968; the files say the same
```

Nothing depends on it: the ledger is made from files, and a missing answer from the engine is only reported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, PortableOptions
from apache_beam.runners.runner import PipelineResult
from rich.console import Console

from byline.pipelines.runners.settings import Runner, RunnerSettings
from byline.transforms.documents.counters import NAMESPACE, NOT_IN_LEDGER


@dataclass(frozen=True)
class EngineCounts:
    """Counters of one job, summed over its steps.

    Attributes:
        values: by name; empty if the engine gives none.
        is_committed: whether they count only work that succeeded, as far as the engine knows.
    """

    values: dict[str, int]
    is_committed: bool

    def differences(self, ledger: Mapping[str, int]) -> list[str]:
        """`name counted instead of real` for each counter that differs from the files."""
        names = sorted({*self.values, *ledger} - NOT_IN_LEDGER)
        pairs = [(name, self.values.get(name, 0), ledger.get(name, 0)) for name in names]
        return [f"{name} {counted:,} instead of {real:,}" for name, counted, real in pairs if counted != real]


def read_counts(result: PipelineResult) -> EngineCounts:
    """The counters of a finished job."""
    try:
        counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    # Each engine's client raises exceptions of its own library, which may not be installed; the job has succeeded.
    except Exception:
        return EngineCounts({}, False)
    is_committed = any(counter.committed is not None for counter in counters)
    values: dict[str, int] = {}
    for counter in counters:
        name, number = counter.key.metric.name, counter.committed if is_committed else counter.attempted
        values[name] = values.get(name, 0) + (number or 0)
    return EngineCounts(values, is_committed)


def describe_counts(name: str, engine: str, counts: EngineCounts, ledger: Mapping[str, int]) -> str:
    """One line that compares the engine's counters with the files.

    Args:
        name: of the step.
        engine: its name.
        counts: its counters.
        ledger: the same counters, from the files that the job wrote.
    """
    if not counts.values:
        return f"{name:<9} {engine} gives no counters; the ledger counts files"
    shown = ", ".join(f"{key} {value:,}" for key, value in sorted(counts.values.items()) if value)
    caveat = "" if counts.is_committed else ", tries that failed included"
    different = counts.differences(ledger)
    verdict = (
        f"the files, by which the ledger goes, say otherwise: {', '.join(different)}; "
        "a task that ran twice may be counted twice"
        if different
        else "the files say the same"
    )
    return f"{name:<9} as counted by {engine}{caveat}: {shown}; {verdict}"


def show_counts(
    console: Console, name: str, settings: RunnerSettings, result: PipelineResult, ledger: Mapping[str, int]
) -> None:
    """Prints what the engine counted: always for a cluster, for this machine only if verbose."""
    if settings.verbose or settings.kind is not Runner.LOCAL:
        line = describe_counts(name, settings.kind.value, read_counts(result), ledger)
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def describe_job(kind: Runner, result: PipelineResult, options: PipelineOptions) -> str | None:
    """The job's name in the engine, and where to see it; None if there is nothing to say."""
    # Only Dataflow's result has a public name for it.
    public = getattr(result, "job_id", None)
    job = public() if public else getattr(result, "_job_id", None)
    if kind is Runner.LOCAL or not job:
        return None
    if kind is Runner.DATAFLOW:
        cloud = options.view_as(GoogleCloudOptions)
        where = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}"
    else:
        where = f"of the job server at {options.view_as(PortableOptions).job_endpoint}"
    return f"{kind.value:<9} job {job}, {where}"


def job_shower(console: Console, settings: RunnerSettings) -> Callable[[PipelineResult, PipelineOptions], None]:
    """A callback for `run_pipeline` that prints one line when a job has started."""

    def show(result: PipelineResult, options: PipelineOptions) -> None:
        line = describe_job(settings.kind, result, options)
        if line is not None:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return show
