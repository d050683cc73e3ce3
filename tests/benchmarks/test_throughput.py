"""The benchmark of whole builds: its smoke run from end to end, and that what it measures and compares is right."""

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.throughput.__main__ import parse
from benchmarks.throughput.corpus import Inputs, bytes_of, copied, files_of, layouts_of, make_corpus
from benchmarks.throughput.measuring import CommandError, Measured, Memory, Traffic, measure
from benchmarks.throughput.peers import PEERS, too_few_tokens
from benchmarks.throughput.picture import draw
from benchmarks.throughput.plain_loop import Clock, build
from benchmarks.throughput.recipes import CONDITIONED, TOKENS, Outcome, Recipes, Way
from benchmarks.throughput.results import Results, Row
from benchmarks.throughput.turns import Bench
from byline.errors import BylineError
from byline.manifest import read_manifest
from byline.pipelines.recipes import load_recipe
from byline.transforms.corpora.made.sample_corpus import Page
from tests.support.corpora import GOOD, SPECIAL, write_model, write_tokenizer

ROOT = Path(__file__).parents[2]
# A process that works so long.
BUSY = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


# ------------------------------------------------------------------------------------------------- the smoke run


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the smoke run wrote, and what it printed."""
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "benchmarks.throughput", "--smoke", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_smoke_run_measures_every_way(smoke: tuple[Path, str]) -> None:
    results = json.loads((smoke[0] / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == [
        f"{recipe}: {way}"
        for recipe in (CONDITIONED, TOKENS)
        for way in ("plain loop", "byline build, 1 worker", "byline build, 2 workers")
    ]
    for row in results["rows"]:
        (outcome,) = row["outcomes"]
        assert outcome["cpu_seconds"] > 0
        assert outcome["text_bytes"] == results["text_bytes"] >= 1e6
        assert outcome["tokens"] == results["rows"][0]["outcomes"][0]["tokens"] > 0
        assert outcome["measured"]["memory"]["driver_private"] > 1e6
        assert outcome["measured"]["traffic"]["written"] > 1e5
    assert "score" in results["rows"][0]["outcomes"][0]["steps"]
    assert "score" not in results["rows"][3]["outcomes"][0]["steps"]
    assert results["rows"][2]["outcomes"][0]["measured"]["memory"]["workers"] >= 2


def test_the_smoke_run_prints_its_tables_and_leaves_no_builds(smoke: tuple[Path, str]) -> None:
    out, printed = smoke
    assert (out / "results.md").read_text() in printed
    assert "| tokens: byline build, 2 workers |" in printed
    assert not (out / "scratch").exists()


# ------------------------------------------------------------------------------------------------ what is built


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A small corpus, as what is measured and as what is built before."""
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder / "corpus", 4e5)
    write_model(folder / "quality.bin")
    write_tokenizer(folder / "tokenizer.json", ["the text of a document"])
    return Inputs(
        folder / "corpus", folder / "corpus", folder / "tokenizer.json", SPECIAL, folder / "quality.bin", GOOD
    )


@pytest.mark.parametrize("recipe", [CONDITIONED, TOKENS])
def test_the_plain_loop_writes_the_shards_of_a_build(tmp_path: Path, inputs: Inputs, recipe: str) -> None:
    recipes = Recipes.write(inputs, tmp_path)
    shards = {}
    for workers in (None, 1):
        output = tmp_path / str(workers)
        recipes.prepare(output)
        settings = [f"store={output / 'store'}", f"output={output / 'shards'}"]
        if workers is None:
            build(load_recipe(tmp_path / f"{recipe}.yaml", settings), Clock())
        else:
            subprocess.run(Way(recipe, workers).command(recipes, output), check=True, capture_output=True)
        manifest = read_manifest(output / "shards")
        shards[workers] = [entry for phase in manifest.phases for entry in phase.shards]
    assert shards[None] == shards[1]
    assert len(shards[1]) >= 1


def test_a_recipe_with_a_formatter_is_not_timed(tmp_path: Path, inputs: Inputs) -> None:
    Recipes.write(inputs, tmp_path)
    config = load_recipe(tmp_path / "tokens.yaml", ["sources.c4.formatter=fim", f"store={tmp_path / 'store'}"])
    with pytest.raises(BylineError, match="formatters or attributes is not timed"):
        build(config, Clock())


