"""Where the scans of a plan are made: in this process for a small token store, by the runner for another one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.jobs import plan as planning
from byline.pipelines.jobs.plan import make_recipe_plan, scan_bytes
from byline.pipelines.runners import runner
from byline.pipelines.runners import settings as runner_settings
from byline.pipelines.runners.settings import Runner, RunnerSettings
from byline.pipelines.wiring import lines
from byline.schemas.config import Config
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.store.state import StoreState
from tests.support import small

ALONE = RunnerSettings(workers=1)


@dataclass
class Prepared:
    """A token store of two sources, and what its recipe is planned to."""

    config: Config
    state: StoreState
    plan: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.plan = make_recipe_plan(self.config, self.state, [], ALONE).to_bytes()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    small.tokenizer_file(folder)
    for source in "ab":
        records = [{"text": f"the quick fox {source} {number}", "quality": number / 7} for number in range(60)]
        small.write_jsonl(folder / source / "x.jsonl", map(small.with_kept_fields, records))
    select = {"top": 0.5, "by": "quality"}
    config = small.small_config(
        folder, tokens=256, shard={"sequences": 4}, phases=[{"name": "only", "share": 1, "select": select}]
    )
    return Prepared(config, small.prepare_quietly(config))


def refuse(*_: object) -> None:
    raise AssertionError("a job")


def files_of(store: str) -> set[Path]:
    return {path for path in Path(store).rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", list(Runner), ids=lambda kind: kind.value)
def test_a_small_store_is_counted_here_on_every_runner(
    prepared: Prepared, kind: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "run_pipeline", refuse)
    # No file of a job is written either: who may only read the store can plan.
    monkeypatch.setattr(lines, "write_lines", refuse)
    monkeypatch.setattr(planning, "write_counter", refuse)
    settings = RunnerSettings(workers=3, runner=kind.value)
    assert make_recipe_plan(prepared.config, prepared.state, [], settings).to_bytes() == prepared.plan


@pytest.mark.parametrize(("more", "jobs"), [(1, 0), (0, 3)])
def test_from_the_limit_on_each_scan_is_a_job(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, more: int, jobs: int
) -> None:
    size = scan_bytes(prepared.state.files)
    monkeypatch.setattr(runner_settings, "SMALL_SCAN_BYTES", size + more)
    seen: list[tuple[RunnerSettings, int]] = []

    def note(wire: Callable[..., Any], settings: RunnerSettings, input_bytes: int, begun: None) -> Any:
        seen.append((settings, input_bytes))
        return runner.run_pipeline(wire, settings, input_bytes)

    monkeypatch.setattr(lines, "run_pipeline", note)
    before = files_of(prepared.config.store)
    assert make_recipe_plan(prepared.config, prepared.state, [], ALONE).to_bytes() == prepared.plan
    # A digit of the score's boundary, a sample, and what is drawn.
    assert seen == [(ALONE, size)] * jobs
    assert files_of(prepared.config.store) == before


def test_what_a_scan_reads() -> None:
    def run(rows: int) -> RunInfo:
        return RunInfo("", "a", "x", 0, True, 0, rows, 0, {}, 0, rows, 0, 0, [])

    files = [RunFile([run(10)], [0], 0, "one"), RunFile([run(5), run(0), run(100)], [0, 4, 9], 0, "merged")]
    assert scan_bytes([]) == 0
    assert scan_bytes(files) == 24 * (10 + 5 + 100) + 16384 * (2 + 4)


def test_a_run_of_few_long_documents_is_not_small() -> None:
    """11 million books are a thousand times as many reads as 11 million pages."""
    books = RunFile([RunInfo("", "a", "x", 0, True, 0, 5_000, 0, {}, 0, 5_000, 0, 0, [])], [0] * 20_000, 0, "books")
    assert not runner_settings.is_worth_a_job(24 * 5_000)
    assert runner_settings.is_worth_a_job(scan_bytes([books]))
