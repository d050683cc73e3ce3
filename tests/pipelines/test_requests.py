"""What a build asks of an object store beside its data: each run's description once, each shard's record once.

A build of 250,000 runs waits for these requests, so each more per run is minutes; listings take 1,000 files at a time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.pipelines.jobs.assemble import assemble
from byline.pipelines.jobs.plan import make_recipe_plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.plan import Plan
from tests.support import small
from tests.support.builds import verify
from tests.support.object_server import BUCKET, Environ, ObjectServer, object_server

ALONE = RunnerSettings(workers=1)
KINDS = {"run": r"store/.*-\d{5}\.arrow", "record": r"out/\.byline/.*\.json", "shard": r"out/.*-of-\d{5}\.arrow"}


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectServer]:
    with object_server() as running:
        yield running


@pytest.fixture
def server(shared: ObjectServer) -> ObjectServer:
    shared.empty()
    return shared


def requests(server: ObjectServer, job: Callable[[], object]) -> Counter[str]:
    """How many there were while `job` ran, as `GET run`; listings as `list`."""
    found: Counter[str] = Counter()

    def note(number: int, environ: Environ) -> None:
        key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        if "list-type" in environ.get("QUERY_STRING", ""):
            found["list"] += 1
        for kind, pattern in KINDS.items():
            if re.fullmatch(pattern, key):
                found[f"{environ['REQUEST_METHOD']} {kind}"] += 1

    with server.faults(note):
        job()
    return found


def config_of(server: ObjectServer, folder: Path, files: int, **changes: object) -> Config:
    """So many files of three documents of 28 tokens with the end token, on the server."""
    small.tokenizer_file(folder)
    for number in range(files):
        server.put_at_once(f"raw/{number:03d}.jsonl", b'{"text": "the quick brown fox"}\n' * 3)
    values = {
        "sources": {"a": {"format": "jsonl", "path": f"s3://{BUCKET}/raw/*.jsonl"}},
        "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD},
        "sequence": {"length": 8},
        "shard": {"sequences": 2},
        "phases": [{"name": "only", "share": 1}],
        "store": f"s3://{BUCKET}/store",
        "output": f"s3://{BUCKET}/out",
    }
    return parse_config({**values, **changes}, "test")


def runs_on(server: ObjectServer) -> list[str]:
    return [key for key in server.list_keys("store/") if key.endswith(".arrow")]


@pytest.mark.parametrize("files", [5, 20])
def test_preparing_reads_each_description_once(server: ObjectServer, tmp_path: Path, files: int) -> None:
    config = config_of(server, tmp_path, files)

    def job() -> None:
        prepare(config, ALONE, small.quiet())

    read = {"HEAD run": files, "GET run": files}
    first = requests(server, job)
    # A look for each file whether another try of the task has it (HEAD, then a listing), then what was written.
    assert first == {"HEAD run": 2 * files, "GET run": files, "PUT run": files, "list": first["list"]}
    # For lists that a killed driver left in the store, its lock, what is kept of tokenizers, faults and versions.
    assert first["list"] <= 14 + files
    assert requests(server, job) == {**read, "list": 4}

    gone = runs_on(server)[::2]
    for key in gone:
        server.client.delete_object(Bucket=BUCKET, Key=key)
    again = requests(server, job)
    assert again == {**read, "HEAD run": files + len(gone), "PUT run": len(gone), "list": again["list"]}
    assert again["list"] <= 14 + len(gone)


def test_runs_of_changed_files_are_deleted_and_the_others_not_read_again(server: ObjectServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path, 6)
    prepare(config, ALONE, small.quiet())
    for number in range(2):
        server.put_at_once(f"raw/{number:03d}.jsonl", b'{"text": "another"}\n')
    found = requests(server, lambda: prepare(config, ALONE, small.quiet()))
    assert (found["GET run"], found["DELETE run"], found["PUT run"]) == (6 + 2, 2, 2)
    # Those that are read, those that are looked for before they are made, and one by the client before it deletes.
    assert found["HEAD run"] == 6 + 2 + 2 + 2
    assert len(runs_on(server)) == 6


def test_assembling_asks_twice_for_a_record_and_deletes_without_looking(server: ObjectServer, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    config = config_of(server, tmp_path, 8, store=store)
    state = prepare(config, ALONE, small.quiet())
    plan = make_recipe_plan(config, state, [], ALONE)
    shards = len(plan.shards())
    assert shards > 4

    def build(settings: Config, wanted: Plan) -> None:
        assemble(settings, wanted, state.runs, ALONE, small.quiet(), overwrite=True)

    found = requests(server, lambda: build(config, plan))
    # Whether there is one before it is made, and its size when the manifest is.
    assert (found["HEAD record"], found["GET record"], found["PUT record"]) == (2 * shards, shards, shards)
    # Its hash is made on the way.
    assert (found["PUT shard"], found["GET shard"]) == (shards, 0)
    other = config_of(server, tmp_path, 8, store=store, seed=5)
    replaced = requests(server, lambda: build(other, make_recipe_plan(other, state, [], ALONE)))
    assert replaced["DELETE shard"] == shards
    assert replaced["HEAD shard"] == found["HEAD shard"] + shards
    assert replaced["DELETE record"] == 0
    assert len(server.list_keys("out/only/0")) == shards


def test_verifying_fetches_each_shard_once(server: ObjectServer, tmp_path: Path) -> None:
    config = config_of(server, tmp_path, 8, store=str(tmp_path / "store"), shard={"sequences": 4000})
    small.build_quietly(config)
    keys = {key for key in server.list_keys("out/only/") if key.endswith(".arrow")}
    fetched: Counter[str] = Counter()

    def note(number: int, environ: Environ) -> None:
        key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
        if environ["REQUEST_METHOD"] == "GET" and key in keys:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", environ["HTTP_RANGE"]).groups()
            fetched[key] += int(last) - int(first) + 1

    before = server.list_keys("out/")
    with server.faults(note):
        assert verify(config.output)[0] == 0
    assert fetched == {key: len(server.content(key)) for key in keys}
    assert server.list_keys("out/") == before