def test_a_corpus_has_its_size_in_three_layouts(inputs: Inputs) -> None:
    report = json.loads((inputs.corpus / "corpus.json").read_text())
    assert layouts_of(inputs.corpus) == ["dclm", "c4", "refinedweb"] == list(report)
    assert all(len(files_of(inputs.corpus, name)) == 4 for name in report)
    assert 4e5 <= sum(layout["bytes"] for layout in report.values()) < 4.6e5
    before = {path: path.stat().st_mtime_ns for path in inputs.corpus.rglob("*")}
    make_corpus(inputs.corpus, 4e5)
    assert before == {path: path.stat().st_mtime_ns for path in inputs.corpus.rglob("*")}


def test_copies_of_a_page_have_urls_of_their_own() -> None:
    pages = [Page("https://a.example/", "four"), Page("https://a.example/b?page=2", "fives")]
    assert [(page.url, page.text) for page in copied(pages, 20)] == [
        ("https://a.example/", "four"),
        ("https://a.example/b?page=2", "fives"),
        ("https://a.example/?copy=1", "four"),
        ("https://a.example/b?page=2&copy=1", "fives"),
        ("https://a.example/?copy=2", "four"),
    ]


@pytest.mark.parametrize(("size", "expected"), [("200MB", 2e8), ("1.5 GB", 1.5e9), ("2000kB", 2e6)])
def test_sizes(size: str, expected: float) -> None:
    assert bytes_of(size) == expected


@pytest.mark.parametrize("size", ["200", "MB", "1.2.3MB", "900KB", "-3MB"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(BylineError, match="expected 1MB or more"):
        bytes_of(size)


def test_a_folder_without_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"no corpus there; expected files of dclm/"):
        layouts_of(tmp_path)


# ---------------------------------------------------------------------------------------------------- measuring


def test_processes_that_nobody_waits_for_are_counted(tmp_path: Path) -> None:
    # The command ends at once; what it leaves behind works on, holds 60 MB, and writes 3 MB.
    left = "held = bytearray(60_000_000)\n" + BUSY.format(seconds=1.2)
    left += f"open({str(tmp_path / 'written')!r}, 'wb').write(bytes(3_000_000))"
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {left!r}])"
    measured = measure([sys.executable, "-c", code], tmp_path / "log")
    assert measured.cpu_seconds >= 1.2
    assert measured.memory is not None
    assert measured.traffic is not None
    assert 60e6 < measured.memory.worker_private < 90e6
    assert measured.memory.driver_private < 60e6
    assert measured.traffic.written >= 3e6


def test_shared_memory_is_counted_once(tmp_path: Path) -> None:
    code = "import os, time\nheld = bytearray(b'x') * 80_000_000\nos.wait() if os.fork() else time.sleep(3)"
    memory = measure([sys.executable, "-c", code], tmp_path / "log").memory
    assert memory is not None
    assert memory.workers == 1
    assert memory.driver_shared > 75e6
    assert memory.worker_shared > 75e6
    assert memory.worker_private < 40e6
    assert 80e6 < memory.whole < 130e6


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="exit status 1: no corpus"):
        measure([sys.executable, "-c", "raise SystemExit('no corpus')"], tmp_path / "log")


# ------------------------------------------------------------------------------------------------- other tools


def test_the_versions_of_other_tools_are_named() -> None:
    for peer in PEERS.values():
        lines = [line for line in peer.requirements.read_text().splitlines() if not line.startswith("#")]
        assert all(line.count("==") == 1 for line in lines)
        assert f"{peer.name}=={peer.version}" in lines


def test_a_tool_that_cannot_be_installed_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be installed: /no/python: No such file"):
        PEERS["dolma"].install(tmp_path, "/no/python", tmp_path / "log")


def test_a_tool_that_cannot_be_run_or_reads_too_little_is_left_out(tmp_path: Path, inputs: Inputs) -> None:
    bench = Bench(parse(["--smoke", "--out", str(tmp_path)]))
    bench.rows[Way(TOKENS)].outcomes.append(Outcome(Measured(1, 1), 1, 1, tokens=1000))
    for name in PEERS:
        bench.programs[name], bench.peer_rows[name] = tmp_path / "none", Row(name, TOKENS, "peer", 2)
    bench._measure_peers(1, inputs)
    assert list(bench.left_out) == ["datatrove", "dolma"]
    assert not bench.programs
    assert not bench.peer_rows
    assert too_few_tokens(Outcome(Measured(1, 1), 1, 1, tokens=900), 1000) == (
        "it wrote 900 tokens where Byline has 1,000: it did not read all documents"
    )
    assert too_few_tokens(Outcome(Measured(1, 1), 1, 1, tokens=1004), 1000) is None


