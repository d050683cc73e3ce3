"""`byline export`: the manifest, what is exported, and what is refused."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import byline
from byline.errors import BylineError
from byline.pipelines.cli import app
from byline.transforms.exports import FORMATS
from byline.transforms.exports.export_manifest import read_export
from tests.support.export_readers import read_parquet
from tests.support.exports import EXPORTED, build, contents, job_of, run
from tests.support.shards import PackedRow, numbered_build, write_build


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("build") / "out")


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


def test_a_mask_is_lost_only_if_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"would train 24 of 96 tokens that the build masks; .* give --drop-mask"):
        run(out, tmp_path / "to", "litdata")
    assert not (tmp_path / "to").exists()
    assert "note litgpt predicts every token" in run(out, tmp_path / "to", "litdata", drop_mask=True)


def test_without_a_masked_token_there_is_nothing_to_lose(tmp_path: Path) -> None:
    write_build(tmp_path / "out", {"conditioned": [[PackedRow([0, 5, 1], [1, 1, 1], [3], [1], [0])]]}, 3)
    run(tmp_path / "out", tmp_path / "to", "litdata")


def test_a_damaged_shard_is_not_exported(tmp_path: Path) -> None:
    numbered_build(tmp_path / "out", EXPORTED)
    shard = tmp_path / "out/cooldown/00000-of-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BylineError, match=r"cooldown/00000-of-00001.arrow: has another sha256 than the manifest lists"):
        run(tmp_path / "out", tmp_path / "to")
    assert not (tmp_path / "to/_export.json").exists()


def test_a_branch_is_what_its_model_reads(out: Path, tmp_path: Path) -> None:
    run(out, tmp_path, branch="cooldown-50")
    files = [tmp_path / file.path for file in read_export(str(tmp_path)).files()]
    rows = byline.open(out, branch="cooldown-50")
    assert [row["input_ids"] for row in read_parquet(files)] == [row["input_ids"].tolist() for row in rows]
    assert [row["phase"] for row in read_parquet(files)] == ["conditioned"] * 5 + ["cooldown-50"] * 2


def test_what_is_held_out_is_exported_alone_by_its_name(tmp_path: Path) -> None:
    numbered_build(tmp_path / "out", {**EXPORTED, "held-0": (2, 1)}, branches={"held-0": ("conditioned", 0)})
    assert byline.open(tmp_path / "out").holdout == "held-0"
    run(tmp_path / "out", tmp_path / "to", branch="held-0")
    files = [tmp_path / "to" / file.path for file in read_export(str(tmp_path / "to")).files()]
    assert [row["phase"] for row in read_parquet(files)] == ["held-0"] * 3


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
