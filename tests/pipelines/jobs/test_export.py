"""`byline export`: what is whole is kept, the same bytes with any workers, and nothing of anyone else's is touched."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import byline
from byline.errors import BylineError
from byline.manifest import digests_of
from byline.pipelines.cli import app
from byline.pipelines.jobs.export import export, verify_export
from byline.pipelines.runners.runner import RunnerSettings
from byline.schemas.ledger import ShardRecord
from byline.targets import Spread
from byline.transforms.exports import FORMATS
from byline.transforms.exports.export_folder import open_export, read_record
from byline.transforms.exports.export_format import ShardRows
from byline.transforms.exports.export_manifest import ExportMaker, read_export
from byline.transforms.exports.exporting import export_shard
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport
from byline.transforms.files import storage
from byline.transforms.shards.records import write_record as write_shard_record
from tests.support.export_readers import read_parquet
from tests.support.shards import PackedRow, numbered_build, write_build

SHARDS = {"conditioned": (5, 4), "cooldown": (3,)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "out"
    branches = {"cooldown-50": ("conditioned", 1)}
    numbered_build(folder, {**SHARDS, "cooldown-50": (2,)}, branches=branches)
    return folder


def run(
    out: Path,
    folder: Path,
    to: str = "parquet",
    workers: int = 1,
    *,
    branch: str | None = None,
    drop_mask: bool = False,
    overwrite: bool = False,
) -> str:
    """Exports; returns what is printed."""
    text = io.StringIO()
    console = Console(file=text, soft_wrap=True)
    settings = RunnerSettings(workers=workers)
    export(str(out), to, str(folder), settings, console, branch=branch, drop_mask=drop_mask, overwrite=overwrite)
    return text.getvalue()


def contents(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def job_of(out: Path, folder: Path) -> ExportJob:
    sha256 = byline.open(out).manifest.sha256
    return ExportJob(str(out), str(folder), ExportMaker(sha256, None, "parquet", 1, version("byline")))


def cli(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "200"})


def test_the_manifest_says_what_there_is(out: Path, tmp_path: Path) -> None:
    printed = run(out, tmp_path / "to")
    assert printed.startswith("export    12 rows, 3 files, ")
    manifest = read_export(str(tmp_path / "to"))
    assert manifest.maker == job_of(out, tmp_path).maker
    assert (manifest.rows, manifest.sequence_length) == (12, 8)
    assert [(shard.path, shard.phase, shard.rows) for shard in manifest.shards] == [
        ("conditioned/00000-of-00002.arrow", "conditioned", 5),
        ("conditioned/00001-of-00002.arrow", "conditioned", 4),
        ("cooldown/00000-of-00001.arrow", "cooldown", 3),
    ]
    there = contents(tmp_path / "to")
    assert {file.path: file.sha256 for file in manifest.files()} == {
        name: sha256 for name, sha256 in there.items() if name != "_export.json"
    }
    assert len(there) == 4, "nothing but the files and the manifest is left"


def test_two_workers_write_the_same_bytes(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path / "one", "mds")
    run(out, tmp_path / "two", "mds", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_export_is_left_alone(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    before = times(tmp_path)
    assert run(out, tmp_path) == f"export    nothing to do: {tmp_path} is finished\n"
    assert times(tmp_path) == before


def test_what_is_whole_is_kept_and_the_rest_is_written(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path / "whole")
    job = job_of(out, tmp_path / "to")
    shards = ShardsToExport.of(job)
    assert open_export(job, shards, overwrite=False) == []
    first, second = (tmp_path / "to" / export_shard(number, job, shards).files[0].path for number in (0, 2))
    # A machine that lost power may keep a name and lose bytes.
    second.write_bytes(b"\0" * second.stat().st_size)
    (tmp_path / "to/conditioned/.tmp-0123456789abcdef-00001-of-00002.parquet").write_bytes(b"half")
    before = first.stat().st_mtime_ns
    run(out, tmp_path / "to")
    assert first.stat().st_mtime_ns == before
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")


def test_a_damaged_record_is_written_again(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path / "whole")
    job = job_of(out, tmp_path / "to")
    shards = ShardsToExport.of(job)
    open_export(job, shards, overwrite=False)
    export_shard(0, job, shards)
    record = tmp_path / "to/.byline-export/conditioned-00000.json"
    record.write_text(record.read_text().replace("conditioned/00000-of-00002.parquet", "../../outside"))
    run(out, tmp_path / "to")
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")


def test_a_lost_file_is_written_again_alone(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    before, whole = times(tmp_path), contents(tmp_path)
    (tmp_path / "conditioned/00001-of-00002.parquet").unlink()
    assert "missing or of another size: 1 files (first: conditioned/00001-of-00002.parquet)" in run(out, tmp_path)
    assert contents(tmp_path) == whole
    assert [name for name, time in times(tmp_path).items() if time != before[name]] == [
        "conditioned/00001-of-00002.parquet"
    ]


def test_another_export_is_replaced_only_if_told(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path, "mds")
    before = contents(tmp_path)
    with pytest.raises(BylineError, match="holds another export; choose another folder, or give --overwrite"):
        run(out, tmp_path)
    assert contents(tmp_path) == before
    run(out, tmp_path, overwrite=True)
    assert sorted(contents(tmp_path)) == [
        "_export.json",
        "conditioned/00000-of-00002.parquet",
        "conditioned/00001-of-00002.parquet",
        "cooldown/00000-of-00001.parquet",
    ]


def test_an_unfinished_export_of_another_build_is_replaced_only_if_told(out: Path, tmp_path: Path) -> None:
    job = job_of(out, tmp_path)
    other = replace(job, maker=replace(job.maker, manifest_sha256="00"))
    shards = ShardsToExport.of(job)
    open_export(other, shards, overwrite=False)
    with pytest.raises(BylineError, match="holds an unfinished export of something else"):
        run(out, tmp_path)
    run(out, tmp_path, overwrite=True)
    with pytest.raises(BylineError, match="no longer belongs to this job"):
        export_shard(0, other, shards)


def test_all_files_of_an_unfinished_export_are_replaced(out: Path, tmp_path: Path) -> None:
    job = job_of(out, tmp_path / "to")
    other = replace(job, maker=replace(job.maker, manifest_sha256="00"))
    open_export(other, ShardsToExport.of(job), overwrite=False)
    # Killed between a file and its record.
    (tmp_path / "to/conditioned").mkdir()
    (tmp_path / "to/conditioned/00000-of-00009.parquet").write_bytes(b"whole, without a record")
    run(out, tmp_path / "to", overwrite=True)
    run(out, tmp_path / "whole")
    assert contents(tmp_path / "to") == contents(tmp_path / "whole")


def test_an_export_with_files_of_someone_else_is_left_alone(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path, "mds")
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(BylineError, match=r"has files that are of no export \(first: notes.txt\)"):
        run(out, tmp_path, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".byline/current.txt", "has the .byline of an unfinished build"),
        ("_plan.ipc", "has the _plan.ipc of a build"),
        ("_manifest.json", "has the _manifest.json of a build"),
    ],
)
def test_a_build_is_left_alone(out: Path, tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("plan 3f9a, version 0.1.0")
    made = {"plan_sha256": "3f9a", "code_version": "0.1.0", "counts": {}, "padding": 0}
    entry = byline.open(out).manifest.phases[0].shards[0]
    shard = ShardRecord.of({**made, "phase": "conditioned", "shard": 0}, entry)
    write_shard_record(str(tmp_path / ".byline"), shard)
    (tmp_path / "conditioned").mkdir()
    (tmp_path / "conditioned/00000-of-00002.arrow").write_bytes(b"a shard")
    before = contents(tmp_path)
    with pytest.raises(BylineError, match=message):
        run(out, tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def test_a_worker_of_a_replaced_export_gives_no_file_its_name(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(out, tmp_path / "to")
    other = replace(job, maker=replace(job.maker, code_version="0"))
    shards = ShardsToExport.of(job)
    open_export(other, shards, overwrite=False)
    batches = ShardRows.batches

    def replaced_meanwhile(rows: ShardRows, step: int | None = None) -> Iterator[Spread]:
        monkeypatch.setattr(ShardRows, "batches", batches)
        run(out, tmp_path / "to", overwrite=True)
        times_before.update(times(tmp_path / "to"))
        return batches(rows, step)

    times_before: dict[str, int] = {}
    monkeypatch.setattr(ShardRows, "batches", replaced_meanwhile)
    with pytest.raises(BylineError, match="no longer belongs to this job"):
        export_shard(0, other, shards)
    assert len(times_before) == 3
    assert times(tmp_path / "to") == times_before
    assert not list(tmp_path.rglob(".*"))


def test_a_record_that_cannot_be_read_now_is_not_damaged(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(out, tmp_path)
    shards = ShardsToExport.of(job)
    open_export(job, shards, overwrite=False)
    export_shard(0, job, shards)
    uri = str(tmp_path / ".byline-export/conditioned-00000.json")
    assert read_record(uri) is not None

    def refused(uri: str) -> bytes:
        raise BylineError(f"{uri}: cannot be opened (Input/output error)")

    monkeypatch.setattr(storage, "read_bytes", refused)
    with pytest.raises(BylineError, match="Input/output error"):
        read_record(uri)


def test_files_of_someone_else_are_left_alone(out: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(BylineError, match=r"has files that are of no export \(first: README.md\)"):
        run(out, tmp_path, "hf", overwrite=True)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_folder_of_the_build_is_refused(out: Path) -> None:
    for folder in (out, out / "to"):
        with pytest.raises(BylineError, match="lies in the build"):
            run(out, folder)


def test_a_mask_is_lost_only_if_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"would train 24 of 96 tokens that the build masks; .* give --drop-mask"):
        run(out, tmp_path / "to", "litdata")
    assert not (tmp_path / "to").exists()
    assert "note litgpt predicts every token" in run(out, tmp_path / "to", "litdata", drop_mask=True)


def test_without_a_masked_token_there_is_nothing_to_lose(tmp_path: Path) -> None:
    write_build(tmp_path / "out", {"conditioned": [[PackedRow([0, 5, 1], [1, 1, 1], [3], [1], [0])]]}, 3)
    run(tmp_path / "out", tmp_path / "to", "litdata")


def test_a_damaged_shard_is_not_exported(tmp_path: Path) -> None:
    numbered_build(tmp_path / "out", SHARDS)
    shard = tmp_path / "out/cooldown/00000-of-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BylineError, match=r"cooldown/00000-of-00001.arrow has another sha256"):
        run(tmp_path / "out", tmp_path / "to")
    assert not (tmp_path / "to/_export.json").exists()


def test_a_branch_is_what_its_model_reads(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path, branch="cooldown-50")
    files = [tmp_path / file.path for file in read_export(str(tmp_path)).files()]
    rows = byline.open(out, branch="cooldown-50")
    assert [row["input_ids"] for row in read_parquet(files)] == [row["input_ids"].tolist() for row in rows]
    assert [row["phase"] for row in read_parquet(files)] == ["conditioned"] * 5 + ["cooldown-50"] * 2


def test_what_is_held_out_is_exported_alone_by_its_name(tmp_path: Path) -> None:
    numbered_build(tmp_path / "out", {**SHARDS, "held-0": (2, 1)}, branches={"held-0": ("conditioned", 0)})
    assert byline.open(tmp_path / "out").holdout == "held-0"
    run(tmp_path / "out", tmp_path / "to", branch="held-0")
    files = [tmp_path / "to" / file.path for file in read_export(str(tmp_path / "to")).files()]
    assert [row["phase"] for row in read_parquet(files)] == ["held-0"] * 3


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
    with pytest.raises(BylineError) as error:
        cli("verify", tmp_path)
    assert str(error.value) == f"{tmp_path}: this export is not finished; run `byline export` again"


def test_the_command_and_its_check(out: Path, tmp_path: Path) -> None:
    done = cli("export", out, "--to", "megatron", tmp_path / "to", "--workers", "1")
    assert done.exit_code == 0
    assert "note GPTDataset reads ids alone" in done.output
    done = cli("verify", tmp_path / "to")
    assert done.exit_code == 0
    assert "12 files" in done.output
    assert "of 12 rows as megatron: bytes, sha256" in done.output


def test_the_help_names_every_format() -> None:
    assert all(re.search(rf"\b{name}\b", cli("export", "--help").output) for name in FORMATS)


def test_an_unknown_format_is_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"no format 'csv' to export to; the formats are parquet, hf, "):
        run(out, tmp_path, "csv")


def verified(folder: Path) -> tuple[int, str]:
    text = io.StringIO()
    return verify_export(str(folder), Console(file=text, soft_wrap=True)), text.getvalue()


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
