"""`byline export` to a folder with something in it: what is whole is kept, and nothing of anyone else's is touched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.targets import Spread
from byline.transforms.exports.export_folder import open_export, read_record, write_record
from byline.transforms.exports.export_format import ShardRows
from byline.transforms.exports.exporting import export_shard
from byline.transforms.exports.shards_to_export import ShardsToExport
from byline.transforms.files import storage
from tests.support.exports import build, contents, job_of, run, times


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("build") / "out")


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


def test_one_with_files_of_someone_else_is_not_mended(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path)
    (tmp_path / "conditioned/00001-of-00002.parquet").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    # Killed while it is mended, it would be an unfinished one, all of whose files may be replaced.
    with pytest.raises(BylineError, match=r"has files that are of no export \(first: notes.txt\)"):
        run(out, tmp_path)
    assert contents(tmp_path) == before


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
        (".byline/conditioned-00000.json", "has the .byline of an unfinished build"),
        ("_plan.ipc", "has the _plan.ipc of a build"),
        ("_import.json", "has the _import.json of an import"),
        ("_manifest.json", "has the _manifest.json of a build"),
    ],
)
def test_a_build_is_left_alone(out: Path, tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("of a build")
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


def test_a_worker_of_a_replaced_export_writes_no_record(out: Path, tmp_path: Path) -> None:
    job = job_of(out, tmp_path)
    shards = ShardsToExport.of(job)
    open_export(job, shards, overwrite=False)
    record, uri = export_shard(0, job, shards), tmp_path / ".byline-export/conditioned-00000.json"
    before = uri.read_bytes()
    other = replace(job, maker=replace(job.maker, code_version="0"))
    with pytest.raises(BylineError, match="no longer belongs to this job"):
        write_record(other, str(uri), replace(record, rows=17))
    assert uri.read_bytes() == before


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

    monkeypatch.setattr(storage, "read_if_there", refused)
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
