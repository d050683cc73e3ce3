"""Processes killed in the middle of each step, and steps run twice at the same time: the bytes are the same.

Every harm is done while a gate (tests.clusters.gates) holds the step, so it never comes too late.
"""

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import byline.pipelines.jobs.assemble as assemble_step
import byline.pipelines.jobs.plan as plan_step
import byline.pipelines.jobs.prepare as prepare_step
import byline.pipelines.wiring.assemble as assemble_wiring
import byline.pipelines.wiring.lines as lines_wiring
import byline.pipelines.wiring.prepare as prepare_wiring
from byline.errors import BylineError
from byline.pipelines.jobs.build import build
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.plan import FILE_NAME, read_plan
from byline.transforms.files.storage import TEMPORARY_PREFIX
from byline.transforms.store.state import read_state
from tests.clusters.conftest import FOLDER, Engine, cluster, load_cluster
from tests.clusters.gates import Fall, Gate, Gated, Hold, Meet
from tests.support.builds import digests, quiet
from tests.support.corpora import SPECIAL, make_records, write_jsonl, write_tokenizer
from tests.support.processes import is_running, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("scans_are_jobs")]

# So many that each of two workers has more than two.
FILES = 24
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.quantile": "0.5",
    "spark.speculation.multiplier": "1",
    "spark.speculation.minTaskRuntime": "100ms",
    "spark.speculation.efficiency.enabled": "false",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    files = [make_records(number, 25) for number in range(FILES)]
    for number, records in enumerate(files):
        write_jsonl(root / f"mine/part-{number:02d}.jsonl", records)
    write_tokenizer(root / "tokenizer.json", [record.text for records in files for record in records if record.text])
    return root


def config_of(corpus: Path, store: Path, output: Path) -> Config:
    """Many small files and shards, and two scans to plan them."""
    fields = {"text": "body", "url": "metadata.url"}
    source = {"format": "jsonl", "path": f"{corpus}/mine/*.jsonl", "fields": fields, "max_rejected": 1}
    values = {
        "sources": {"mine": source},
        "tokenizer": {"file": str(corpus / "tokenizer.json"), "bos": SPECIAL, "eos": SPECIAL},
        "sequence": {"length": 64},
        "shard": {"sequences": 16},
        "tokens": 20_000,
        "mixture": {"mine": 1},
        "phases": [{"name": "main", "share": 1.0}],
        "store": str(store),
        "output": str(output),
    }
    return parse_config(values, "test")


@dataclass(frozen=True)
class Local:
    """The build on this machine that every other is held against."""

    corpus: Path
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def output(self) -> Path:
        return self.folder / "shards"


