"""`byline import`: rows come in as they were packed, are verified and read, and go out again as they came."""

import io
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

import byline
from byline.errors import BylineError
from byline.manifest import ShardEntry
from byline.pipelines.cli import app
from byline.pipelines.console.sequence_view import show_sequence
from byline.pipelines.jobs.export import export
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.imports import ImportedFile, NamedTokenizer
from byline.schemas.ledger import PhaseLedger, ShardRecord
from byline.transforms.exports.export_manifest import check_finished
from byline.transforms.imports import importing
from byline.transforms.imports.planning import NamedFolder, shards_of
from byline.transforms.shards import shard_writing
from byline.transforms.shards.records import write_record
from tests.reference.mds import MECO, Sample, file_bytes, meco_sample, write_mds
from tests.support.export_readers import read_mds
from tests.support.exports import contents
from tests.support.imports import (
    BOS_ID,
    EOS_ID,
    LENGTH,
    PAD_ID,
    conditioned,
    plain,
    run,
    verify,
    write_folders,
)
from tests.support.small import BOS, PAD, tokenizer_file
from tests.support.thorough import examples


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_folders(tmp_path)


def exported(out: Path, folder: Path) -> list[dict[str, Any]]:
    """The samples of all phases of an export as MeCo's packer writes them."""
    export(str(out), "mds-meco", str(folder), RunnerSettings(workers=1), Console(file=io.StringIO()))
    return [sample for phase in byline.open(out).phases for sample in read_mds(folder / phase)]


def test_rows_are_what_the_samples_are(folders: tuple[Path, Path], tmp_path: Path) -> None:
    printed = run(tmp_path / "out", folders[0], f"cooldown:{folders[1]}")
    assert printed.splitlines() == [
        "conditioned: 5 sequences, 10 segments (10 begin masked), 50.00% of the tokens trained",
        "cooldown: 4 sequences, 8 segments (0 begin masked), 100.00% of the tokens trained",
    ]
    shards = byline.open(tmp_path / "out", verify="sha256")
    assert (len(shards), shards.sequence_length, shards.phases) == (9, 8, ("conditioned", "cooldown"))
    row = shards[3]
    assert row["input_ids"].tolist() == conditioned(3)["input_ids"]
    assert row["loss_mask"].tolist() == conditioned(3)["mask"]
    assert row["seq_lengths"].tolist() == [5, 3]
    assert row["doc_offsets"].tolist() == [0, 0]
    # Sample 0 of its file; the second segment begins at its token 5.
    assert [shards.origin(doc_id) for doc_id in row["doc_ids"]] == [
        ("DCLM-w-URLs", "0-1/shard.00002.mds", 0),
        ("DCLM-w-URLs", "0-1/shard.00002.mds", 5),
    ]
    assert [shards.origin(doc_id)[2] for doc_id in shards[7]["doc_ids"]] == [2 * LENGTH, 2 * LENGTH + 6]
    assert [entry.rows for phase in shards.manifest.phases for entry in phase.shards] == [2, 1, 2, 4]
    batches = (byline.collate(rows, "huggingface") for rows in shards.loader(3, last="keep"))
    assert byline.audit(batches, shards).is_equal


