"""One recipe of all layouts gives the same bytes everywhere.

```
             a disk                    s3://
local        memory, two processes     memory, two processes
Spark        two workers               two workers                each before and after its token store is compacted
Flink        two workers               two workers
```

The last build is exported, too, to the same Parquet files.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.compact import compact
from byline.pipelines.jobs.export import export
from byline.pipelines.runners.runner import answers
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from tests.clusters.conftest import Engine
from tests.support.builds import ARROW_SUFFIXES, digests, quiet, verify
from tests.support.corpora import SOURCES, Corpus, recipe, write_corpus
from tests.support.object_server import BUCKET, ObjectServer, object_server

pytestmark = pytest.mark.cluster
START_SECONDS = 120
# More than the whole store: all runs of a source become one.
COMPACTED = 64 << 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@dataclass(frozen=True)
class Storage:
    """Where raw corpora, token store and outputs are.

    Attributes:
        kind: `disk` or `s3`.
        folder: of this test, on the disk.
        server: of s3://.
        options: for a cluster's Python workers.
    """

    kind: str
    folder: Path
    server: ObjectServer | None = None
    options: tuple[str, ...] = ()

    def values(self, corpus: Corpus) -> dict[str, Any]:
        """The recipe here."""
        values = recipe(corpus, self.folder)
        if self.server is None:
            return values
        moved = json.loads(json.dumps(values).replace(str(corpus.root), f"s3://{BUCKET}/raw"))
        on_disk = {key: values[key] for key in ("classifiers", "tokenizer")}
        name = self.folder.name
        return {**moved, **on_disk, "store": f"s3://{BUCKET}/{name}/store", "output": f"s3://{BUCKET}/{name}/shards"}

    def digests(self, output: str, suffixes: tuple[str, ...] = ARROW_SUFFIXES) -> dict[str, str]:
        """As `tests.support.builds.digests`."""
        if self.server is None:
            return digests(Path(output), suffixes)
        prefix = output.removeprefix(f"s3://{BUCKET}/") + "/"
        keys = [key for key in self.server.list_keys(prefix) if key.endswith(suffixes)]
        return {key.removeprefix(prefix): hashlib.sha256(self.server.content(key)).hexdigest() for key in keys}

    def runs(self, store: str) -> dict[str, str]:
        """sha256 of every run of a token store, by its path."""
        return {name: found for name, found in self.digests(store).items() if name.split("/")[0] in SOURCES}


@dataclass(frozen=True)
class Expected:
    """sha256 by path of every shard, the plan, the list of inputs, every run, and every Parquet file of an export.

    All are made in this process on a disk.
    """

    output: dict[str, str]
    runs: dict[str, str]
    exported: dict[str, str]


@pytest.fixture(scope="module")
def expected(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    storage = Storage("disk", tmp_path_factory.mktemp("expected"))
    values = storage.values(corpus)
    build(parse_config(values, "test"), RunnerSettings(workers=1), quiet())
    assert verify(Path(values["output"]))[0] == 0
    exported = f"{values['output']}-exported"
    export(values["output"], "parquet", exported, RunnerSettings(workers=1), quiet())
    found = Expected(
        storage.digests(values["output"]), storage.runs(values["store"]), storage.digests(exported, (".parquet",))
    )
    assert len(found.exported) > 3
    assert sum(name.count("/") for name in found.output) > 3
    assert len(found.runs) > len(SOURCES)
    return found


@pytest.fixture(scope="module")
def server(corpus: Corpus) -> Iterator[ObjectServer]:
    with object_server() as made:
        for source in SOURCES:
            for file in corpus.files(source):
                made.put(f"raw/{file.relative_to(corpus.root).as_posix()}", file.read_bytes())
        yield made


@pytest.fixture(scope="module")
def pool(server: ObjectServer) -> Iterator[str]:
    """Python workers that know the object server, which those of the cluster were started without."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "byline.pipelines.runners.worker_pool", "--port", address.rpartition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)) as made:
        end = time.monotonic() + START_SECONDS
        while not answers(address):
            assert made.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield address
        made.terminate()


@pytest.fixture(params=("disk", "s3"))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "disk":
        return Storage("disk", tmp_path)
    pool = f"--environment_config={request.getfixturevalue('pool')}"
    return Storage("s3", tmp_path, request.getfixturevalue("server"), (pool,))


def check(values: dict[str, Any], settings: RunnerSettings, storage: Storage, expected: Expected) -> None:
    """Builds, compacts the token store, builds again elsewhere from what is in it now, verifies and exports that."""
    build(parse_config(values, "test"), settings, quiet())
    assert storage.digests(values["output"]) == expected.output
    assert storage.runs(values["store"]) == expected.runs
    compact(parse_config(values, "test"), COMPACTED, settings, quiet())
    after = storage.runs(values["store"])
    assert len(after) == len(SOURCES)
    assert not set(after) & set(expected.runs)
    again = {**values, "output": f"{values['output']}-2"}
    build(parse_config(again, "test"), settings, quiet())
    status, text = verify(again["output"], settings=settings)
    assert (status, text.count("ok ")) == (0, 7), text
    # Nothing of the check is left, either.
    assert storage.digests(again["output"]) == expected.output
    assert storage.runs(values["store"]) == after
    exported = f"{values['output']}-exported"
    export(again["output"], "parquet", exported, settings, quiet())
    assert storage.digests(exported, (".parquet",)) == expected.exported


@pytest.mark.parametrize("workers", [1, 2])
def test_on_this_machine(workers: int, storage: Storage, corpus: Corpus, expected: Expected) -> None:
    check(storage.values(corpus), RunnerSettings(workers=workers), storage, expected)


@pytest.mark.usefixtures("scans_are_jobs")
def test_on_a_cluster(engine: Engine, storage: Storage, corpus: Corpus, expected: Expected) -> None:
    check(storage.values(corpus), engine.settings(*storage.options), storage, expected)
