"""The checks of a shard: alone, in a pipeline, and against a build whose files are not what they were."""

import shutil
from functools import partial
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from byline.transforms.checks.reports import ShardReport, read_documents, read_report
from byline.transforms.checks.shard_checks import check_shard, open_checker
from byline.transforms.checks.shards import CheckJob, ShardChecker
from byline.transforms.documents.run_lines_transform import RunLines
from byline.transforms.files.local_copies import fetched
from tests.support import small
from tests.support.builds import build


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phases of several shards, of 60 documents of 8 tokens."""
    folder = tmp_path_factory.mktemp("shards")
    small.tokenizer_file(folder)
    (folder / "a.jsonl").write_text('{"text": "the quick brown fox"}\n' * 60)
    return build(
        {
            "sources": {"a": {"format": "jsonl", "path": str(folder / "a.jsonl")}},
            "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD},
            "sequence": {"length": 8},
            "shard": {"sequences": 4},
            "phases": [{"name": "main", "share": 0.75}, {"name": "last", "share": 0.25}],
            "store": str(folder / "store"),
            "output": str(folder / "out"),
        }
    )


def job(out: Path, work: Path, below: int = 2**32) -> CheckJob:
    return CheckJob(str(out), None, str(work), below, compares_store=False)


def same(one: ShardReport, other: ShardReport) -> bool:
    samples = [[(some.where, some.ids.tolist()) for some in report.samples] for report in (one, other)]
    stages = [{**vars(report), "samples": None} for report in (one, other)]
    return stages[0] == stages[1] and samples[0] == samples[1]


def test_a_pipeline_reports_what_the_checker_does(out: Path, tmp_path: Path) -> None:
    known = job(out, tmp_path / "work")
    checker = ShardChecker(known)
    numbers = [str(number) for number in range(len(checker.shards))]
    assert len(numbers) > 4
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(numbers) | RunLines(partial(check_shard, known))
    found = [checker.check(*shard) for shard in checker.shards]
    for number, (report, documents) in enumerate(found):
        assert same(read_report(known.report_uri(number)), report)
        assert read_documents(known.report_uri(number)).tolist() == documents.tolist()
    reports, phases = [report for report, _ in found], checker.build.manifest.phases
    assert [report.path for report in reports] == [entry.path for phase in phases for entry in phase.shards]
    assert sum(len(documents) for _, documents in found) == 60
    assert sum(len(report.samples) for report in reports) == 60
    assert not any(report.problems + report.row_problems for report in reports)


def test_samples_are_as_many_as_asked_for(out: Path, tmp_path: Path) -> None:
    few, none = (ShardChecker(job(out, tmp_path, below)) for below in (2**30, 0))
    found = [sample for shard in few.shards for sample in few.check(*shard)[0].samples]
    assert 5 <= len(found) <= 25
    assert not any(none.check(*shard)[0].samples for shard in none.shards)


def test_a_process_opens_a_build_once_a_job(out: Path, tmp_path: Path) -> None:
    """A worker that goes on to another command must not know the files of the one before."""
    first = open_checker(job(out, tmp_path / "1"))
    assert open_checker(job(out, tmp_path / "1")) is first
    assert open_checker(job(out, tmp_path / "2")) is not first


def test_a_shard_that_is_gone_and_one_that_is_cut(out: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    checker = ShardChecker(job(copy, tmp_path / "work"))
    gone, cut = checker.shards[:2]
    (copy / gone[0].shards[0].path).unlink()
    path = copy / cut[0].shards[1].path
    path.write_bytes(path.read_bytes()[:-20])
    (missing, _), (damaged, documents) = checker.check(*gone), checker.check(*cut)
    assert missing.problems == [f"{missing.path}: missing; build again to write it"]
    assert [problem.split(" ")[1] for problem in damaged.problems] == [f"{path.stat().st_size:,}", "sha256"]
    assert (missing.counts, damaged.counts) == (None, None)
    assert (missing.is_whole, damaged.is_whole, len(documents)) == (False, False, 0)


def test_a_file_on_a_disk_is_read_where_it_is(out: Path) -> None:
    path = str(next(out.rglob("*.arrow")))
    with fetched(path) as found, pa.memory_map(found) as source:
        assert found == path
        assert source.size() > 0
