"""A worker process of the local runner: Beam's own, without its log, which would run through the progress bars.

```
driver                          worker
closes the stream of work  ->   ends at once, whatever it does: nobody waits for it
is gone                    ->   ends, too, without a word
```

A worker's error reaches the driver with the result, so nothing is lost. `--verbose` starts Beam's worker itself. An
interrupt (Ctrl-C reaches all processes of a terminal) is the driver's to see to:
`pipelines/runners/runner.py` starts a worker with SIGINT ignored.
"""

import logging
import os
import sys
import threading


def silence() -> None:
    """Has Beam's worker print no traceback, in the process that calls this.

    It does so besides sending the error to the driver, which tells a user's mistake in one line.
    """
    from apache_beam.runners.worker import sdk_worker

    vars(sdk_worker)["print"] = lambda *_, **__: None


def main() -> None:
    """Takes work until the driver has no more of it, and ends the process."""
    # Before Beam is imported: it logs at once, and sets levels of its own later.
    logging.disable(logging.CRITICAL)
    import grpc
    from apache_beam.runners.worker import log_handler, sdk_worker_main

    silence()
    # They have one end each of a stream to the driver, and nothing else to tell of.
    threading.excepthook = lambda _: None
    vars(log_handler)["print"] = lambda *_, **__: None
    status = 0
    try:
        sdk_worker_main.main([])
    except grpc.RpcError:
        # The driver is gone; if it is not, it tells of the status.
        status = 1
    # Work in other threads would be waited for.
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
