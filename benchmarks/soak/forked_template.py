"""A template of workers that a command forks from itself, before it does anything, instead of starting a program.

The command has imported what workers need, and has no threads yet; to import it again takes longer than a small build.
"""

import os
import signal
import socket

from byline.pipelines.runners import local_workers, worker
from byline.pipelines.runners.worker_template import WorkerTemplate, serve

# As this process is the first one, its commands and their templates find everything imported.
worker.import_all()


def fork_template() -> None:
    """Has this process's workers forked from such a template."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            here.close()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            serve(there)
        finally:
            os._exit(70)
    there.close()
    local_workers.use_template(WorkerTemplate(here, pid))
