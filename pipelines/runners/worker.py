"""A worker process of the local runner: Beam's own, without its log, which would break up the progress bars.

```
python -m byline.pipelines.runners.worker PARENT [--verbose]      PARENT: the process that starts it

driver closes the stream of work   ->   ends at once, whatever it is doing: nobody waits for it
parent is gone                     ->   ends silently within a second, also while it starts
```

The parent is the driver, or the template that workers are forked from (`pipelines/runners/worker_template.py`).

A worker's error reaches the driver with the result, so nothing is lost; with `--verbose` its log is shown. Only the
driver handles interrupts (Ctrl-C reaches all processes of a terminal): `pipelines/runners/local_workers.py` starts
workers with SIGINT ignored.
"""

import importlib
import logging
import os
import sys
import threading
import time
from typing import NoReturn

from byline.pipelines.quick_imports import quick_imports

# What a worker imports: Beam's side, what jobs hand over, every step, and what commands import where they need it.
PRELOADED = [
    "apache_beam.runners.worker.sdk_worker_main",
    "awkward",
    "tldextract",
    "byline.pipelines.jobs.build",
    "byline.pipelines.jobs.export",
    "byline.pipelines.jobs.import_",
    "byline.pipelines.jobs.verify_import",
    "byline.pipelines.wiring.assemble",
    "byline.pipelines.wiring.lines",
    "byline.pipelines.wiring.prepare",
    "byline.transforms.attributes.classifier",
    "byline.transforms.attributes.clusters.kind",
    "byline.transforms.attributes.contamination.kind",
    "byline.transforms.attributes.duplicates.kind",
    "byline.transforms.attributes.function",
    "byline.transforms.attributes.spans.kind",
    "byline.transforms.attributes.tables.kind",
    "byline.transforms.documents.run_lines_transform",
    "byline.transforms.filters.every_rule",
    "byline.transforms.scans.count_runs_transform",
    "byline.transforms.store.compacting_transform",
    "byline.transforms.tokens.fast_tokenizer",
]
_PARENT_SECONDS = 0.5


def silence() -> None:
    """Keeps Beam's worker from printing tracebacks, in the process that calls this.

    It also sends the error to the driver, which reports a user's mistake in one line.
    """
    from apache_beam.runners.worker import sdk_worker

    vars(sdk_worker)["print"] = lambda *_, **__: None


def import_all() -> None:
    """Imports what workers need, before there are any."""
    # Beam logs when it is imported, and a worker decides what is shown of its log.
    logging.disable(logging.CRITICAL)
    with quick_imports():
        for module in PRELOADED:
            importlib.import_module(module)
    logging.disable(logging.NOTSET)


def _end_after(parent: int) -> None:
    """Ends this process when its parent is another: a stream that is still to be opened waits a minute."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)


def work(parent: int, is_verbose: bool) -> NoReturn:
    """Works until the driver has no more work, then ends the process.

    Args:
        parent: the process that started this one.
        is_verbose: whether Beam's log is shown.
    """
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    if not is_verbose:
        # Before Beam is imported: it logs at once, and sets its own levels later.
        logging.disable(logging.CRITICAL)
    with quick_imports():
        import grpc
        from apache_beam.runners.worker import log_handler, sdk_worker_main

    if not is_verbose:
        silence()
        # Its threads each serve a stream to the driver, and can only report that this has ended.
        threading.excepthook = lambda _: None
        vars(log_handler)["print"] = lambda *_, **__: None
    status = 0
    try:
        sdk_worker_main.main([])
    except grpc.RpcError:
        # The driver is gone; if it is not, it reports the status.
        status = 1
    # A normal exit would wait for work in other threads.
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    """A worker as a program."""
    work(int(sys.argv[1]), is_verbose="--verbose" in sys.argv)


if __name__ == "__main__":
    main()
