"""A worker process of the local runner: Beam's own, without its log, which would break up the progress bars.

```
python -m byline.pipelines.runners.worker DRIVER [--verbose]      DRIVER: the process that starts it

driver                          worker
closes the stream of work  ->   ends at once, whatever it is doing: nobody waits for it
is gone                    ->   ends silently within a second, also while it starts
```

A worker's error reaches the driver with the result, so nothing is lost; with `--verbose` its log is shown. Only the
driver handles interrupts (Ctrl-C reaches all processes of a terminal): `pipelines/runners/local_workers.py` starts
workers with SIGINT ignored.
"""

import logging
import os
import sys
import threading
import time

from byline.pipelines.quick_imports import quick_imports

_PARENT_SECONDS = 0.5


def silence() -> None:
    """Keeps Beam's worker from printing tracebacks, in the process that calls this.

    It also sends the error to the driver, which reports a user's mistake in one line.
    """
    from apache_beam.runners.worker import sdk_worker

    vars(sdk_worker)["print"] = lambda *_, **__: None


def _end_after(driver: int) -> None:
    """Ends this process when its parent is no longer the driver: a stream that is still to be opened waits a minute."""
    while os.getppid() == driver:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)


def main() -> None:
    """Works until the driver has no more work, then ends the process."""
    driver, is_verbose = int(sys.argv[1]), "--verbose" in sys.argv
    threading.Thread(target=_end_after, args=(driver,), daemon=True).start()
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


if __name__ == "__main__":
    main()