@pytest.fixture(scope="module")
def local(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Local:
    made = Local(corpus, tmp_path_factory.mktemp("local"))
    build(config_of(corpus, made.store, made.output), RunnerSettings(workers=1), quiet())
    return made


def prepare(local: Local, settings: RunnerSettings, folder: Path) -> None:
    """Prepares anew; the runs are those of the local build."""
    prepare_step.prepare(config_of(local.corpus, folder / "store", folder / "shards"), settings, quiet())
    assert whole(folder / "store") == whole(local.store)


def plan(local: Local, settings: RunnerSettings, folder: Path) -> None:
    """Plans anew from the local build's token store; the plan is its own."""
    config = config_of(local.corpus, local.store, folder / "shards")
    made, _ = plan_step.plan(config, settings, quiet())
    assert made.to_bytes() == (local.output / FILE_NAME).read_bytes()


def assemble(local: Local, settings: RunnerSettings, folder: Path) -> None:
    """Assembles anew with the local build's plan and token store; the shards are its own."""
    config = config_of(local.corpus, local.store, folder / "shards")
    state = read_state(config)
    made = read_plan((local.output / FILE_NAME).read_bytes(), FILE_NAME)
    assemble_step.assemble(config, made, state.runs, settings, quiet())
    assert whole(folder / "shards") == whole(local.output)
    assert (folder / "shards/_manifest.json").exists()


STEPS: dict[str, Callable[[Local, RunnerSettings, Path], None]] = {
    "prepare": prepare,
    "plan": plan,
    "assemble": assemble,
}
LISTS = {
    "prepare": (prepare_wiring, "ListInputs"),
    "plan": (lines_wiring, "ListLines"),
    "assemble": (assemble_wiring, "ReadPlan"),
}

# Where a step writes, and what says that a run or a shard is whole.
WRITTEN = {"prepare": ("store", "store/mine/*/*.arrow"), "assemble": ("shards", "shards/.byline/*-*.json")}


def close(step: str, monkeypatch: pytest.MonkeyPatch, *gates: Gate) -> None:
    """Puts a gate behind the list of a step's elements, for each job of the step the next one; the last stays."""
    module, name = LISTS[step]
    real, left = getattr(module, name), itertools.chain(gates, itertools.repeat(gates[-1]))
    monkeypatch.setattr(module, name, lambda uri: Gated(real(uri), next(left)))


def whole(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every Arrow file that has its name."""
    return {name: sha256 for name, sha256 in digests(folder).items() if TEMPORARY_PREFIX not in name}


def times(folder: Path) -> dict[str, int]:
    """Path -> time of the last change of every run and shard."""
    files = [folder / part / name for part in ("store", "shards/main") for name in whole(folder / part)]
    return {str(path): path.stat().st_mtime_ns for path in files}


def kill_in_the_middle(engine: Engine, gate: Hold, victim: str) -> None:
    """Waits until both workers wait at the gate, kills one of them or what it works for, and opens the gate."""
    wait_until(lambda: len(gate.waiting()) == 2, "two workers at the gate")
    waiting = gate.waiting()
    assert all(map(is_running, waiting))
    os.kill(waiting[0] if victim == "Python worker" else engine.task_runners()[0], signal.SIGKILL)
    # A Python worker that has lost its engine ends, too, in the middle of what it does.
    wait_until(lambda: not all(map(is_running, waiting)), "a Python worker gone")
    if engine.name == "flink" and victim == "JVM":
        # As the manager of a cluster does; Spark's worker starts a new executor by itself.
        assert cluster("mend", "flink") == 0
    gate.open()


@pytest.mark.parametrize(
    ("step", "victims"),
    [
        ("prepare", ["Python worker"]),
        ("prepare", ["JVM"]),
        # Of its two scans, each has its own.
        ("plan", ["Python worker", "JVM"]),
        ("assemble", ["Python worker"]),
        ("assemble", ["JVM"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " and ".join(value),
)
def test_a_step_goes_on_when_a_process_is_killed(
    engine: Engine, local: Local, step: str, victims: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [Hold(tmp_path / f"gate-{victim}") for victim in victims]
    close(step, monkeypatch, *gates)
    with ThreadPoolExecutor() as pool:
        harms = [pool.submit(kill_in_the_middle, engine, *pair) for pair in zip(gates, victims, strict=True)]
        STEPS[step](local, engine.settings(), tmp_path)
        for harm in harms:
            harm.result()
    waited = [pid for gate in gates for pid in gate.waiting()]
    wait_until(lambda: not any(map(is_running, waited)), "every Python worker gone")


@pytest.mark.parametrize("step", WRITTEN)
def test_a_worker_that_is_killed_each_time_is_one_line_and_the_next_call_goes_on(
    engine: Engine, local: Local, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, done = WRITTEN[step]
    gate = Fall(tmp_path / "gate", done, str(tmp_path / written / "killed.arrow"))
    close(step, monkeypatch, gate)
    with pytest.raises(BylineError) as caught:
        STEPS[step](local, engine.settings(), tmp_path)
    assert str(caught.value) == (
        f"{engine.name}: the job failed: a Python worker ended in the middle of its work, each time that it was tried "
        "(killed? out of memory?); the logs of the job server and the workers say more; what is written is kept, and "
        "the same command continues from there"
    )
    # Killed in the middle of a file: half of it is there, and is nothing to anyone.
    assert len(list((tmp_path / written).glob(f"{TEMPORARY_PREFIX}*-killed.arrow"))) > 1
    before = times(tmp_path)
    assert len(before) == 1
    gate.mend()
    STEPS[step](local, engine.settings(), tmp_path)
    assert before.items() <= times(tmp_path).items()


@dataclass(frozen=True)
class Speculating:
    """A job server whose jobs have slow tasks run twice."""

    settings: RunnerSettings
    log: Path


@pytest.fixture
def speculating(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Speculating]:
    docker = load_cluster()
    made = docker.Cluster(engine.name, FOLDER)
    made.load()
    services = len(made.state.services)
    monkeypatch.setenv("JOB_SERVER_OPTS", " ".join(f"-D{name}={value}" for name, value in SPECULATION.items()))
    port, artifacts = docker._free_ports(2)
    master = f"spark://{engine.services('spark-master')[0]['address']}"
    name = "speculating-job-server"
    made.start(name, "spark-job-server", docker.HOST, str(port), str(artifacts), master)
    try:
        made.wait(name, lambda: docker._answers(port))
        yield Speculating(engine.settings(f"--job_endpoint={docker.HOST}:{port}"), made.log(name))
    finally:
        docker._kill_group(made.state.services[-1])
        del made.state.services[services:]
        made.save()


@pytest.mark.parametrize("engine", ["spark"], indirect=True)
def test_a_task_run_twice_side_by_side_gives_the_same_bytes(
    speculating: Speculating, local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {step: Meet(tmp_path / f"gate-{step}") for step in STEPS}
    for step, gate in gates.items():
        close(step, monkeypatch, gate)
    config = config_of(local.corpus, tmp_path / "store", tmp_path / "shards")
    build(config, speculating.settings, quiet())
    assert whole(tmp_path / "store") == whole(local.store)
    assert whole(tmp_path / "shards") == whole(local.output)
    # The same file, run and shard each came to two processes, which went on with it at the same time.
    assert [len(gate.processes()) >= 2 for gate in gates.values()] == [True] * 3
    log = speculating.log.read_text()
    assert log.count("as speculatable because it ran more than") >= 3
    assert len(re.findall(r"Starting task \d+\.1 in stage", log)) >= 3
