"""Starts and stops a Spark or Flink cluster on this machine, without containers: each service is a process.

```
$ python docker/cluster.py up spark
spark-master       pid 4231   127.0.0.1:40817
spark-worker-1     pid 4256
spark-worker-2     pid 4257
sdk-workers        pid 4259   127.0.0.1:37645
spark-job-server   pid 4301   127.0.0.1:41291
byline build CONFIG --runner spark --option job_endpoint=127.0.0.1:41291 --option environment_config=localhost:37645
$ python docker/cluster.py status spark       # 1 if a service is gone
$ python docker/cluster.py mend spark         # restarts services that are gone
$ python docker/cluster.py down spark
```

The services are those of `service.sh`, which compose.yaml runs in containers. A cluster keeps everything in one folder,
`out/clusters/ENGINE`: jars/ (fetched once, by Maven from ENGINE/pom.xml), logs/, run/ (removed by `down`) and
state.json. A process is identified by its id and start time, so that another one with the same id is never ended. Needs
Java 17, Maven, and Byline in the Python that runs this; imports only the standard library.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "out" / "clusters"
ENGINES = ("spark", "flink")
HOST = "127.0.0.1"
# The JVMs live for seconds, many on few cores: no optimizing compiler, no threads for garbage collection.
JVM_OPTS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Generous: a loaded machine takes five times as long as an idle one.
START_SECONDS = 180
STOP_SECONDS = 15
LOG_LINES = 15


class ClusterError(Exception):
    """One line that says what is wrong and what to do."""


@dataclass
class Service:
    """A started process.

    Attributes:
        name: for people, and for its log.
        pid: process id.
        born: when the process started, in clock ticks since boot.
        address: where it answers; empty for a service that nobody calls.
        arguments: of service.sh.
    """

    name: str
    pid: int
    born: int
    address: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass
class State:
    """What `up` started.

    Attributes:
        services: in the order of their start.
        options: Beam's options for a build on this cluster.
    """

    services: list[Service] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


class Cluster:
    """One engine's folder and processes."""

    def __init__(self, engine: str, folder: Path, workers: int = 2) -> None:
        self.engine = engine
        self.home = folder.resolve() / engine
        self.workers = workers
        self.state = State()

    @property
    def state_file(self) -> Path:
        return self.home / "state.json"

    def load(self) -> None:
        """Reads which services were started; none if there is no state file."""
        if self.state_file.exists():
            values = json.loads(self.state_file.read_text())
            self.state = State([Service(**service) for service in values["services"]], values["options"])

    def save(self) -> None:
        self.state_file.write_text(json.dumps(asdict(self.state), indent=1) + "\n")

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def fetch_jars(self) -> None:
        """Makes Maven fill jars/, unless it already did so for the same inputs."""
        inputs = [HERE / "fetch-jars.sh", HERE / self.engine / "pom.xml", *sorted((HERE / "java").rglob("*.java"))]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
        stamp = self.home / "jars.sha256"
        if stamp.exists() and stamp.read_text() == digest:
            return
        if shutil.which("mvn") is None:
            raise ClusterError("Maven is missing: apt-get install maven")
        print(f"fetching the jars of docker/{self.engine}/pom.xml", flush=True)
        command = [str(HERE / "fetch-jars.sh"), self.engine, str(self.home)]
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
            raise ClusterError(f"no jars, see above; to run the same by hand: {' '.join(command)}")
        stamp.write_text(digest)

    def start(self, name: str, *arguments: str, address: str = "") -> None:
        """Starts a service in its own process group, which everything that it starts joins."""
        work = self.home / "run" / name
        work.mkdir(parents=True, exist_ok=True)
        self.log(name).parent.mkdir(exist_ok=True)
        environment = {
            "JVM_OPTS": JVM_OPTS,
            **os.environ,
            f"{self.engine.upper()}_HOME": str(self.home),
            "WORK_DIR": str(work),
            "PYTHON": sys.executable,
            "SPARK_LOCAL_IP": HOST,
        }
        with open(self.log(name), "wb") as log:
            process = subprocess.Popen(
                [str(HERE / "service.sh"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # The folder that builds run in, too, so that a recipe's relative paths mean the same to the workers.
                cwd=HERE.parent,
                env=environment,
                start_new_session=True,
            )
        service = Service(name, process.pid, _born(process.pid) or 0, address, list(arguments))
        self.state.services.append(service)
        self.save()
        print(f"{name:<22} pid {process.pid:<8} {address}".rstrip(), flush=True)

    def wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Waits until a service answers.

        Raises:
            ClusterError: a service ended (with the last lines of its log), or the time ran out.
        """
        end = time.monotonic() + START_SECONDS
        while not is_ready():
            for service in self.state.services:
                if not _is_alive(service):
                    lines = self.log(service.name).read_text(errors="replace").splitlines()[-LOG_LINES:]
                    raise ClusterError(f"{service.name} ended:\n" + "\n".join(lines))
            if time.monotonic() > end:
                raise ClusterError(f"{name}: not ready after {START_SECONDS} s; see {self.log(name)}")
            time.sleep(0.2)


def up(cluster: Cluster) -> None:
    """Starts all services of an engine and prints the options for a build."""
    cluster.load()
    if cluster.state.services:
        if all(map(_is_alive, cluster.state.services)):
            print(f"{cluster.engine} is up already")
            return _show_command(cluster)
        down(cluster)
    if shutil.which("java") is None:
        raise ClusterError("Java is missing: apt-get install openjdk-17-jre-headless")
    cluster.home.mkdir(parents=True, exist_ok=True)
    cluster.fetch_jars()
    try:
        {"spark": _start_spark, "flink": _start_flink}[cluster.engine](cluster)
    except BaseException:
        down(cluster)
        raise
    return _show_command(cluster)


def _start_spark(cluster: Cluster) -> None:
    master, page, pool, job, artifacts = _free_ports(5)
    url = f"spark://{HOST}:{master}"
    cluster.start("spark-master", "spark-master", HOST, str(master), str(page), address=f"{HOST}:{master}")
    cluster.start("sdk-workers", "sdk-workers", str(pool), address=f"{HOST}:{pool}")
    _start_job_server(cluster, job, artifacts, url)
    cluster.wait("spark-master", lambda: _answers(page))
    for number in range(1, cluster.workers + 1):
        # A host of its own for each worker: Spark never runs a second copy of a task on the same host.
        cluster.start(f"spark-worker-{number}", "spark-worker", f"127.0.0.{number}", url)
    cluster.wait("spark-worker-1", lambda: _json(page, "/json/").get("aliveworkers") == cluster.workers)
    _finish(cluster, job, pool)


def _start_flink(cluster: Cluster) -> None:
    rpc, rest, pool, job, artifacts = _free_ports(5)
    cluster.start("flink-job-manager", "flink-job-manager", HOST, str(rpc), str(rest), address=f"{HOST}:{rest}")
    cluster.start("sdk-workers", "sdk-workers", str(pool), address=f"{HOST}:{pool}")
    _start_job_server(cluster, job, artifacts, f"{HOST}:{rest}")
    cluster.wait("flink-job-manager", lambda: _answers(rest))
    for number in range(1, cluster.workers + 1):
        cluster.start(f"flink-task-manager-{number}", "flink-task-manager", HOST, HOST, str(rpc))
    cluster.wait("flink-task-manager-1", lambda: _json(rest, "/overview").get("slots-available", 0) == cluster.workers)
    _finish(cluster, job, pool)
    cluster.state.options.append(f"--parallelism={cluster.workers}")
    cluster.save()


def _start_job_server(cluster: Cluster, port: int, artifacts: int, master: str) -> None:
    name = f"{cluster.engine}-job-server"
    cluster.start(name, name, HOST, str(port), str(artifacts), master, address=f"{HOST}:{port}")


def _finish(cluster: Cluster, job: int, pool: int) -> None:
    """Waits for the services that both engines have, and saves the options."""
    cluster.wait("sdk-workers", lambda: _answers(pool))
    cluster.wait(f"{cluster.engine}-job-server", lambda: _answers(job))
    cluster.state.options = [
        f"--job_endpoint={HOST}:{job}",
        f"--environment_config=localhost:{pool}",
    ]
    cluster.save()


def _show_command(cluster: Cluster) -> None:
    options = " ".join(f"--option {option.removeprefix('--')}" for option in cluster.state.options)
    print(f"byline build CONFIG --runner {cluster.engine} {options}")


def down(cluster: Cluster) -> None:
    """Ends what `up` started, last first; what has not ended after some seconds is killed with all that it started."""
    cluster.load()
    services = list(reversed(cluster.state.services))
    for service in services:
        if _is_alive(service):
            os.kill(service.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while any(map(_is_alive, services)) and time.monotonic() < end:
        time.sleep(0.1)
    for service in services:
        _kill_group(service)
        print(f"{service.name:<22} ended")
    shutil.rmtree(cluster.home / "run", ignore_errors=True)
    cluster.state_file.unlink(missing_ok=True)
    cluster.state = State()


def mend(cluster: Cluster) -> None:
    """Restarts each service that is gone, in the folder that it had, as a cluster's manager does."""
    cluster.load()
    for service in [service for service in cluster.state.services if not _is_alive(service)]:
        _kill_group(service)
        cluster.state.services.remove(service)
        cluster.start(service.name, *service.arguments, address=service.address)


def _kill_group(service: Service) -> None:
    """Kills what is left of a service and of the processes that it started."""
    # While a member lives, the group's id is not reused; afterwards, a stranger with this id was born later.
    born = _born(service.pid)
    if born is not None and born != service.born:
        return
    try:
        os.killpg(service.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def status(cluster: Cluster) -> int:
    """Prints each service; 0 if all of them run."""
    cluster.load()
    for service in cluster.state.services:
        state = "runs" if _is_alive(service) else f"gone, see {cluster.log(service.name)}"
        print(f"{service.name:<22} pid {service.pid:<8} {state}  {service.address}".rstrip())
    if not cluster.state.services:
        print(f"{cluster.engine} is down")
        return 1
    _show_command(cluster)
    return 0 if all(map(_is_alive, cluster.state.services)) else 1


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (proc(5)); None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _born(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def _is_alive(service: Service) -> bool:
    # A child of this process stays a zombie until it is waited for.
    with suppress(ChildProcessError):
        os.waitpid(service.pid, os.WNOHANG)
    fields = _stat(service.pid)
    return fields is not None and fields[0] != "Z" and int(fields[19]) == service.born


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are bound at the same time, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind((HOST, 0))
        return [bound.getsockname()[1] for bound in sockets]


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _json(port: int, path: str) -> dict[str, int]:
    """The JSON of a service's page; empty while the service is not ready."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as reply:
            return dict(json.load(reply))
    except (OSError, urllib.error.URLError, ValueError):
        return {}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="A Spark or Flink cluster on this machine.")
    parser.add_argument("command", choices=("up", "down", "status", "mend", "jars"))
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--workers", type=int, default=2, help="Spark workers or Flink task managers, a core each")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    arguments = parser.parse_args()
    cluster = Cluster(arguments.engine, arguments.folder, arguments.workers)
    try:
        if arguments.command == "status":
            return status(cluster)
        if arguments.command == "jars":
            cluster.home.mkdir(parents=True, exist_ok=True)
            cluster.fetch_jars()
        else:
            {"up": up, "down": down, "mend": mend}[arguments.command](cluster)
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
