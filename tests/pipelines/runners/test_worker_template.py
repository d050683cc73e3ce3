"""Workers forked from a template: what they inherit, how they end, and what becomes of them without it."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.pipelines.runners import local_workers, runner
from byline.pipelines.runners.worker_template import ForkedWorker, WorkerTemplate

LIMIT_SECONDS = 60.0


@pytest.fixture
def template() -> Iterator[WorkerTemplate]:
    started = WorkerTemplate.start()
    yield started
    started.close()


def fork(template: WorkerTemplate, **variables: str) -> ForkedWorker:
    """A worker that waits for a driver that there is none of: it looks for it for a minute."""
    environment = {**os.environ, "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:1"', **variables}
    return template.fork_worker({**environment, "WORKER_ID": "w", "PIPELINE_OPTIONS": "{}"}, ["1"])


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except FileNotFoundError:
        return False


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


def test_it_has_the_given_environment(template: WorkerTemplate) -> None:
    worker = fork(template, BYLINE_GIVEN="1")
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
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
        fifth = local_workers.current_template()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len({first, second, third, fourth, fifth}) == 5
    wait_until(lambda: not any(is_running(template.pid) for template in (first, second, third, fourth)))


def test_jobs_share_it() -> None:
    import apache_beam as beam

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | beam.Create(range(4)) | beam.Map(str)

    settings = runner.RunnerSettings(workers=2)
    runner.run_pipeline(wire, settings, 0)
    template = local_workers.current_template()
    runner.run_pipeline(wire, settings, 0)
    assert local_workers.current_template() is template
