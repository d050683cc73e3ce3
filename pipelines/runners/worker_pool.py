"""Starts Python workers when an engine asks for them: one pool on each machine of a Spark or Flink cluster.

```
python -m byline.pipelines.runners.worker_pool --port 50000

engine's worker (JVM)                    pool                                  Python worker
StartWorker(id 1-1, call back at :40399) -> forks a process                    -> connects to :40399, takes bundles
StopWorker(id 1-1)                       -> ends that engine's worker 1-1      stream closes: ends, whatever it does
```

It differs from Beam's own pool (`apache_beam.runners.worker.worker_pool_main`) in two ways. Each JVM numbers its
workers from 1-1, and Beam's pool identifies a worker by that id alone: of two executors on one machine, the first to
finish ends the other's worker in the middle of its work. Here a worker is identified by its id and by who asked for it.
And Beam's pool starts an interpreter for each worker, which takes seconds to import everything; here workers are forked
from a process that has imported everything and does nothing else (the threads of its libraries, OpenBLAS and jemalloc,
are fork-safe).
"""

import argparse
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from byline.pipelines.runners.worker import PRELOADED

# Beam sends keep-alive pings with no calls in between.
_SERVER_OPTIONS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
STOP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """The two calls of Beam's protocol (beam_fn_api.proto, BeamFnExternalWorkerPool)."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._workers: dict[tuple[str, str], ForkServerProcess] = {}
        self._lock = threading.Lock()

    def StartWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a worker that takes its work from the caller's control endpoint."""
        arguments = (request.control_endpoint.url, request.worker_id)
        process = self._context.Process(target=run_worker, args=arguments, daemon=True)
        try:
            with self._lock:
                process.start()
                self._workers = {key: worker for key, worker in self._workers.items() if worker.is_alive()}
                self._workers[context.peer(), request.worker_id] = process
        except OSError:
            return beam_fn_api_pb2.StartWorkerResponse(error=traceback.format_exc())
        _log.warning("worker %s of %s: started, pid %d", request.worker_id, context.peer(), process.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Ends one of the caller's workers. An unknown one ends by itself, as its control stream is closed."""
        with self._lock:
            process = self._workers.pop((context.peer(), request.worker_id), None)
        if process is not None:
            _end(process)
        _log.warning("worker %s of %s: %s", request.worker_id, context.peer(), "stopped" if process else "not known")
        return beam_fn_api_pb2.StopWorkerResponse()


def _end(process: ForkServerProcess) -> None:
    process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def run_worker(control_endpoint: str, worker_id: str) -> None:
    """A worker process: takes bundles from an engine until it closes the stream."""
    # As Beam's own pool does.
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    try:
        SdkHarness(control_endpoint, worker_id=worker_id, data_buffer_time_limit_ms=-1).run()
    except grpc.RpcError:
        # Nobody waits for its result; another worker repeats the work.
        _log.warning("worker %s, pid %d: the engine at %s is gone: ends", worker_id, os.getpid(), control_endpoint)


def serve(port: int) -> tuple[grpc.Server, int]:
    """Starts a pool.

    Args:
        port: 0 for any that is free.

    Returns:
        The server, and its port.
    """
    server = grpc.server(ThreadPoolExecutor(thread_name_prefix="pool"), options=_SERVER_OPTIONS)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(WorkerPool(), server)
    port = server.add_insecure_port(f"[::]:{port}")
    server.start()
    return server, port


def main() -> None:
    """The command line; ends on SIGTERM or an interrupt, and its workers with it."""
    parser = argparse.ArgumentParser(description="A pool of Python workers for the Spark or Flink worker beside it.")
    parser.add_argument("--port", type=int, default=50000, help="where the engine looks for it (default: 50000)")
    arguments = parser.parse_args()
    # An imported module may have set up the log already.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", force=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, port = serve(arguments.port)
    _log.warning("a pool of Python workers at port %d", port)
    stop.wait()
    server.stop(None)


if __name__ == "__main__":
    main()
