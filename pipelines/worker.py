"""A worker process of the local runner: Beam's own, without its log, which would run through the progress bars.

A worker's error reaches the driver with the result, so nothing is lost. `--verbose` starts Beam's worker itself.
"""

import logging


def silence() -> None:
    """Has Beam's worker print no traceback, in the process that calls this.

    It does so besides sending the error to the driver, which tells a user's mistake in one line.
    """
    from apache_beam.runners.worker import sdk_worker

    vars(sdk_worker)["print"] = lambda *_, **__: None


if __name__ == "__main__":
    # Before Beam is imported: it logs at once, and sets levels of its own later.
    logging.disable(logging.CRITICAL)
    from apache_beam.runners.worker import sdk_worker_main

    silence()
    sdk_worker_main.main([])
