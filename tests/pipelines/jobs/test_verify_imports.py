"""`byline verify` of an import: rows, ledger and domains recounted, and the rows of its folders made once more."""

import json
import shutil
from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.manifest import digests_of
from byline.transforms.imports import KINDS, importing
from tests.support.imports import run, verify, write_folders


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_folders(tmp_path)


def test_verify_finds_what_differs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", *folders)
    file = folders[0] / "0-0/shard.00001.mds"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # of the mask
    file.write_bytes(content)
    status, printed = verify(tmp_path / "out")
    assert status == 1
    assert "wrong folders      1 problems" in printed
    assert "conditioned/00001-of-00003.arrow: row 0: loss_mask is not what its folder gives for it" in printed
    content[-9] = 7  # of the mask's shape
    file.write_bytes(content)
    assert "conditioned/00001-of-00003.arrow: not compared: " in verify(tmp_path / "out")[1]
    content[-9] = 8
    content[-1] ^= 1
    file.write_bytes(content)
    shutil.rmtree(folders[1])
    status, printed = verify(tmp_path / "out")
    assert status == 2
    assert "ok    folders      5 rows of conditioned made once more: every value the same" in printed
    assert f"not   folders      plain is not compared: {folders[1]}/index.json: missing" in printed


def test_an_error_of_the_folder_is_not_the_shards(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "out", folders[0])

    def fail(*_: object) -> None:
        raise OSError("the folder's disk")

    monkeypatch.setattr(importing.ShardSource, "rows", fail)
    with pytest.raises(OSError, match="the folder's disk"):
        verify(tmp_path / "out")


def say_of_phase(out: Path, changes: dict[str, object]) -> None:
    """Has the manifest say something else of the first phase in `config.import`."""
    values = json.loads((out / "_manifest.json").read_text())
    values["config"]["import"]["phases"][0].update(changes)
    values["digests"] = digests_of(values)
    (out / "_manifest.json").write_text(json.dumps(values))


def test_verify_sums_domains(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", folders[0])
    say_of_phase(tmp_path / "out", {"domains": {"dclm-w-urls": 4}})
    status, printed = verify(tmp_path / "out")
    assert status == 1
    assert "phase conditioned: the manifest's domains are not the sum of what its shards say" in printed


def test_rows_that_another_version_made_are_not_compared(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "out", folders[0])
    monkeypatch.setattr(KINDS["mds-meco"], "version", 2)
    status, printed = verify(tmp_path / "out")
    assert status == 2
    why = f"{folders[0]}: was imported by version 1 of mds-meco, this is 2; import it anew"
    assert f"not   folders      conditioned is not compared: {why}" in printed


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"folder": "/elsewhere"}, "_manifest.json's folders are not those of _import.json"),
        ({"name": "another"}, "_manifest.json's folders are not those of _import.json"),
        ("_import.json", "_import.json: has another sha256 than the manifest says"),
        ("_inputs.ipc", "_inputs.ipc: has another sha256 than the manifest says"),
    ],
)
def test_verify_refuses_lists_that_do_not_fit(
    folders: tuple[Path, Path], tmp_path: Path, damage: str | dict[str, object], message: str
) -> None:
    out = tmp_path / "out"
    run(out, folders[0])
    if isinstance(damage, dict):
        say_of_phase(out, damage)
    else:
        (out / damage).write_bytes((out / damage).read_bytes() + b" ")
    with pytest.raises(BylineError, match=message):
        verify(out)
