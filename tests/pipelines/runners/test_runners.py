"""The same bytes, however a build is run: one worker or two processes, inputs in any order, another root, once more."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.runners.settings import SMALL_INPUT_BYTES, RunnerSettings
from tests.support.builds import build, digests, verify
from tests.support.corpora import Corpus, recipe

Values = dict[str, Any]


def with_paths(values: Values, paths: dict[str, Any]) -> Values:
    sources = {name: {**source, "path": paths.get(name, source["path"])} for name, source in values["sources"].items()}
    return {**values, "sources": sources}


def patterns_in_another_order(values: Values, corpus: Corpus) -> Values:
    """The files of a source one by one, last first, some of them twice."""
    c4 = [f"{corpus.root}/c4/c4-train.0000{number}-of-00003.json.gz" for number in (2, 1, 0)]
    mine = [f"{corpus.root}/mine/part-*.jsonl", f"{corpus.root}/mine/*.jsonl"]
    return with_paths(values, {"c4": [*c4, f"{corpus.root}/c4/*"], "mine": mine})


def sources_in_another_order(values: Values, corpus: Corpus) -> Values:
    """Sources, classifiers' and mixture's keys from last to first."""
    turned = {key: dict(reversed(list(values[key].items()))) for key in ("sources", "classifiers", "mixture")}
    return dict(reversed(list({**values, **turned}.items())))


def another_root(values: Values, corpus: Corpus) -> Values:
    """All inputs, the tokenizer and the model somewhere else; copied, so with other times and inode numbers."""
    root = Path(values["store"]).parent / "moved" / "data"
    shutil.copytree(corpus.root, root)
    moved = recipe(Corpus(root), Path(values["store"]).parent)
    return {**moved, "output": values["output"]}


CHANGES = [patterns_in_another_order, sources_in_another_order, another_root]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_same_bytes(
    built: Path, corpus: Corpus, tmp_path: Path, change: Callable[[Values, Corpus], Values]
) -> None:
    values = recipe(corpus, tmp_path)
    changed = change(values, corpus)
    assert json.dumps(changed) != json.dumps(values)
    assert digests(build(changed)) == digests(built)
    # The runs of the token store, too; their folders' names are fingerprints, which name no path.
    assert digests(tmp_path / "store") == digests(built.parent / "store")


def test_two_processes_write_the_same_bytes(built: Path, corpus: Corpus, tmp_path: Path) -> None:
    out = build(recipe(corpus, tmp_path), workers=2)
    assert digests(out) == digests(built)
    assert verify(out)[0] == 0


@pytest.mark.parametrize(
    ("workers", "size", "expected"),
    [(None, SMALL_INPUT_BYTES - 1, 1), (1, 10**12, 1), (3, 1, 3)],
)
def test_how_many_workers(workers: int | None, size: int, expected: int) -> None:
    assert RunnerSettings(workers).workers_for(size) == expected


def test_a_worker_for_each_core_where_the_input_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert RunnerSettings().workers_for(SMALL_INPUT_BYTES) == 7
