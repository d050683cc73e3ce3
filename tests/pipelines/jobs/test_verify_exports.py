"""`byline verify` with the folder of an export: every kind of damage is told, and edits of the manifest are refused."""

import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from byline.errors import BylineError
from byline.manifest import digests_of
from byline.pipelines.cli import app
from byline.transforms.exports.export_folder import open_export
from byline.transforms.exports.shards_to_export import ShardsToExport
from tests.support.exports import build, job_of, run, verified


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("build") / "out")


def cli(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("options", "needless"),
    [
        (["--documents", "64"], "--documents"),
        (["--raw", "--no-store"], "--no-store, no --raw"),
        (["--allow-missing"], "--allow-missing"),
        (["--tokenizer", "tokenizer.json"], "--tokenizer"),
        (["--workers", "1", "--runner", "local"], "--workers, no --runner"),
        (["--runner", "flink", "--option", "parallelism=1"], "--runner, no --option"),
    ],
)
def test_verify_takes_no_options_for_an_export_that_are_for_builds(
    out: Path, tmp_path: Path, options: list[str], needless: str
) -> None:
    run(out, tmp_path)
    with pytest.raises(BylineError) as error:
        cli("verify", tmp_path, *options)
    assert str(error.value) == f"{tmp_path}: is an export, whose check takes no {needless}; give its folder alone"


def test_verify_says_that_an_export_is_not_finished(out: Path, tmp_path: Path) -> None:
    job = job_of(out, tmp_path)
    open_export(job, ShardsToExport.of(job), overwrite=False)
    # The second time as a machine that lost power may leave it.
    for content in (Path(job.current).read_bytes(), b""):
        Path(job.current).write_bytes(content)
        with pytest.raises(BylineError) as error:
            cli("verify", tmp_path)
        assert str(error.value) == f"{tmp_path}: this export is not finished; run `byline export` again"


def test_verify_finds_every_kind_of_damage(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    assert verified(tmp_path)[0] == 0
    (tmp_path / "conditioned/00000-of-00002.parquet").unlink()
    damaged = tmp_path / "conditioned/00001-of-00002.parquet"
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    with (tmp_path / "cooldown/00000-of-00001.parquet").open("ab") as file:
        file.write(b"\0")
    (tmp_path / "cooldown/stray.parquet").write_bytes(b"")
    (tmp_path / ".notes").write_text("nobody reads this")
    status, text = verified(tmp_path)
    assert status == 1
    assert "delete the files that are wrong and run `byline export` again" in text
    assert [line.split(", not ")[0].strip() for line in text.splitlines()[1:5]] == [
        "conditioned/00000-of-00002.parquet is missing",
        "conditioned/00001-of-00002.parquet has another sha256",
        f"cooldown/00000-of-00001.parquet has {os.path.getsize(tmp_path / 'cooldown/00000-of-00001.parquet'):,} bytes",
        "cooldown/stray.parquet is not of this export, and a reader of the folder may take it",
    ]


def test_verify_advises_to_delete_only_files_that_are_wrong(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    (tmp_path / "stray.parquet").write_bytes(b"")
    status, text = verified(tmp_path)
    assert status == 1
    assert "stray.parquet is not of this export" in text
    assert "delete the files that are wrong" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": "12"}, "_export.json: cannot be read as an export .*rows: '12'"),
        ({"rows": True}, "cannot be read as an export .*rows: True"),
        ({"branch": 5}, "cannot be read as an export .*branch: 5"),
        ({"to": ["mds"]}, "cannot be read as an export"),
        ({"shards": {"a": 1}}, "cannot be read as an export"),
        ({"shards": [{"path": "a", "phase": "b", "rows": None, "otherwise": 0, "files": []}]}, "rows: None"),
        ({"whole": [{"path": "a", "rows": 0, "bytes": "9", "sha256": ""}]}, "bytes: '9'"),
        ({"whole": [{"path": "a", "rows": 0, "bytes": 9, "sha256": None}]}, "sha256: None"),
        ({"rows": 13}, "says 13 rows, its shards have 12"),
        ({"format": "tar"}, 'expected "format": "byline-export"'),
        ({"version": 9}, "not an export of version 1 but of 9"),
        ({"more": 1}, "cannot be read as an export"),
        ({"whole": [{"path": "../a", "rows": 0, "bytes": 0, "sha256": ""}]}, r"'\.\./a' is no path of an export"),
    ],
)
def test_a_manifest_that_was_edited_is_refused(
    out: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    run(out, tmp_path)
    path = tmp_path / "_export.json"
    values = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({**values, "digests": digests_of(values)}))
    try:
        status, text = verified(tmp_path)
    except BylineError as error:
        status, text = 1, str(error)
    assert status == 1
    assert re.search(message, text)


def test_an_edit_without_its_digest_is_refused(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    path = tmp_path / "_export.json"
    path.write_text(path.read_text().replace('"rows": 12', '"rows": 11'))
    with pytest.raises(BylineError, match="is not what the export wrote"):
        verified(tmp_path)
