"""Workers forked from a template: what they inherit, how they end, and what becomes of them without it."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from byline.pipelines.runners import local_workers, runner
from byline.pipelines.runners.worker_template import IS_SAFE, ForkedWorker, WorkerTemplate, _receive
from tests.support.processes import is_running, wait_until

LIMIT_SECONDS = 60.0
pytestmark = pytest.mark.skipif(not IS_SAFE, reason="workers are forked on Linux alone")


@pytest.fixture
def template() -> Iterator[WorkerTemplate]:
    started = WorkerTemplate.start()
    yield started
    started.close()


def fork(template: WorkerTemplate, **variables: str) -> ForkedWorker:
    """A worker that waits for a driver that there is none of: it looks for it for a minute."""
    environment = {**os.environ, "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:1"', **variables}
    return template.fork_worker({**environment, "WORKER_ID": "w", "PIPELINE_OPTIONS": "{}"}, is_verbose=False)


FORKING = """
import os, time
from byline.pipelines.runners import local_workers

own = local_workers.current_template()
child = os.fork()
if child == 0:
    another = local_workers.current_template()
    print(another.pid, flush=True)
else:
    time.sleep(1)
    print(own.pid, own.is_alive, local_workers.current_template() is own, child, flush=True)
time.sleep(600)
"""


def test_workers_are_its_children_and_it_has_no_threads_of_its_own(template: WorkerTemplate) -> None:
    workers = [fork(template), fork(template)]
    # Those of OpenBLAS and one of jemalloc.
    assert len(os.listdir(f"/proc/{template.pid}/task")) <= (os.cpu_count() or 1) + 1
    children = Path(f"/proc/{template.pid}/task/{template.pid}/children").read_text().split()
    assert sorted(map(int, children)) == sorted(worker.pid for worker in workers)
    assert [worker.poll() for worker in workers] == [None, None]


def test_a_killed_worker_tells_its_status_and_the_others_go_on(template: WorkerTemplate) -> None:
    first, second = fork(template), fork(template)
    first.kill()
    assert first.wait() == first.returncode == -signal.SIGKILL
    os.kill(second.pid, signal.SIGSEGV)
    assert second.wait() == -signal.SIGSEGV
    # An ended worker's process id may be another process's by now.
    first.kill()
    third = fork(template)
    assert third.poll() is None


def test_a_worker_has_the_driver_s_folder_and_streams(template: WorkerTemplate) -> None:
    worker = fork(template)
    # Beam's threads are in it when it has taken its environment.
    wait_until(lambda: len(os.listdir(f"/proc/{worker.pid}/task")) > 1)
    assert os.readlink(f"/proc/{worker.pid}/cwd") == os.getcwd()
    assert os.readlink(f"/proc/{worker.pid}/fd/1") == os.readlink("/proc/self/fd/1")


def test_a_driver_without_standard_streams_or_a_folder_has_workers(tmp_path: Path) -> None:
    """As one of a service has that closed what it did not need."""
    program = f"""
import os, sys
os.chdir({str(tmp_path / "gone")!r})
os.rmdir({str(tmp_path / "gone")!r})
for stream in (0, 1, 2):
    os.close(stream)
import apache_beam as beam
from byline.pipelines.runners import runner

def wire(pipeline):
    return pipeline | beam.Create(range(4)) | beam.Map(str)

