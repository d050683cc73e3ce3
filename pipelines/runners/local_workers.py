"""Worker processes of the local runner: how they start, and what becomes of a job when one dies.

```
worker 2 of 4    killed (SIGKILL)  ->  every call that Beam waits for fails; the other workers are killed
the job          ends with an error; `run_pipeline` does its work again with fewer workers, or ends with one line
```

Beam starts a process for each worker and hears from it only through a stream of answers. If the process is gone, the
answers that are still expected never come; here they are given, as failures, which is how Beam learns of any failure.
"""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import grpc
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from byline.pipelines.runners import interrupts
from byline.pipelines.runners.worker_template import IS_SAFE, WorkerTemplate, module_command

# What Beam takes for a worker's answer.
_MESSAGE = "a worker process ended in the middle of its work"
_AGAIN_SECONDS = 0.05
# The next job of a build begins much sooner; a session in a notebook may live for days.
_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class LostWorker:
    """A worker process that ended before its work did.

    Attributes:
        process: its process id.
        status: as `Popen.returncode`: -9 if it was killed by signal 9, else its exit status.
    """

    process: int
    status: int

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it, so that the work may succeed when it is done again."""
        return self.status < 0

    @property
    def may_lack_memory(self) -> bool:
        """Whether it ended as processes do that the system ends because memory runs out."""
        return self.status == -signal.SIGKILL

    def explain(self, workers: int, before: int) -> str:
        """The line for a job that is given up.

        Args:
            workers: how many there were.
            before: how often the job was run before, and a worker was lost.
        """
        if not self.was_killed:
            advice = "--verbose shows its log"
        elif self.may_lack_memory:
            fewer = f"use fewer workers (--workers {workers // 2}), or " if workers > 1 else ""
            advice = f"{fewer}make memory free"
        else:
            advice = "--workers 1 --verbose shows where"
        times = f", as {before} before it" if self.was_killed and before else ""
        return f"{self}{times}; {advice}; what is written is kept, and the same command goes on from there"

    def __str__(self) -> str:
        if not self.was_killed:
            return f"worker process {self.process} ended with exit status {self.status}"
        try:
            name = signal.Signals(-self.status).name
        except ValueError:
            name = "a signal of this system"
        hint = ", which is what a system does when memory runs out" if self.may_lack_memory else ""
        return f"worker process {self.process} was killed by signal {-self.status} ({name}){hint}"


def environment(verbose: bool) -> SubprocessSDKEnvironment:
    """Beam's description of worker processes on this machine; `verbose` ones print their log."""
    words = [*module_command("byline.pipelines.runners.worker"), str(os.getpid()), *["--verbose"] * verbose]
    # Beam runs it in a shell. Ctrl-C in a terminal reaches workers, too; from the start they leave it to the driver.
    return SubprocessSDKEnvironment.from_command_string(command_string=f"trap '' INT; exec {shlex.join(words)}")


# Of this process; started when it is first needed.
_template: WorkerTemplate | None = None
_lock = threading.RLock()
# Jobs that run now.
_users = 0
_idle: threading.Timer | None = None


def use_template(template: WorkerTemplate) -> None:
    """Has workers forked from this template, as long as it is alive and like this process."""
    global _template
    _template = template


def current_template() -> WorkerTemplate:
    """The template of this process's workers; another one if that is gone, or unlike this process by now."""
    if _template is None or not (_template.is_alive and _template.is_like_this_process()):
        if _template is not None:
            _template.close()
        use_template(WorkerTemplate.start())
    assert _template is not None
    return _template


@contextmanager
def _using_template() -> Iterator[None]:
    """Has a template in the block, and for a while after it."""
    global _users, _idle
    with _lock:
        _users += 1
        if _idle is not None:
            _idle.cancel()
        # It imports while the pipeline is made.
        current_template()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _idle = threading.Timer(_IDLE_SECONDS, _close_idle)
                _idle.daemon = True
                _idle.start()


def _close_idle() -> None:
    global _template
    with _lock:
        if _template is not None and not _users:
            _template.close()
            _template = None


def _leave_template() -> None:
    global _template
    if _template is not None:
        _template.leave_to_parent()
        _template = None


os.register_at_fork(after_in_child=_leave_template)


def _start(command: str, variables: dict[str, str]) -> interrupts.WorkerProcess:
    """Starts a worker, given what `environment` makes."""
    if not IS_SAFE:
        return subprocess.Popen(command, shell=True, env=variables)
    with _lock:
        # In the middle of a job that is enough: another one would end those of its workers that have begun.
        template = _template if _template is not None and _template.is_alive else current_template()
    return template.fork_worker(variables, is_verbose="--verbose" in shlex.split(command))


class Watch:
    """The workers of one run of a job.

    Attributes:
        lost: those that ended before their work did, the first one first.
    """

    def __init__(self) -> None:
        self.lost: list[LostWorker] = []
        self._handlers: set[WatchedWorkerHandler] = set()

    def add(self, handler: "WatchedWorkerHandler") -> None:
        """Begins to watch a worker."""
        self._handlers.add(handler)

    def remove(self, handler: "WatchedWorkerHandler") -> None:
        """Ends it."""
        self._handlers.discard(handler)

    def lose(self, process: interrupts.WorkerProcess) -> None:
        """Ends the job, whose worker has ended."""
        self.lost.append(LostWorker(process.pid, process.wait()))
        # Another thread: Beam waits for this one, which waited for the process, before it closes the handler.
        threading.Thread(target=self._fail_all, daemon=True).start()

    def _fail_all(self) -> None:
        # Repeatedly: Beam may be about to start another worker, or to call one.
        while self._handlers:
            for handler in list(self._handlers):
                handler.fail()
            time.sleep(_AGAIN_SECONDS)


# Of the job that runs now.
_watch = Watch()


class WatchedWorkerHandler(SubprocessSdkWorkerHandler):
    """Beam's handler of a worker process, with an eye on the process."""

    def start_worker(self) -> None:
        self._watch = _watch
        self._is_closing = False
        self.worker = local_job_service.SubprocessSdkWorker(
            self._worker_command_line, self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run, daemon=True)
        self._watch.add(self)
        self.worker_thread.start()

    def _run(self) -> None:
        # The error has the process's exit status as text; the process has it as a number.
        with suppress(RuntimeError):
            self.worker.run()
        process = interrupts.worker_process(self.worker_id)
        if process is not None and not (self._is_closing or interrupts.is_stopped()):
            self._watch.lose(process)

    def fail(self) -> None:
        """Kills the process, and fails every call that Beam waits for."""
        process = interrupts.worker_process(self.worker_id)
        if process is not None:
            process.kill()
        for future in list(self.control_conn._futures_by_id.values()):
            future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=_MESSAGE))

    def close(self) -> None:
        self._is_closing = True
        if self._watch.lost:
            self.fail()
        super().close()
        self._watch.remove(self)


@contextmanager
def watching() -> Iterator[Watch]:
    """Has Beam use `WatchedWorkerHandler` for a job that runs in the block."""
    global _watch
    _watch = Watch()
    interrupts.note_workers(_start)
    WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(WatchedWorkerHandler)
    before = threading.excepthook
    threading.excepthook = _on_thread_error
    try:
        with _using_template() if IS_SAFE else nullcontext():
            yield _watch
    finally:
        threading.excepthook = before


def _on_thread_error(error: threading.ExceptHookArgs) -> None:
    # A thread of Beam's that reads a worker's answers; that the stream broke is told by the process's end.
    if not isinstance(error.exc_value, grpc.RpcError):
        threading.__excepthook__(error)
