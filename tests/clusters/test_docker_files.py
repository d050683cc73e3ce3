"""docker/: what starts a cluster, without starting one.

The compose file is not run here, so each of its services is held against the script that it calls.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clusters.conftest import load_cluster

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCRIPT = (DOCKER / "service.sh").read_text()
# How many arguments a service takes, by the script's head: `service.sh spark-master HOST PORT UI_PORT`.
USAGE = {
    name: len(arguments.split())
    for name, arguments in re.findall(r"^#   service.sh ((?:spark|flink|sdk)-[a-z-]+) +(\S+(?: \S+)*)", SCRIPT, re.M)
}


cluster = load_cluster()


def test_the_scripts_head_lists_its_services() -> None:
    assert USAGE == {
        "spark-master": 3,
        "spark-worker": 2,
        "spark-job-server": 4,
        "flink-job-manager": 3,
        "flink-task-manager": 3,
        "flink-job-server": 4,
        "sdk-workers": 1,
    }
    assert sorted(re.findall(r"^  ([a-z-]+)\)$", SCRIPT, re.M)) == sorted(USAGE)


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("minio", "byline")])
def test_a_composed_service_is_one_of_the_script(name: str) -> None:
    service = SERVICES[name]
    command, *arguments = service["command"]
    assert len(arguments) == USAGE[command]
    own_kind, engine = command.split("-")[0], service["profiles"][0]
    assert own_kind in (engine, "sdk")
    # A pool shares the network of one worker; everything else is reached by its name.
    assert (service.get("network_mode", "").removeprefix("service:") in SERVICES) == (command == "sdk-workers")
    if command != "sdk-workers":
        assert service["build"] == {"context": ".", "args": {"ENGINE": engine}}
        named = [part for argument in arguments for part in re.findall(r"[a-z]+(?:-[a-z0-9]+)+", argument)]
        assert named
        assert set(named) <= set(SERVICES)


def test_an_unknown_service_of_the_script() -> None:
    done = subprocess.run([str(DOCKER / "service.sh"), "spark-boss"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "service.sh: no service 'spark-boss'; its first lines list them\n")


def test_the_scripts_are_whole() -> None:
    for script in ("service.sh", "fetch-jars.sh"):
        subprocess.run(["bash", "-n", str(DOCKER / script)], check=True)


def test_both_engines_have_the_same_beam() -> None:
    versions = {
        re.search(r"<beam.version>(.*)<", (DOCKER / engine / "pom.xml").read_text())[1] for engine in ("spark", "flink")
    }
    assert versions == {"2.62.0"}


def test_nothing_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.status(cluster.Cluster("spark", tmp_path)) == 1
    assert capsys.readouterr().out == "spark is down\n"


def start_sleeper(cluster_: Any) -> Any:
    """A service that is no engine's: it starts another process and waits."""
    process = subprocess.Popen(["bash", "-c", "sleep 60 & wait"], start_new_session=True)
    service = cluster.Service("sleeper", process.pid, cluster._born(process.pid))
    cluster_.state.services.append(service)
    cluster_.home.mkdir(parents=True, exist_ok=True)
    cluster_.save()
    return service


def group(leader: int) -> list[int]:
    """Processes of a group that are not dead already and waiting for their parent to ask."""
    found = []
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        fields = cluster._stat(pid)
        if fields is not None and int(fields[2]) == leader and fields[0] not in "ZX":
            found.append(pid)
    return found


def test_down_ends_what_was_started_and_all_that_it_started(tmp_path: Path) -> None:
    made = cluster.Cluster("spark", tmp_path)
    service = start_sleeper(made)
    assert cluster.status(made) == 0
    assert service.pid in group(service.pid)
    cluster.down(cluster.Cluster("spark", tmp_path))
    assert not cluster._is_alive(service)
    # A killed process takes a moment to be gone.
    end = time.monotonic() + 10
    while group(service.pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert group(service.pid) == []
    assert not made.state_file.exists()


def test_another_process_of_the_same_id_is_left_alone(tmp_path: Path) -> None:
    made = cluster.Cluster("flink", tmp_path)
    service = start_sleeper(made)
    service.born -= 1
    made.save()
    try:
        assert cluster.status(made) == 1
        cluster.down(cluster.Cluster("flink", tmp_path))
        assert cluster._born(service.pid) == service.born + 1
    finally:
        os.killpg(service.pid, signal.SIGKILL)


def test_a_service_that_is_gone_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster.Cluster("spark", tmp_path)
    kept = start_sleeper(made)
    # Not a service of the script, so it ends at once; with its arguments.
    made.start("gone", "spark-boss", "7077", address="h:1")
    end = time.monotonic() + 30
    while cluster._is_alive(made.state.services[1]) and time.monotonic() < end:
        time.sleep(0.01)
    gone = made.state.services[1]
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(cluster.Cluster, "start", lambda _, *values, address: started.append((*values, address)))
    try:
        cluster.mend(cluster.Cluster("spark", tmp_path))
        assert started == [("gone", "spark-boss", "7077", "h:1")]
        assert cluster._is_alive(kept)
        assert not cluster._is_alive(gone)
    finally:
        os.killpg(kept.pid, signal.SIGKILL)


def test_a_service_that_ends_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster.Cluster("spark", tmp_path)
    made.start("sdk-workers", "no-such-service")
    with pytest.raises(cluster.ClusterError, match=r"^sdk-workers ended:\nservice.sh: no service 'no-such-service'"):
        made.wait("sdk-workers", lambda: False)
