"""The line that a failed job ends with, made of what its runner says.

```
Traceback ... BylineError: a.jsonl.gz: record 7 ... [while running 'Read']  a.jsonl.gz: record 7 ...
Caused by: java.net.ConnectException: Connection refused                    spark: connection refused, most likely ...
another traceback                                                           None: it is shown
```
"""

import re

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from byline.pipelines.runners import dataflow
from byline.pipelines.runners.settings import JOB_SERVED, Runner

POOL_MODULE = "byline.pipelines.runners.worker_pool"
# A worker's error arrives as text: a traceback whose last line is the error, with the step added by Beam.
_USER_ERROR = re.compile(r"BylineError: (?P<message>[^\n]*?)(?: \[while running [^\n]*)?$", re.MULTILINE)
# What Spark and Flink say when one of their workers finds no pool; Flink gives only the last cause.
_NO_POOL = re.compile(r"BeamFnExternalWorkerPool|ConnectException.*Connection refused")
# What they say when a Python worker disappears after it has started.
_LOST_WORKER = re.compile(r"StatusRuntimeException: CANCELLED: (?:client cancelled|call already cancelled)")
_CAUSE = re.compile(r"^(?:Caused by: |.* failed in state \w+: )(?P<cause>[^\n]+)$", re.MULTILINE)


def explain_failure(text: str, kind: Runner, options: PipelineOptions) -> str | None:
    """A failed job's text as one line; None for a bug, which needs its traceback.

    Args:
        text: of the error: nested tracebacks of Python and Java.
        kind: the runner.
        options: with which it ran.
    """
    user_error = _USER_ERROR.search(text)
    if user_error is not None:
        return user_error["message"]
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
        "what is written is kept, and the same command continues from there"
    )
