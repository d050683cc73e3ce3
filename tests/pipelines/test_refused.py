"""A disk that is full or may not be written to: one line, exit status 1, and with room the same command goes on."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.pipelines.jobs import plan as planning
from byline.pipelines.runners import settings as runner_settings
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from byline.transforms.corpora.made import sample_corpus
from byline.transforms.corpora.made.sample_corpus import Page
from tests.support.builds import ALONE, build, digests, quiet, verify
from tests.support.corpora import Corpus, recipe, write_recipe
from tests.support.object_server import object_server, quick_retries
from tests.support.refused import Ended, limited, read_only, run_refused

AGAIN = "and run the same command again: what is finished is kept"
TOO_LARGE = f"(File too large); raise the limit on the size of files (ulimit -f) {AGAIN}"
NOT_ALLOWED = "(Permission denied); choose another location, or let this user write there"
# One run of the tests' recipe is smaller, all others and the shards are larger.
LIMIT = 25_000
SHARD = {"sequences": 1000}


def refused(ended: Ended, file: str, why: str) -> None:
    """Asserts exit status 1 and one line on standard error, for a file given by a pattern."""
    assert ended.status == 1, ended.out + ended.err
    assert re.fullmatch(rf"error {file}: cannot be written {re.escape(why)}\n", ended.err), ended.err


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """What is below a folder, and when each was changed; a folder is when a file in it is made or deleted."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def test_a_build_without_room_goes_on_when_there_is(
    corpus: Corpus, make_build: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_build(shard=SHARD)
    # One that finds no room for its store, with worker processes, and one with a store that finds none for its output.
    first = recipe(corpus, tmp_path / "first", shard=SHARD)
    second = recipe(corpus, tmp_path / "second", shard=SHARD, store=str(whole.parent / "store"))
    recipes = [write_recipe(tmp_path / f"{number}.yaml", values) for number, values in enumerate((first, second))]
    ended = run_refused(
        [["build", recipes[0], "--workers", "2"], ["build", recipes[1], "--workers", "1"]], largest=LIMIT
    )
    refused(ended[0], rf"{first['store']}/\w+/\w+/[\w-]+\.arrow", TOO_LARGE)
    refused(ended[1], rf"{second['output']}/conditioned/00000-of-00001\.arrow", TOO_LARGE)
    # In the other one, a worker may have been killed in the middle of its own file.
    assert list((tmp_path / "second").rglob(".tmp-*")) == []
    assert not (tmp_path / "second/shards/_manifest.json").exists()
    for values in (first, second):
        assert digests(build(values)) == digests(whole)


def in_a_file(folder: Path) -> Iterator[Path]:
    (folder / "file").write_text("x")
    yield folder / "file/shards"


def in_a_bucket_that_is_not_there(folder: Path) -> Iterator[str]:
    with quick_retries(), object_server():
        yield "s3://no-such-bucket/shards"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        (in_a_file, "(Not a directory); there is a file where a folder is expected: choose another location"),
        (in_a_bucket_that_is_not_there, "check the bucket's name"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_anything_is_prepared(
    corpus: Corpus, tmp_path: Path, location: Callable[[Path], Iterator[Any]], why: str
) -> None:
    with contextmanager(location)(tmp_path) as output:
        values = recipe(corpus, tmp_path, output=str(output))
        with pytest.raises(BylineError, match=rf"^{output}.*: cannot be written .*{re.escape(why)}"):
            build(values)
    assert not Path(values["store"]).exists()


def test_a_finished_store_may_be_read_only(corpus: Corpus, built: Path, tmp_path: Path) -> None:
    values = recipe(corpus, tmp_path, store=str(built.parent / "store"))
    path, out, store = write_recipe(tmp_path / "r.yaml", values), values["output"], Path(values["store"])
    before = digests(store)
    commands = [
        ["prepare", path],
        ["plan", path],
        ["build", path, "--workers", "1"],
        ["verify", out],
        ["inspect", out],
        # What must write to it says so.
        ["build", path, "--set", "sources.mine.keep=[]"],
        ["compact", path],
        # So does what has no right to write to its output.
        ["build", path, "--set", f"output={store}/mine/out"],
    ]
    with read_only(store):
        *fine, again, compacted, elsewhere = run_refused(commands, is_user=True)
    assert [(ended.status, ended.err) for ended in fine] == [(0, "")] * 5
    assert "raw corpus" in fine[3].out
    assert "verified" in fine[3].out
    refused(again, rf"{store}/mine/\w+", NOT_ALLOWED)
    refused(compacted, rf"{store}/\w+/\w+", NOT_ALLOWED)
    refused(elsewhere, f"{store}/mine/out", NOT_ALLOWED)
    assert digests(store) == before
    assert digests(Path(out)) == digests(built)


def test_a_large_plan_writes_nothing_to_the_store_on_one_machine(
    corpus: Corpus, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe(corpus, tmp_path, store=str(built.parent / "store"))
    config, store = parse_config(values, "test"), Path(values["store"])
    before = contents(store)
    small, _ = planning.plan(config, ALONE, quiet())
    monkeypatch.setattr(runner_settings, "SMALL_SCAN_BYTES", 0)
    large, _ = planning.plan(config, ALONE, quiet())
    assert large.to_bytes() == small.to_bytes()
    assert contents(store) == before


def test_workers_of_a_cluster_get_their_lists_from_the_store(tmp_path: Path) -> None:
    def lists() -> list[str]:
        with planning._work_files(str(tmp_path), RunnerSettings(runner="flink")) as uris:
            for uri in uris:
                Path(uri).write_text("")
            return uris

    names = [Path(uri).relative_to(tmp_path).name for uri in lists()]
    assert all(re.fullmatch(r"\.tmp-[0-9a-f]{16}-(runs\.txt|counter\.json|counts\.arrow)", name) for name in names)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_verify_without_room_for_what_it_finds(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with limited(1000), pytest.raises(BylineError) as error:
        verify(built, settings=RunnerSettings(workers=workers))
    advice = f"make room there or set TMPDIR to another folder, {AGAIN}"
    line = rf"{tmp_path}/byline-verify-\w{{8}}/\w+\.\w+: cannot be written \(File too large\); {re.escape(advice)}"
    assert re.fullmatch(line, str(error.value)), str(error.value)
    assert list(tmp_path.iterdir()) == []


def pages(count: int) -> list[Page]:
    return [Page(None, f"a river is wide and number {number % 7}", good=number % 2 == 0) for number in range(count)]


@pytest.mark.parametrize("call", [sample_corpus.train_classifier, lambda some: sample_corpus.score_pages(MODEL, some)])
def test_a_sample_without_room_for_its_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[list[Page]], Any]
) -> None:
    """The library itself does not say that it wrote half a model."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with limited(1 << 20), pytest.raises(BylineError) as error:
        call(pages(40))
    assert str(error.value) == (
        f"the classifier of the sample: cannot be kept in {tmp_path} (File too large); "
        f"make room there or set TMPDIR to another folder, {AGAIN}"
    )
    assert list(tmp_path.iterdir()) == []


MODEL = bytes(3 << 20)
