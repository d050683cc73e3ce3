"""Builds that go on after a loss of power, which may leave names without bytes, or with other bytes.

Each damage is done to a copy of one build that was stopped before its manifest; going on has to end in the same bytes.
"""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs import assemble as assembling
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from tests.support.builds import build, digests, verify
from tests.support.corpora import Corpus, recipe

SHARD = "conditioned/00002-of-00005.arrow"
RECORD = ".byline/conditioned-00002.json"
Damage = Callable[[Path], None]


class StoppedError(Exception):
    """Instead of the power."""


def run(values: dict[str, Any], *, overwrite: bool = False) -> list[str]:
    """What a build says about files that it finds."""
    text = io.StringIO()
    console = Console(file=text, width=200)
    run_build(parse_config(values, "test"), RunnerSettings(workers=1), console, overwrite=overwrite)
    words = (" already", " damaged: ", "written again", "nothing to do", " files, ")
    return [line for line in text.getvalue().splitlines() if any(word in line for word in words)]


@pytest.fixture(scope="module")
def unfinished(corpus: Corpus, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build of which only the manifest is missing."""
    folder = tmp_path_factory.mktemp("unfinished")
    shutil.copytree(built.parent / "store", folder / "store")

    def stop(*_: Any) -> None:
        raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "write_manifest", stop)
        with pytest.raises(StoppedError):
            build(recipe(corpus, folder))
    return folder


@pytest.fixture
def values(corpus: Corpus, unfinished: Path, tmp_path: Path) -> dict[str, Any]:
    shutil.copytree(unfinished, tmp_path, dirs_exist_ok=True)
    return recipe(corpus, tmp_path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeros(path: Path) -> None:
    """As many bytes as there were, as some file systems leave them."""
    path.write_bytes(bytes(path.stat().st_size))


def other_json(path: Path) -> None:
    path.write_text('{"plan_sha256": []}')


@pytest.mark.parametrize(
    ("name", "damage", "lines"),
    [
        (SHARD, empty, [rf"damaged: {SHARD} has 0 of .* bytes; made again", "5 of 6 shards are there already"]),
        (
            SHARD,
            zeros,
            ["6 of 6 shards are there already", "conditioned-00002 had another sha256; made again"],
        ),
        (SHARD, Path.unlink, [rf"damaged: {SHARD} is gone; made again", "5 of 6 shards are there already"]),
        (RECORD, half, [f"damaged: the record of {SHARD} cannot be read; made again", "5 of 6 shards are"]),
        (RECORD, other_json, [f"damaged: the record of {SHARD} cannot be read; made again", "5 of 6 shards are"]),
        ("_plan.ipc", empty, [r"damaged: _plan\.ipc cannot be read; made again", "6 of 6 shards are"]),
        ("_plan.ipc", half, [r"damaged: _plan\.ipc cannot be read; made again", "6 of 6 shards are"]),
        ("_inputs.ipc", half, ["6 of 6 shards are there already"]),
        (".byline/current.txt", empty, ["6 of 6 shards are there already"]),
    ],
)
def test_what_is_damaged_is_made_again(
    values: dict[str, Any], built: Path, name: str, damage: Damage, lines: list[str]
) -> None:
    out = Path(values["output"])
    damage(out / name)
    said = run(values)
    assert len(said) == 1 + len(lines)
    assert "prepare   nothing to do" in said[0]
    for line, expected in zip(said[1:], lines, strict=True):
        assert re.search(expected, line), line
    assert digests(out) == digests(built)
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []


def test_a_damaged_manifest_of_this_plan_is_made_again(values: dict[str, Any], built: Path) -> None:
    run(values)
    out = Path(values["output"])
    half(out / "_manifest.json")
    assert run(values)[1:] == ["assemble  damaged: _manifest.json cannot be read; made again"]
    assert digests(out) == digests(built)
    half(out / "_manifest.json")
    changed = {**values, "seed": 5}
    with pytest.raises(BylineError, match=r"_manifest\.json: is damaged, and what it belongs to is another plan's"):
        run(changed)
    run(changed, overwrite=True)
    assert verify(out)[0] == 0


def test_a_damaged_plan_of_a_finished_build_is_written_again(values: dict[str, Any], built: Path) -> None:
    run(values)
    out = Path(values["output"])
    half(out / "_plan.ipc")
    assert any("2 of" not in line and "(first: _plan.ipc); written again" in line for line in run(values))
    assert digests(out) == digests(built)


def test_a_damaged_run_and_settings_beside_it(values: dict[str, Any], built: Path) -> None:
    (folder,) = (Path(values["store"]) / "mine").iterdir()
    empty(folder / "source.json")
    (path, *_) = sorted(folder.glob("*.arrow"))
    empty(path)
    with pytest.raises(BylineError, match=rf"{path.name}: .*; delete it and prepare again"):
        run(values)
    path.unlink()
    assert "2 of 3 files are there already" in run(values)[0]
    assert digests(Path(values["output"])) == digests(built)


def test_records_of_another_build_are_not_taken_into_the_manifest(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from byline.transforms.shards import manifest_writing

    out = Path(values["output"])
    write = manifest_writing.write_manifest

    def other(*arguments: Any) -> Any:
        record = out / RECORD
        record.write_text(record.read_text().replace('"code_version": "', '"code_version": "9'))
        return write(*arguments)

    monkeypatch.setattr(assembling, "write_manifest", other)
    with pytest.raises(BylineError, match=r"conditioned-00002\.json: is of another plan or version"):
        run(values)
    assert not (out / "_manifest.json").exists()
