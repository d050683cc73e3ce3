"""Builds that are killed and started again, and builds that are run again after something changed.

The killed ones are the real command in a process group of its own, ended by SIGKILL as soon as the files that are
waited for are there.
"""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs import assemble as assembling
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.jobs.plan import plan
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from byline.schemas.plan import PLAN_VERSION
from byline.schemas.store import RunInfo
from byline.transforms.files.locks import LOCK_NAME, Owner
from byline.transforms.store.store_index import read_runs
from tests.support.builds import ARROW_SUFFIXES, build, digests, kill_when, manifest_of, quiet, verify, write_manifest
from tests.support.corpora import Corpus, make_records, recipe, write_c4, write_jsonl

ROOT = Path(__file__).parents[2]
# So many that a poll every millisecond sees some of them done and others not.
FILES, RECORDS = 80, 12


@pytest.fixture(scope="module")
def many(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of many small files, with the shared tokenizer and model."""
    root = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        write_jsonl(root / f"mine/part-{number:03d}.jsonl", make_records(1000 + number, RECORDS))
    for path in (corpus.tokenizer, corpus.model):
        shutil.copy(path, root)
    return Corpus(root)


def many_files(corpus: Corpus, folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe over them with many small shards."""
    values = recipe(corpus, folder, mixture="natural", tokens=30_000, shard={"sequences": 8})
    return {**values, "sources": {"mine": values["sources"]["mine"]}, **changes}


@pytest.fixture(scope="module")
def uninterrupted(many: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(many_files(many, tmp_path_factory.mktemp("uninterrupted")))


def arrow_files(folder: Path) -> list[Path]:
    """Finished Arrow files below a folder."""
    return [path for path in folder.rglob("*.arrow") if not path.name.startswith(".")]


def test_killed_at_three_moments_and_started_again(many: Corpus, uninterrupted: Path, tmp_path: Path) -> None:
    values = many_files(many, tmp_path)
    store, out = tmp_path / "store/mine", tmp_path / "shards"

    kill_when(lambda: len(arrow_files(store)) >= 3, "build", values, tmp_path)
    first = {path: path.stat().st_mtime_ns for path in arrow_files(store)}
    assert 3 <= len(first) < FILES
    assert [path.name for path in out.iterdir()] == [LOCK_NAME]

    kill_when(lambda: len(arrow_files(store)) == FILES, "build", values, tmp_path)
    assert not (out / "_plan.ipc").exists()
    # What was whole is not made again, and every file is a run that can be read.
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len([run for folder in store.iterdir() for run in read_runs(str(folder))]) == FILES

    shards = uninterrupted_shards(uninterrupted)
    kill_when(lambda: len(arrow_files(out / "conditioned")) >= 2, "build", values, tmp_path)
    second = {path: path.stat().st_mtime_ns for path in arrow_files(out / "conditioned")}
    assert 2 <= len(second) + len(arrow_files(out / "cooldown")) < shards
    assert not (out / "_manifest.json").exists()
    with pytest.raises(BylineError, match=r"no _manifest\.json, so this is not a finished build"):
        verify(out)

    assert digests(build(values)) == digests(uninterrupted)
    kept = {path: path.stat().st_mtime_ns for path in second}
    # The last of them may have been without its record yet, and so been written again.
    assert sum(kept[path] != second[path] for path in second) <= 1
    assert verify(out)[0] == 0


def uninterrupted_shards(out: Path) -> int:
    return sum(len(phase["shards"]) for phase in manifest_of(out)["phases"])


def test_temporary_files_that_were_left_are_never_taken_for_whole_ones(
    many: Corpus, uninterrupted: Path, tmp_path: Path
) -> None:
    """Half of a run, a shard, a record, a plan and a manifest, as a killed worker leaves them, in a new build."""
    for path in sorted(uninterrupted.parent.rglob("*")):
        if path.suffix in (*ARROW_SUFFIXES, ".json"):
            half = tmp_path / path.relative_to(uninterrupted.parent)
            half.parent.mkdir(parents=True, exist_ok=True)
            half.with_name(f".tmp-4711-{path.name}").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    work = tmp_path / "shards/.byline"
    work.mkdir()
    (work / ".tmp-4711-conditioned-00000.json").write_text("{")
    (tmp_path / "store/.tmp-inputs.jsonl").write_text("{")
    out = build(many_files(many, tmp_path))
    shards = {name: digest for name, digest in digests(out).items() if "/.tmp-" not in name and name[0] != "."}
    assert shards == digests(uninterrupted)
    assert verify(out)[0] == 0


def test_half_a_shard_under_its_own_name_without_a_record_is_written_again(
    many: Corpus, uninterrupted: Path, tmp_path: Path
) -> None:
    """A machine that lost power may have a file's name, but not all of its bytes; the record is written after it."""
    shutil.copytree(uninterrupted.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "shards/_manifest.json").unlink()
    shard = tmp_path / "shards" / manifest_of(uninterrupted)["phases"][0]["shards"][1]["path"]
    shard.write_bytes(shard.read_bytes()[:100])
    assert digests(build(many_files(many, tmp_path))) == digests(uninterrupted)


# ----------------------------------------------------------------------------------------------------- once more


@pytest.fixture
def done(built: Path, corpus: Corpus, tmp_path: Path) -> dict[str, Any]:
    """A finished build with a corpus, a store and an output of its own; its configuration."""
    shutil.copytree(corpus.root, tmp_path / "data")
    values = recipe(Corpus(tmp_path / "data"), tmp_path)
    shutil.copytree(built.parent / "store", tmp_path / "store")
    shutil.copytree(built, tmp_path / "shards")
    return values


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def runs_of(values: dict[str, Any], source: str) -> dict[str, tuple[RunInfo, int]]:
    """Path of the input file -> its run and when that was written, in the newest folder of the source."""
    (folder,) = (Path(values["store"]) / source).iterdir()
    return {run.path: (run, Path(run.uri).stat().st_mtime_ns) for run in read_runs(str(folder))}


def test_a_finished_build_has_nothing_to_do(done: dict[str, Any]) -> None:
    before = times(Path(done["output"])), times(Path(done["store"]) / "dclm")
    build(done)
    assert (times(Path(done["output"])), times(Path(done["store"]) / "dclm")) == before
    assert list(Path(done["store"]).glob(".tmp-*")) == []


def test_locks_of_a_command_that_was_killed_when_all_was_written_are_removed(done: dict[str, Any]) -> None:
    out = Path(done["output"])
    folders = [out, *(folder for name in done["sources"] for folder in (Path(done["store"]) / name).iterdir())]
    for folder in folders:
        (folder / LOCK_NAME).write_bytes(Owner.this().to_bytes())
    build(done)
    assert [folder for folder in folders if (folder / LOCK_NAME).exists()] == []


def test_locks_in_sources_that_are_whole_are_removed_while_another_is_prepared(done: dict[str, Any]) -> None:
    """As a driver leaves them that is killed when it has written all of some sources."""
    folders = [folder for name in done["sources"] for folder in (Path(done["store"]) / name).iterdir()]
    for folder in folders:
        (folder / LOCK_NAME).write_bytes(Owner.this().to_bytes())
    next(folders[0].glob("*.arrow")).unlink()
    build(done)
    assert [folder for folder in folders if (folder / LOCK_NAME).exists()] == []


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def spoil(path: Path) -> None:
    """So that it has its size, and can be read no more."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"conditioned/00001-of-00005.arrow": remove}, ["conditioned/00001-of-00005.arrow"]),
        ({"conditioned/00000-of-00005.arrow": cut, "_inputs.ipc": remove}, ["conditioned/00000-of-00005.arrow"]),
        (
            {"cooldown/00000-of-00001.arrow": remove},
            ["cooldown/00000-of-00001.arrow"],
        ),
    ],
)
def test_what_a_finished_build_has_lost_is_written_again(
    done: dict[str, Any], changes: dict[str, Callable[[Path], None]], written: list[str]
) -> None:
    out = Path(done["output"])
    before = digests(out)
    shards = {name: (out / name).stat().st_mtime_ns for name in before if "/" in name}
    for name, change in changes.items():
        change(out / name)
    text = io.StringIO()
    run_build(parse_config(done, "test"), RunnerSettings(workers=1), Console(file=text, width=200))
    line = f"{len(changes)} of {len(shards) + 2} files (first: {next(iter(changes))}); written again"
    assert line in text.getvalue()
    assert digests(out) == before
    assert [name for name, time in shards.items() if (out / name).stat().st_mtime_ns != time] == written
    assert verify(out)[0] == 0
    assert not (out / ".byline").exists()


def test_a_damaged_shard_of_the_same_size_is_written_again_with_the_others(done: dict[str, Any]) -> None:
    out = Path(done["output"])
    before = digests(out)
    for name, change in (("conditioned/00002-of-00005.arrow", spoil), ("conditioned/00003-of-00005.arrow", remove)):
        change(out / name)
    build(done)
    assert digests(out) == before
    assert verify(out)[0] == 0


def test_a_shard_of_another_version_is_not_taken_over(done: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path(done["output"])
    next(out.glob("conditioned/*.arrow")).unlink()
    monkeypatch.setattr(assembling, "version", lambda _: "99.0")
    build(done)
    assert manifest_of(out)["code_version"] == "99.0"
    assert verify(out)[0] == 0


def test_a_changed_recipe_needs_overwrite(done: dict[str, Any], make_build: Callable[..., Path]) -> None:
    changed = {**done, "sequence": {"length": 64, "packing": "concat"}}
    before = times(Path(done["output"]))
    with pytest.raises(BylineError, match=r"holds a finished build of another plan; .* --overwrite"):
        build(changed)
    assert times(Path(done["output"])) == before
    runs = runs_of(done, "dclm")
    out = build(changed, overwrite=True)
    assert digests(out) == digests(make_build(sequence={"length": 64, "packing": "concat"}))
    assert verify(out)[0] == 0
    assert runs_of(done, "dclm") == runs


def test_a_build_with_a_plan_of_another_version_is_not_touched(done: dict[str, Any]) -> None:
    plan_file = Path(done["output"]) / "_plan.ipc"
    content = plan_file.read_bytes()
    plan_file.write_bytes(content.replace(f'"version": {PLAN_VERSION}'.encode(), b'"version": 1'))
    manifest = manifest_of(Path(done["output"]))
    manifest["plan_sha256"] = hashlib.sha256(plan_file.read_bytes()).hexdigest()
    write_manifest(Path(done["output"]), manifest)
    before = times(Path(done["output"]))
    with pytest.raises(BylineError, match=r"_plan\.ipc: not a plan of version .* choose another `output`, and build"):
        build(done, overwrite=True)
    assert times(Path(done["output"])) == before


def test_a_recipe_with_fewer_shards_leaves_none_of_the_others_behind(done: dict[str, Any]) -> None:
    out = build({**done, "shard": {"sequences": 1000}}, overwrite=True)
    assert sorted(digests(out)) == [
        "_inputs.ipc",
        "_plan.ipc",
        "conditioned/00000-of-00001.arrow",
        "cooldown/00000-of-00001.arrow",
    ]
    assert verify(out)[0] == 0


def test_a_build_that_was_not_finished_is_replaced_without_asking(done: dict[str, Any], make_build: Any) -> None:
    (Path(done["output"]) / "_manifest.json").unlink()
    out = build({**done, "sequence": {"length": 64, "packing": "concat"}})
    assert digests(out) == digests(make_build(sequence={"length": 64, "packing": "concat"}))


def changed_files(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def test_only_a_file_that_changed_is_read_again(done: dict[str, Any], tmp_path: Path) -> None:
    others = {source: runs_of(done, source) for source in ("c4", "dclm", "refinedweb")}
    before = runs_of(done, "mine")
    with (tmp_path / "data/mine/part-1.jsonl").open("a") as file:
        file.write('{"body": "one more river", "metadata": {"url": "http://example.org/new"}}\n')
    build(done, overwrite=True)
    after = runs_of(done, "mine")
    assert changed_files(before, after) == {"part-1.jsonl"}
    assert after["part-1.jsonl"][0].rows == before["part-1.jsonl"][0].rows + 1
    assert {source: runs_of(done, source) for source in others} == others
    assert verify(Path(done["output"]))[0] == 0


def test_only_a_file_that_is_new_is_read(done: dict[str, Any], tmp_path: Path) -> None:
    before = runs_of(done, "c4")
    write_c4(tmp_path / "data/c4/c4-train.00001-of-00004.json.gz", make_records(77, 30))
    build(done, overwrite=True)
    assert changed_files(before, runs_of(done, "c4")) == {"c4-train.00001-of-00004.json.gz"}
    status, text = verify(Path(done["output"]))
    assert status == 0, text


def test_a_file_that_is_gone_is_in_no_plan_any_more(done: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "data/mine/part-0.jsonl").unlink()
    out = build({**done, "shortage": "shrink"}, overwrite=True)
    assert manifest_of(out)["ledger"]["sources"]["mine"]["read"]["documents"] == 90
    assert verify(out)[0] == 0


def test_another_classifier_prepares_the_sources_it_scores_and_no_other(done: dict[str, Any]) -> None:
    given = runs_of(done, "dclm")
    done["classifiers"]["quality"]["label"] = "__label__lq"
    out = build(done, overwrite=True)
    assert verify(out)[0] == 0
    # DCLM brings its own score; the others have a second folder beside the first.
    assert runs_of(done, "dclm") == given
    assert [len(list((Path(done["store"]) / source).iterdir())) for source in ("c4", "mine", "refinedweb")] == [2, 2, 2]


@pytest.fixture
def locked(done: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The raw corpora are gone."""
    (tmp_path / "data/mine").rename(tmp_path / "data/gone")
    yield done
    (tmp_path / "data/gone").rename(tmp_path / "data/mine")


def test_a_token_store_is_enough_for_another_plan(locked: dict[str, Any], tmp_path: Path) -> None:
    found, _ = plan(parse_config({**locked, "seed": 3}, "test"), RunnerSettings(workers=1), quiet())
    assert found.header.drawn.used["mine"].documents > 20
    with pytest.raises(BylineError, match=r"sources\.mine\.path: no file matches"):
        build(locked)
