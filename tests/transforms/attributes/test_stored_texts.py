"""Texts of some documents of the token store, and files that are no longer those that were prepared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from byline.errors import BylineError
from byline.transforms.attributes.stored_documents import (
    ListedFile,
    Reading,
    StoredChunk,
    StoredFile,
    stored_documents,
    stored_texts,
)
from byline.transforms.corpora import reading, reading_transform
from tests.support import small

FORMATTED = {"format": "jsonl", "fields": {"question": "q", "answer": "a"}, "formatter": "qa"}


@pytest.fixture(params=["jsonl", "formatted"])
def listed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ListedFile, Reading]:
    """A file of some chunks, every third record of which is no document."""
    monkeypatch.setattr(reading.read_batches, "__defaults__", (1_000,))
    monkeypatch.setattr(reading_transform.ReadCorpus.__init__, "__defaults__", (1_000, None))
    small.tokenizer_file(tmp_path)
    (tmp_path / "a").mkdir()
    texts = ["" if number % 3 == 0 else f"text {number}" for number in range(60)]
    source = {"format": "jsonl"} if request.param == "jsonl" else FORMATTED
    records = [{"text": text, "q": text or None, "a": text or None} for text in texts]
    small.write_jsonl(tmp_path / "a" / "0.jsonl", records)
    sources = {"a": {**source, "path": str(tmp_path / "a" / "*.jsonl"), "malformed": "drop", "max_rejected": 1}}
    config = small.small_config(tmp_path, sources=sources)
    state = small.prepare_quietly(config)
    (file,) = state.inputs
    stored = StoredFile(replace(file, done=()), tuple(StoredChunk(run) for run in state.runs))
    assert len(stored.chunks) > 3
    return StoredFile.from_json(stored.to_json()), Reading.of(config)


def test_they_are_those_of_all_documents(listed: tuple[ListedFile, Reading]) -> None:
    chosen, expected = {}, []
    for number, batch in enumerate(stored_documents(*listed)):
        rows = np.arange(batch.num_rows)[number % 2 :: 2]
        if number != 1 and len(rows):
            chosen[number] = batch["row"].to_numpy()[rows]
            expected.append((number, batch["text"].take(rows).to_pylist()))
    found = [(info.chunk, texts.to_pylist()) for info, texts in stored_texts(*listed, chosen)]
    assert found == expected
    assert len(expected) > 2
    assert list(stored_texts(*listed, {})) == []


def test_a_file_that_has_changed(listed: tuple[ListedFile, Reading]) -> None:
    last = list(stored_documents(*listed))[-1]
    chunk, path = max(listed[0].chunks), Path(listed[0].file.uri)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-20]))
    with pytest.raises(
        BylineError, match=r"0\.jsonl: .*(chunk \d+ lacks documents|has changed since|it had 1?\d when)"
    ):
        list(stored_texts(*listed, {chunk: last["row"].to_numpy()}))


def test_one_of_as_many_records_that_are_others(listed: tuple[ListedFile, Reading]) -> None:
    first = next(iter(stored_documents(*listed)))
    path = Path(listed[0].file.uri)
    path.write_bytes(path.read_bytes().replace(b"text 1", b"text 11"))
    with pytest.raises(BylineError, match="has changed since it was listed"):
        list(stored_texts(*listed, {0: first["row"].to_numpy()}))
