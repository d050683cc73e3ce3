"""`byline compact`: fewer runs and the same shards, whatever happens on the way and after it."""

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs import compact as command
from byline.pipelines.jobs.compact import compact, parse_size
from byline.pipelines.jobs.plan import plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from byline.transforms.store import compacting
from byline.transforms.store.state import StoreState, read_state
from tests.reference import compare_build
from tests.support.builds import build, digests, kill_when, manifest_of, quiet, verify
from tests.support.corpora import Corpus, make_records, recipe, write_c4, write_jsonl
from tests.support.object_server import BUCKET, object_server

ROOT = Path(__file__).parents[3]
ALONE = RunnerSettings(workers=1)
ALL = 1 << 30


# Files of each source: `mine` and `c4` get three more than the shared corpus has.
FILES = {"c4": 6, "dclm": 2, "mine": 6, "refinedweb": 2}


@pytest.fixture(scope="module")
def base(corpus: Corpus, make_build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a store and a finished build of it."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(corpus.root, folder / "data")
    for number in range(3, 6):
        write_jsonl(folder / f"data/mine/part-{number}.jsonl", make_records(number, 30))
        write_c4(folder / f"data/c4/c4-train.0000{number}-of-00008.json.gz", make_records(40 + number, 20))
    shutil.copytree(make_build().parent / "store", folder / "store")
    build(recipe(Corpus(folder / "data"), folder))
    return folder


@pytest.fixture(scope="module")
def expected(base: Path) -> dict[str, str]:
    """sha256 of the files of that build."""
    return digests(base / "shards")


@pytest.fixture(scope="module")
def compacted(base: Path) -> dict[str, str]:
    """What `run` makes of the store, one run for each source."""
    values = {**recipe(Corpus(base / "data"), base), "store": str(base / "compact")}
    shutil.copytree(base / "store", values["store"])
    run(values)
    return stored(values)


@pytest.fixture
def done(base: Path, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a copy of the corpus and the store."""
    shutil.copytree(base / "data", tmp_path / "data")
    shutil.copytree(base / "store", tmp_path / "store")
    return recipe(Corpus(tmp_path / "data"), tmp_path)


def run(values: dict[str, Any], size: int = ALL, workers: int = 1) -> str:
    """Compacts, and returns what it says."""
    text = io.StringIO()
    compact(parse_config(values, "test"), size, RunnerSettings(workers=workers), Console(file=text, width=200))
    return text.getvalue()


def state_of(values: dict[str, Any]) -> StoreState:
    return read_state(parse_config(values, "test"))


def stored(values: dict[str, Any]) -> dict[str, str]:
    """Path -> sha256 of every run of the store."""
    return {
        name: found
        for name, found in digests(Path(values["store"])).items()
        # Not the models, nor what a killed worker has not finished.
        if name.split("/")[0] in FILES and "/.tmp-" not in name
    }


def counts(values: dict[str, Any]) -> Counter[str]:
    return Counter(file.source for file in state_of(values).files)


def build_elsewhere(values: dict[str, Any], name: str, **changes: Any) -> Path:
    return build({**values, **changes, "output": str(Path(values["output"]).parent / name)})


# ------------------------------------------------------------------------------------------------- the same shards


def test_shards_are_the_same_before_and_after(
    done: dict[str, Any], expected: dict[str, str], compacted: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert counts(done) == FILES
    largest = max(file.size for file in state_of(done).files if file.source == "mine")

    # First two by two, then all of a source, of which some are merged already.
    assert "compact   mine: 6 runs -> 3 of" in run(done, 2 * largest)
    assert counts(done)["mine"] == 3
    between = build_elsewhere(done, "between")
    assert digests(between) == expected
    said = run(done)
    assert counts(done) == dict.fromkeys(FILES, 1)
    assert stored(done) == compacted
    assert "compact   mine: 3 runs -> 1 of" in said

    out = build_elsewhere(done, "after")
    assert digests(out) == expected
    for folder in (out, between):
        status, text = verify(folder)
        assert status == 0, text
        assert "every value the same" in text
    compare_build.main(out)
    assert "rows are the reference's" in capsys.readouterr().out


def test_a_store_that_is_compact_is_left_as_it_is(done: dict[str, Any]) -> None:
    run(done)
    before = {path: path.stat().st_mtime_ns for path in Path(done["store"]).rglob("*")}
    said = run(done)
    assert [line.split(",")[0] for line in said.splitlines()] == [
        f"compact   {source}: nothing to do: 1 runs" for source in ("c4", "dclm", "mine", "refinedweb")
    ]
    assert {path: path.stat().st_mtime_ns for path in Path(done["store"]).rglob("*") if path.is_file()} == {
        path: stamp for path, stamp in before.items() if path.is_file()
    }


def test_merged_runs_are_the_same_from_one_worker_and_from_two(done: dict[str, Any], compacted: dict[str, str]) -> None:
    run(done, workers=2)
    assert stored(done) == compacted


def test_so_many_runs_that_they_are_merged_in_rounds(
    done: dict[str, Any], compacted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "MAX_OPEN", 2)
    run(done)
    assert stored(done) == compacted


def test_a_store_among_objects_gets_the_same_bytes(done: dict[str, Any], compacted: dict[str, str]) -> None:
    with object_server() as server:
        for path in (path for source in FILES for path in (Path(done["store"]) / source).rglob("*.*")):
            server.put_at_once(f"store/{path.relative_to(done['store'])}", path.read_bytes())
        run({**done, "store": f"s3://{BUCKET}/store"})
        keys = [key for key in server.list_keys("store/") if key.endswith(".arrow")]
        found = {key.removeprefix("store/"): hashlib.sha256(server.content(key)).hexdigest() for key in keys}
    assert found == compacted


# ---------------------------------------------------------------------------------------------------------- killed


def test_stopped_before_it_deletes(
    done: dict[str, Any], expected: dict[str, str], compacted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All merged runs are there, and all that they were made from."""
    runs = stored(done)
    with monkeypatch.context() as patch:
        patch.setattr(command, "_remove_merged", Stop(after=1))
        with pytest.raises(KeyboardInterrupt):
            run(done)
    assert runs.items() < stored(done).items()
    assert len(stored(done)) == len(runs) + 4
    assert digests(build_elsewhere(done, "between")) == expected
    run(done)
    assert stored(done) == compacted


def test_stopped_while_it_deletes(
    done: dict[str, Any], expected: dict[str, str], compacted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first that it deletes is the list of what to merge.
    with monkeypatch.context() as patch:
        patch.setattr(command.storage, "side_by_side", lambda call, items: [call(item) for item in items])
        patch.setattr(command.storage, "delete_file", Stop(command.storage.delete_file, after=4))
        with pytest.raises(KeyboardInterrupt):
            run(done)
    assert len(stored(done)) == sum(FILES.values()) - 3 + 4
    assert digests(build_elsewhere(done, "between")) == expected
    run(done)
    assert stored(done) == compacted


class Stop:
    """Calls a function so many times and then is interrupted."""

    def __init__(self, call: Any = lambda *_: None, after: int = 0) -> None:
        self.call, self.left = call, after

    def __call__(self, *values: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.call(*values)


def test_killed_while_it_merges_and_started_again(corpus: Corpus, tmp_path: Path) -> None:
    """The real command, killed when some groups are merged and others are not."""
    for number in range(40):
        write_jsonl(tmp_path / f"data/mine/part-{number:03d}.jsonl", make_records(1000 + number, 12))
    for path in (corpus.tokenizer, corpus.model):
        shutil.copy(path, tmp_path / "data")
    values = recipe(Corpus(tmp_path / "data"), tmp_path, mixture="natural", tokens=None)
    values["sources"] = {"mine": values["sources"]["mine"]}
    state = prepare(parse_config(values, "test"), ALONE, quiet())
    size = max(file.size for file in state.files) * 2
    once = {**values, "store": str(tmp_path / "once")}
    shutil.copytree(values["store"], once["store"])
    run(once, size)

    before = stored(values)
    merged = Path(values["store"])
    kill_when(lambda: len(list(merged.rglob("merged-*"))) >= 3, "compact", values, tmp_path, "--size", f"{size}B")
    there = stored(values)
    assert before.items() < there.items()
    assert {name: digest for name, digest in there.items() if name not in before}.items() < stored(once).items()
    run(values, size)
    assert stored(values) == stored(once)
    assert len(stored(once)) < 30


# ------------------------------------------------------------------------------------------------- another corpus


def test_after_a_file_has_changed_what_was_merged_with_it_is_prepared_again(
    done: dict[str, Any], tmp_path: Path
) -> None:
    run(done)
    with (tmp_path / "data/mine/part-1.jsonl").open("a") as file:
        file.write('{"body": "one more river", "metadata": {"url": "http://example.org/new"}}\n')
    before = stored(done)
    text = io.StringIO()
    state = prepare(parse_config(done, "test"), ALONE, Console(file=text, width=200))
    assert (
        "mine: part-1.jsonl has changed; 5 other chunks that were merged with it are prepared again" in text.getvalue()
    )
    assert Counter(file.source for file in state.files) == {"c4": 1, "dclm": 1, "mine": 6, "refinedweb": 1}
    # The merged run of it is deleted, and no other is touched.
    assert len(before.items() - stored(done).items()) == 1
    run(done)
    assert counts(done) == dict.fromkeys(FILES, 1)
    out = build_elsewhere(done, "changed")
    assert digests(out) == digests(build_elsewhere(done, "fresh", store=str(tmp_path / "fresh-store")))
    assert verify(out)[0] == 0


def test_after_a_file_has_gone_and_come_back(done: dict[str, Any], expected: dict[str, str], tmp_path: Path) -> None:
    run(done)
    merged = stored(done)
    file = tmp_path / "data/mine/part-3.jsonl"
    content = file.read_bytes()
    file.unlink()
    text = io.StringIO()
    prepare(parse_config(done, "test"), ALONE, Console(file=text, width=200))
    assert "mine: part-3.jsonl is no longer an input file; 5 other chunks" in text.getvalue()
    # Another configuration may use it still.
    assert merged.items() < stored(done).items()
    left = [run for run in state_of(done).runs if run.source == "mine"]
    assert len(left) == 5
    assert "part-3.jsonl" not in {run.path for run in left}
    read = manifest_of(build_elsewhere(done, "without"))["ledger"]["sources"]["mine"]["read"]["documents"]
    assert read == sum(run.rows_read for run in left)
    run(done)
    file.write_bytes(content)
    assert digests(build_elsewhere(done, "again")) == expected


@pytest.fixture
def without_corpus(done: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The store is compact, and the raw corpora are gone."""
    run(done)
    (tmp_path / "data").rename(tmp_path / "gone")
    (tmp_path / "data").mkdir()
    for path in (tmp_path / "gone").glob("*.*"):
        shutil.copy(path, tmp_path / "data")
    return done


def test_a_compact_store_is_enough_for_another_plan(without_corpus: dict[str, Any]) -> None:
    found, state = plan(parse_config({**without_corpus, "seed": 3}, "test"), ALONE, quiet())
    assert found.header.drawn.used["mine"].documents > 20
    assert (len(state.files), len(state.runs)) == (4, sum(FILES.values()))


# --------------------------------------------------------------------------------------------------------- refused


def test_a_store_that_is_not_prepared(done: dict[str, Any], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data/mine/part-9.jsonl", make_records(9, 5))
    before = stored(done)
    with pytest.raises(BylineError, match=r"1 of 17 input files .*first: mine/part-9\.jsonl\); run `byline prepare`"):
        run(done)
    assert stored(done) == before


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("16GiB", 16 << 30),
        ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000),
        ("7kib", 7168),
        ("12B", 12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "12", "GiB", "-1GiB", "1,5GB", "1e3MB", "1GiB or so"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(BylineError, match="expected a number and a unit, as in 64MiB, 500MB or 1GiB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0MB", "0.1B", "16.1GiB", "1 TiB"])
def test_sizes_that_no_run_may_have(text: str) -> None:
    with pytest.raises(BylineError, match="at most 16GiB"):
        parse_size(text)