def test_the_manifest_counts_what_was_imported(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", folders[0], f"cooldown:{folders[1]}")
    manifest = byline.open(tmp_path / "out").manifest
    counts = manifest.ledger["phases"]["conditioned"]["sources"]["DCLM-w-URLs"]
    assert counts == {
        "documents": 10,
        "tokens": 15,
        "prefix_tokens": 10,
        "special_tokens": 15,
        "positions": 40,
        "loss_tokens": 20,
        "discarded": {},
        "conditioned": 10,
        "prefix_too_long": 0,
    }
    assert [(phase.loss_tokens, phase.loss_tokens_in_segments) for phase in manifest.phases] == [(20, 20), (32, 24)]
    assert manifest.ledger["sources"]["DCLM-cooldown"]["used"] == {"documents": 8, "tokens": 20}
    assert manifest.config["import"]["phases"][0]["domains"] == {"dclm-w-urls": 5}
    assert manifest.tokenizer["pad_id"] == PAD_ID


def test_two_workers_write_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "one", *folders)
    run(tmp_path / "two", *folders, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_import_goes_on_where_it_was_stopped(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", *folders)
    written: list[str] = []
    write = importing.write_record

    def stop(work: str, record: Any) -> None:
        write(work, record)
        written.append(record.entry.path)
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, "write_record", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", *folders)
    with pytest.raises(BylineError, match=r"no _manifest\.json, so this is not a finished build"):
        byline.open(tmp_path / "out")
    # Only an export that has begun is refused as one.
    check_finished(str(tmp_path / "out"))
    first = tmp_path / "out" / written[0]
    before = first.stat().st_mtime_ns
    # A machine that lost power may keep a name and lose bytes.
    second = tmp_path / "out" / written[1]
    second.write_bytes(bytes(second.stat().st_size))
    printed = run(tmp_path / "out", *folders)
    assert "import    2 of 4 shards are there already\n" in printed
    assert "import    damaged: conditioned-00001 had another sha256; made again\n" in printed
    assert first.stat().st_mtime_ns == before
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert run(tmp_path / "out", *folders) == f"import    nothing to do: {tmp_path}/out is finished\n"


def test_a_lost_shard_is_written_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", *folders)
    whole = contents(tmp_path / "out")
    (tmp_path / "out/conditioned/00001-of-00003.arrow").unlink()
    status, printed = verify(tmp_path / "out")
    assert status == 1
    assert "conditioned/00001-of-00003.arrow: missing; import again to write it" in printed
    assert "run `byline import` again: they alone are written" in printed
    assert (
        "import    missing or of another size in the finished build: 1 of 6 files "
        "(first: conditioned/00001-of-00003.arrow); written again\n"
    ) in run(tmp_path / "out", *folders)
    assert contents(tmp_path / "out") == whole


def test_another_import_is_replaced_only_if_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", *folders)
    with pytest.raises(BylineError, match="holds a finished build of another plan"):
        run(tmp_path / "out", folders[0])
    run(tmp_path / "out", folders[0], overwrite=True)
    run(tmp_path / "fresh", folders[0])
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/_plan.ipc").write_bytes(b"a plan")
    with pytest.raises(BylineError, match=r"has _plan.ipc, so it is the folder of a build; choose another folder"):
        run(tmp_path / "build", folders[0])


def test_what_an_unfinished_build_left_is_replaced(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path / "fresh", folders[0])
    shutil.copytree(tmp_path / "fresh", out)
    # As if it had been of a build: its plan, which is damaged, a shard, and the record that says that it is whole.
    (out / "_manifest.json").unlink()
    (out / "_import.json").rename(out / "_plan.ipc")
    (out / "conditioned").rename(out / "main")
    entry = ShardEntry("main/00000-of-00003.arrow", 2, 8, 8, 8, 1, "0" * 64)
    write_record(str(out / ".byline"), ShardRecord("0" * 64, "0", "main", 0, entry, PhaseLedger()))
    (out / "main/00001-of-00003.arrow").unlink()
    (out / "main/00002-of-00003.arrow").unlink()
    run(out, folders[0], overwrite=True)
    assert contents(out) == contents(tmp_path / "fresh")


# --------------------------------------------------------------------------------------------------------- and back


def test_what_comes_in_goes_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tmp_path / "out", folders[0], f"cooldown:{folders[1]}")
    assert exported(tmp_path / "out", tmp_path / "back") == [
        *(dict(conditioned(number)) for number in range(5)),
        *(dict(plain(number)) for number in range(4)),
    ]
    # Of samples with a mask, every byte.
    for number, samples in enumerate([[conditioned(0), conditioned(1)], [conditioned(2)]]):
        file = tmp_path / f"back/conditioned/{number:05d}-of-00003.00000.mds"
        assert file.read_bytes() == file_bytes(samples, MECO)
    run(tmp_path / "again", tmp_path / "back/conditioned", f"cooldown:{tmp_path}/back/cooldown")
    first, again = byline.open(tmp_path / "out"), byline.open(tmp_path / "again")
    for name in ("input_ids", "loss_mask", "seq_lengths"):
        assert np.array_equal(first.batch(range(9))[name], again.batch(range(9))[name])


@st.composite
def folder_of_samples(draw: st.DrawFn) -> list[list[Sample]]:
    """Files of samples of one length, with any masks and segments."""
    length = draw(st.integers(1, 12))
    files = []
    for _ in range(draw(st.integers(1, 3))):
        samples = []
        for _ in range(draw(st.integers(0, 4))):
            borders = sorted({0, length, *draw(st.sets(st.integers(1, length)))})
            ids = draw(st.lists(st.sampled_from([0, BOS_ID, EOS_ID, PAD_ID, 50, 99]), min_size=length, max_size=length))
            mask = draw(st.lists(st.integers(0, 1), min_size=length, max_size=length))
            pairs = [list(pair) for pair in pairwise(borders)]
            samples.append(meco_sample(ids, mask, pairs))
        files.append(samples)
    if not any(files):
        files[0].append(meco_sample([5] * length, [1] * length, [[0, length]]))
    return files


@examples(12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=folder_of_samples(), ids=st.sampled_from(["int32", "uint16"]), per_batch=st.integers(1, 3))
def test_any_samples_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    files: list[list[Sample]],
    ids: str,
    per_batch: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    samples = [dict(sample) for file in files for sample in file]
    write_mds(folder / "mds", files)
    monkeypatch.setattr(shard_writing, "rows_per_batch", lambda *_: per_batch)
    monkeypatch.setattr("byline.transforms.imports.imported_rows.rows_per_batch", lambda *_: per_batch)
    run(folder / "out", f"some:{folder}/mds", ids=ids)
    status, printed = verify(folder / "out")
    assert (status, printed.count("ok ")) == (0, 4), printed
    assert exported(folder / "out", folder / "back") == samples
    manifest = byline.open(folder / "out").manifest
    padding = manifest.ledger["phases"]["some"]["padding"]
    assert padding == sum(reference_padding(sample) for sample in samples)
    assert manifest.phases[0].loss_tokens == sum(sum(sample["mask"]) for sample in samples)


def reference_padding(sample: Sample) -> int:
    """Positions of a last segment that is padding throughout, and not the only one."""
    first, end = sample["indices"][-1]
    tokens = list(zip(sample["input_ids"], sample["mask"], strict=True))[first:end]
    return end - first if first > 0 and all(token == (PAD_ID, 0) for token in tokens) else 0


# ------------------------------------------------------------------------------------------------------ what is wrong


def refused(message: str, out: Path, *words: Path | str, **asked: Any) -> None:
    with pytest.raises(BylineError) as error:
        run(out, *words, **asked)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_cannot_be_imported_is_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out, (first, second) = tmp_path / "out", folders
    refused("token 30 at position 7 is none of the 30 of the vocabulary", out, first, vocabulary=30)
    refused("sample 0: token 30 at position 7", out, first, vocabulary=30)
    refused("two folders become the phase 'a'; name phases", out, f"a:{first}", f"a:{second}")
    refused("name the tokenizer that made the tokens: --tokenizer FILE, or --vocabulary", out, first, vocabulary=None)
    refused("--bos 'x': expected an id below 100; a token's name needs", out, first, named=NamedTokenizer(bos="x"))
    refused("--ids uint16: the vocabulary has 70,000 ids", out, first, vocabulary=70_000, ids="uint16")
    (first / "0-1/shard.00002.mds").rename(tmp_path / "moved")
    refused("1 of 3 files are missing or of another size than its list says (first: 0-1/shard.00002.mds)", out, first)
    damaged = (first / "0-0/shard.00000.mds").read_bytes()
    (first / "0-0/shard.00000.mds").write_bytes(bytes(len(damaged)))
    # Told before the first file is read.
    refused("1 of 3 files are missing or of another size than its list says (first: 0-1/shard.00002.mds)", out, first)
    (first / "0-0/shard.00000.mds").write_bytes(damaged)
    (first / "0-1/shard.00002.mds").symlink_to(tmp_path / "moved")
    refused("which is imported, or the reverse; choose another folder", first / "out", first)
    write_mds(tmp_path / "short", [[meco_sample([1, 2], [1, 1], [[0, 2]])]])
    refused("its samples have 2 tokens, those of", out, first, tmp_path / "short")
    assert not (out / "_manifest.json").exists()


def test_a_tokenizer_is_checked(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tokenizer_file(tmp_path)
    printed = run(tmp_path / "out", *folders, vocabulary=None, named=NamedTokenizer(file, eos=BOS, pad=PAD))
    assert "note conditioned: no segment begins or ends with the eos that was named; is this its tokenizer?" in printed
    assert "note of the tokenizer, bos is unknown: name it to have it counted" in printed
    tokenizer = byline.open(tmp_path / "out").manifest.tokenizer
    assert (tokenizer["name"], tokenizer["vocab_size"]) == ("tokenizer", 390)
    assert (tokenizer["bos_id"], tokenizer["eos_id"], tokenizer["pad_id"]) == (None, 0, 1)
    shown = io.StringIO()
    show_sequence(str(tmp_path / "out"), console=Console(file=shown, width=200))
    assert "ids alone" not in shown.getvalue()
    with pytest.raises(BylineError, match=r"--eos '</s>': no token of .*tokenizer.json; its special tokens are"):
        run(tmp_path / "out", *folders, vocabulary=None, named=NamedTokenizer(file, eos="</s>"))


@pytest.mark.parametrize(
    ("samples", "shards"),
    [([2, 2, 2], [[0, 1], [2]]), ([5, 1, 1], [[0], [1, 2]]), ([0, 4, 1], [[0, 1], [2]]), ([], [])],
)
def test_shards_are_of_whole_files(samples: list[int], shards: list[list[int]]) -> None:
    files = [ImportedFile(str(number), count, 0) for number, count in enumerate(samples)]
    assert shards_of(files, 4) == shards


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("DIR", NamedFolder("DIR")),
        ("a:DIR", NamedFolder("DIR", "a")),
        ("a-1:/x:y", NamedFolder("/x:y", "a-1")),
        ("s3://bucket/key", NamedFolder("s3://bucket/key")),
        ("cooldown:s3://bucket/key", NamedFolder("s3://bucket/key", "cooldown")),
        ("/x:y", NamedFolder("/x:y")),
    ],
)
def test_a_word_names_a_folder_and_perhaps_its_phase(word: str, named: NamedFolder) -> None:
    assert NamedFolder.of(word) == named


def test_the_commands(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"

    def cli(*words: str | Path) -> Result:
        return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=True, env={"COLUMNS": "200"})

    asked = ["--from", "mds-meco", "--vocabulary", "100", "--bos", "1", "--eos", "2", "--pad", "3", "--workers", "1"]
    done = cli("import", folders[0], f"cooldown:{folders[1]}", out, *asked)
    assert (done.exit_code, done.output.count("\n")) == (0, 2)
    done = cli("verify", out, "--workers", "1")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"verified: {out}")
    done = cli("verify", out, "--raw")
    assert str(done.exception) == f"{out}: is an import, whose check takes no --raw; leave it out"
    done = cli("inspect", out, "--row", "0")
    assert "ids alone: the import named no tokenizer.json; give it with --tokenizer FILE" in done.output
    assert "⟦⟨bos⟩ 10⟧ 20 21⟨eos⟩" in done.output
    done = cli("prompt", out, "text")
    assert str(done.exception) == (
        "an import does not say how its prefixes were made from metadata, so it has no prompts"
    )