def test_parquet_is_made_json_lines_for_dolma(tmp_path: Path, inputs: Inputs) -> None:
    PEERS["dolma"].prepare(inputs, tmp_path)
    rows = [json.loads(line) for path in tmp_path.iterdir() for line in gzip.decompress(path.read_bytes()).splitlines()]
    expected = [row for path in files_of(inputs.corpus, "refinedweb") for row in pq.read_table(path).to_pylist()]
    assert sorted((row["url"], row["text"]) for row in rows) == sorted((row["url"], row["content"]) for row in expected)
    command = PEERS["dolma"].command(tmp_path, inputs, tmp_path, tmp_path / "out", 2)
    assert str(tmp_path / "*.json.gz") in command
    assert not any(part.endswith(".parquet") for part in command)


# ----------------------------------------------------------------------------------------------------- results


def outcomes(*seconds: float) -> list[Outcome]:
    memory, traffic = Memory(1_000_000, 2_000_000, 3_000_000, 4_000_000, 1, 5_000_000), Traffic(6, 7, 8, 9_000_000)
    return [Outcome(Measured(one, 2 * one, one, memory, traffic), one, 2 * one, 1000, 10**8) for one in seconds]


@pytest.fixture
def results() -> Results:
    """Of 100 MB: loops of 4 s and 2 s, builds of 5, 3 and 4, 2.5 s, other tools of 20 and 50 s."""
    rows = []
    for recipe, (loop, one, two) in ((CONDITIONED, (4.0, 5.0, 3.0)), (TOKENS, (2.0, 4.0, 2.5))):
        loop_row = Row(f"{recipe} loop", recipe, "loop", None, "", outcomes(9.0, loop, 1.0))
        loop_row.outcomes[:] = [
            replace(one, steps={"plan": {"seconds": 1, "cpu_seconds": 1.0}}) for one in loop_row.outcomes
        ]
        rows += [loop_row, Row(f"{recipe} one", recipe, "byline", 1, "", outcomes(one))]
        rows.append(Row(f"{recipe} two", recipe, "byline", 2, "", outcomes(two)))
    rows += [Row("fast", TOKENS, "peer", 2, "", outcomes(20.0)), Row("slow", TOKENS, "peer", 2, "", outcomes(50.0))]
    return Results(10**8, "a corpus", rows, {"other": "it is not there"}, 3, "2026-01-02", "make bench", ["a note."])


def test_ratios(results: Results) -> None:
    by_name = {row.name: results.ratios(row) for row in results.rows}
    assert by_name["conditioned two"] == pytest.approx(
        {
            "speed_of_loop": 4 / 3,
            "speed_of_two_loops": 2 / 3,
            "cpu_of_loop": 3 / 4,
            "speed_of_fastest_peer": 20 / 3,
            "cpu_of_cheapest_peer": 3 / 20,
        }
    )
    assert by_name["slow"]["speed_of_loop"] == pytest.approx(2 / 50)
    assert results.cpu_of_more_workers() == pytest.approx({CONDITIONED: 3 / 5, TOKENS: 2.5 / 4})
    without = replace(results, rows=results.rows[:6])
    assert without.ratios(without.rows[1])["speed_of_fastest_peer"] is None


def test_tables(results: Results) -> None:
    text = results.markdown()
    assert "- other is left out: it is not there.\n- a note.\n" in text
    assert "| tokens two | 40.0 | 2.5 | 5.0 | 50 | 1.0 | 1 |" in text
    assert "| tokens two | 0.80 | 0.40 | 1.25 | 8.00 | 0.12 |" in text
    assert "| tokens two | 1 | 2 | 3 | 4 | 5 | 0 | 0 | 9 |" in text
    assert "| plan | 1.00, 12% | 1.00, 25% |" in text
    assert "conditioned: 0.60 times the processor seconds" in text


def test_what_is_written_can_be_read(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path)
    values: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())
    assert values["rows"][1]["megabytes_a_second"] == 20.0
    assert values["rows"][1]["cpu_seconds_a_gigabyte"] == 100.0
    assert len(values["rows"][0]["outcomes"]) == 3
    assert values["machine"]["cores"] >= 1


def test_without_matplotlib_there_is_no_picture(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw(results, tmp_path / "a.svg") == "no picture: matplotlib is not installed (pip install matplotlib)"
    assert not (tmp_path / "a.svg").exists()
