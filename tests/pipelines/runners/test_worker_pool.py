"""The pool of Python workers: two engines on one machine, each with a worker of the same id."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

from byline.pipelines.runners.worker_pool import run_worker, serve

# Of a machine under load; importing everything takes some seconds of it.
SECONDS = 60


class Engine(beam_fn_api_pb2_grpc.BeamFnControlServicer):
    """What a JVM is to a pool: it asks for a worker, which calls back, and it waits for the worker's end."""

    def __init__(self, pool: str) -> None:
        self.came, self.left, self.done = threading.Event(), threading.Event(), threading.Event()
        self.server = grpc.server(ThreadPoolExecutor(2))
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self, self.server)
        self.url = f"localhost:{self.server.add_insecure_port('localhost:0')}"
        self.server.start()
        # Each JVM has a connection of its own.
        self.channel = grpc.insecure_channel(pool, options=[("grpc.use_local_subchannel_pool", 1)])
        self.pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(self.channel)

    def Control(self, responses: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        context.add_callback(self.left.set)
        context.add_callback(self.done.set)
        self.came.set()
        self.done.wait()
        yield from ()

    def start_worker(self) -> None:
        endpoint = endpoints_pb2.ApiServiceDescriptor(url=self.url)
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", control_endpoint=endpoint)
        assert self.pool.StartWorker(request).error == ""

    def stop_worker(self) -> None:
        assert self.pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1")).error == ""

    def close(self) -> None:
        self.done.set()
        self.channel.close()
        self.server.stop(None).wait()


@pytest.fixture
def make_engine() -> Iterator[Callable[[], Engine]]:
    server, port = serve(0)
    engines: list[Engine] = []

    def make() -> Engine:
        engines.append(Engine(f"localhost:{port}"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
    server.stop(None).wait()


def test_an_engine_ends_its_own_worker_alone(make_engine: Callable[[], Engine]) -> None:
    idle, busy = make_engine(), make_engine()
    for engine in (idle, busy):
        engine.start_worker()
        assert engine.came.wait(SECONDS)
    idle.stop_worker()
    assert idle.left.wait(SECONDS)
    # The worker is gone already; another one of this id is not the caller's.
    idle.stop_worker()
    assert not busy.left.wait(1)
    busy.stop_worker()
    assert busy.left.wait(SECONDS)


def test_a_worker_ends_when_its_engine_closes_the_stream(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=(engine.url, "1-1"), daemon=True)
    worker.start()
    assert engine.came.wait(SECONDS)
    assert worker.is_alive()
    engine.done.set()
    worker.join(SECONDS)
    assert worker.exitcode == 0


def test_a_worker_ends_when_its_engine_is_gone(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    worker = multiprocessing.get_context("spawn").Process(target=run_worker, args=(engine.url, "1-1"), daemon=True)
    worker.start()
    assert engine.came.wait(SECONDS)
    # As when its JVM is killed: the framed document is not closed, it breaks.
    engine.server.stop(None)
    worker.join(SECONDS)
    assert worker.exitcode == 0
