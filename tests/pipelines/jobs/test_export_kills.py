"""An export of every format that is killed anywhere goes on, and in any order gives the same bytes, each checked."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.transforms.exports import FORMATS
from byline.transforms.exports.export_folder import open_export
from byline.transforms.exports.exporting import export_shard
from byline.transforms.exports.shards_to_export import ShardsToExport
from byline.transforms.files import storage
from tests.support.exports import contents, job_of, run, verified
from tests.support.shards import numbered_build


class KilledError(Exception):
    """What nothing in the project waits for."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "out"
    numbered_build(folder, {"conditioned": (2,), "cooldown": (3,)})
    return folder


@pytest.fixture(autouse=True)
def _power_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files keep their names and bytes without waiting for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def is_killed(patch: pytest.MonkeyPatch, owner: object, name: str, after: int, call: Callable[[], object]) -> bool:
    """Whether `call` ends as if killed: at the call of this function after so many, what is half written is left."""
    function, calls = getattr(owner, name), count()

    def kill(*args: str) -> None:
        if next(calls) >= after:
            raise KilledError
        function(*args)

    with patch.context() as killing:
        killing.setattr(owner, name, kill)
        killing.setattr(storage, "is_deleted", lambda filesystem, path: False)
        try:
            call()
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("to", FORMATS)
def test_it_goes_on_from_every_file(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    run(out, tmp_path / "whole", to, drop_mask=True)
    whole = contents(tmp_path / "whole")
    for kills in count():
        folder = tmp_path / f"to-{kills}"
        export = partial(run, out, folder, to, drop_mask=True)
        if not is_killed(monkeypatch, storage.durable, "give_name", kills, export):
            break
        assert not (folder / "_export.json").exists()
        export()
        assert contents(folder) == whole
    # The files, the manifest among them, a record of each shard, and whose export it is.
    assert kills == len(whole) + 2 + 1


@pytest.mark.parametrize("to", FORMATS)
def test_workers_in_any_order_write_the_same_bytes(out: Path, tmp_path: Path, to: str) -> None:
    run(out, tmp_path / "whole", to, drop_mask=True)
    job = job_of(out, tmp_path / "to", to)
    open_export(job, ShardsToExport.of(job), overwrite=False)
    # The last one twice, as an engine may.
    for number in (1, 0, 1):
        export_shard(number, job, ShardsToExport.of(job))
    run(out, tmp_path / "to", to, drop_mask=True)
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")


@pytest.mark.parametrize("to", FORMATS)
def test_a_flipped_byte_of_every_file_is_found(out: Path, tmp_path: Path, to: str) -> None:
    run(out, tmp_path, to, drop_mask=True)
    assert verified(tmp_path)[0] == 0
    for name in contents(tmp_path).keys() - {"_export.json"}:
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        status, text = verified(tmp_path)
        assert status == 1
        assert f" {name} has another sha256\n" in text
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
    assert verified(tmp_path)[0] == 0


@pytest.mark.parametrize("to", [name for name, made in FORMATS.items() if made.keeps_mask])
def test_a_mask_that_may_be_lost_is_kept_where_it_can_be(out: Path, tmp_path: Path, to: str) -> None:
    run(out, tmp_path / "may", to, drop_mask=True)
    run(out, tmp_path / "may-not", to)
    assert contents(tmp_path / "may") == contents(tmp_path / "may-not")
    assert "nothing to do" in run(out, tmp_path / "may", to)


def test_one_without_a_mask_goes_on_only_if_that_is_allowed_again(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = partial(run, out, tmp_path / "to", "litdata")
    assert is_killed(monkeypatch, storage.durable, "give_name", 3, partial(export, drop_mask=True))
    left = contents(tmp_path / "to")
    with pytest.raises(BylineError, match="has no loss mask"):
        export()
    assert contents(tmp_path / "to") == left
    export(drop_mask=True)
    run(out, tmp_path / "whole", "litdata", drop_mask=True)
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")


@pytest.mark.parametrize(("owner", "name"), [(storage, "delete_file"), (storage.durable, "give_name")])
def test_a_replacement_that_is_killed_goes_on(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    run(out, tmp_path / "whole")
    run(out, tmp_path / "mds", "mds")
    for kills in count():
        folder = tmp_path / f"to-{kills}"
        shutil.copytree(tmp_path / "mds", folder)
        replace = partial(run, out, folder, overwrite=True)
        if not is_killed(monkeypatch, owner, name, kills, replace):
            break
        replace()
        assert contents(folder) == contents(tmp_path / "whole")
    assert kills >= 5


def test_one_that_is_killed_when_all_is_written_is_finished(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(out, tmp_path / "whole")
    assert is_killed(monkeypatch, storage, "delete_folder", 1, lambda: run(out, tmp_path / "to"))
    assert (tmp_path / "to/.byline-export").exists()
    assert "nothing to do" in run(out, tmp_path / "to")
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")