runner.run_pipeline(wire, runner.RunnerSettings(workers=2), 0)
open({str(tmp_path / "done")!r}, "x")
"""
    (tmp_path / "gone").mkdir()
    assert subprocess.run([sys.executable, "-c", program], timeout=LIMIT_SECONDS, check=False).returncode == 0
    assert (tmp_path / "done").exists()


def test_what_is_too_large_for_a_message_gives_no_worker(template: WorkerTemplate) -> None:
    worker = fork(template, TOO_LARGE="x" * (64 << 20))
    assert worker.wait() == -signal.SIGKILL


def test_workers_end_with_the_template(template: WorkerTemplate) -> None:
    worker = fork(template)
    os.kill(template.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    wait_until(lambda: not is_running(worker.pid))
    wait_until(lambda: not template.is_alive)
    late = fork(template)
    assert (late.wait(), late.pid) == (-signal.SIGKILL, template.pid)


def test_workers_end_when_it_is_closed(template: WorkerTemplate) -> None:
    worker = fork(template)
    template.close()
    wait_until(lambda: not is_running(worker.pid) and not is_running(template.pid))


def test_a_driver_that_has_changed_starts_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = local_workers.current_template()
    assert local_workers.current_template() is first
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", str(tmp_path))
        second = local_workers.current_template()
    with monkeypatch.context() as changed:
        changed.chdir(tmp_path)
        third = local_workers.current_template()
    fourth = local_workers.current_template()
    before = os.umask(0o077)
    try:
        sixth = local_workers.current_template()
    finally:
        os.umask(before)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
        fifth = local_workers.current_template()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len({first, second, third, fourth, fifth, sixth}) == 6
    wait_until(lambda: not any(is_running(template.pid) for template in (first, second, third, fourth, sixth)))


def test_a_change_in_the_middle_of_a_job_leaves_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:1"', "PIPELINE_OPTIONS": "{}"}
    with local_workers.watching():
        first = local_workers._start("worker 1", environment)
        monkeypatch.chdir(tmp_path)
        second = local_workers._start("worker 1", environment)
        assert [is_running(worker.pid) for worker in (first, second)] == [True, True]
        first.kill()
        second.kill()


def test_it_ends_when_there_was_no_job_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_workers, "_IDLE_SECONDS", 0.05)
    with local_workers.watching():
        with local_workers.watching():
            template = local_workers.current_template()
        time.sleep(0.2)
        assert template.is_alive
    wait_until(lambda: not is_running(template.pid))
    assert local_workers.current_template() is not template


def test_a_fork_of_the_driver_has_its_own_and_keeps_none_alive() -> None:
    words = [sys.executable, "-c", FORKING]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
        try:
            assert driver.stdout
            lines = sorted((driver.stdout.readline().split(), driver.stdout.readline().split()), key=len)
            (another,), (own, *rest) = lines
            assert (another != own, rest[:2]) == (True, ["True", "True"])
            driver.kill()
            wait_until(lambda: not is_running(int(own)))
            assert [is_running(int(rest[2])), is_running(int(another))] == [True, True]
        finally:
            os.killpg(driver.pid, signal.SIGKILL)


def test_what_a_worker_dies_of_is_told(template: WorkerTemplate, capfd: pytest.CaptureFixture[str]) -> None:
    worker = fork(template, CONTROL_API_SERVICE_DESCRIPTOR="no descriptor")
    assert worker.wait() == 1
    assert "ParseError" in capfd.readouterr().err


def test_one_that_is_gone_leaves_no_descriptor() -> None:
    template = WorkerTemplate.start()
    worker = fork(template)
    template.close()
    assert worker.wait() == -signal.SIGKILL
    wait_until(lambda: template._channel.fileno() == -1, "closed")


def test_a_job_within_a_job_starts_no_time_of_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_workers, "_IDLE_SECONDS", 0.3)
    with local_workers._using_template():
        with local_workers._using_template():
            template = local_workers.current_template()
        time.sleep(0.2)
    time.sleep(0.2)
    # The time of the inner one would be over.
    assert template.is_alive
    wait_until(lambda: not template.is_alive)


def test_one_that_cannot_import_gives_workers_with_its_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "awkward.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert fork(WorkerTemplate.start()).wait() == 7


def test_a_driver_that_left_answers_unread_is_gone() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here:
        here.send(b"unread")
        there.close()
        assert _receive(here) == (b"", [])


def test_jobs_share_it_and_not_their_random_numbers(tmp_path: Path) -> None:
    import apache_beam as beam

    def draw(_: int) -> None:
        import numpy as np

        # Of the worker's own environment, which only the template's message has.
        assert {"WORKER_ID", "CONTROL_API_SERVICE_DESCRIPTOR"} <= set(os.environ)
        (tmp_path / str(np.random.rand())).touch()

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | beam.Create(range(4)) | beam.Map(draw)

    settings = runner.RunnerSettings(workers=2)
    runner.run_pipeline(wire, settings, 0)
    template = local_workers.current_template()
    runner.run_pipeline(wire, settings, 0)
    assert local_workers.current_template() is template
    assert len(list(tmp_path.iterdir())) == 8
