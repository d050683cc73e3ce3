"""A worker process of the local runner: Beam's own, without its log, which would run through the progress bars.

A worker's error reaches the driver with the result, so nothing is lost. `--verbose` starts Beam's worker itself.
"""

import logging

if __name__ == "__main__":
    # Before Beam is imported: it logs at once, and sets levels of its own later.
    logging.disable(logging.CRITICAL)
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    # Beam prints an error's traceback, besides sending it to the driver, which tells a user's mistake in one line.
    vars(sdk_worker)["print"] = lambda *_, **__: None
    sdk_worker_main.main([])
