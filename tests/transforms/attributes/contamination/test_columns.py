"""The columns of documents, against the reference; the file of n-grams; and the summary."""

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from byline.schemas.documents import NUM_TOKENS, ROW, TEXT
from byline.transforms.attributes.contamination import columns
from byline.transforms.attributes.contamination.columns import Marked, mark_documents
from byline.transforms.attributes.contamination.items import Items
from byline.transforms.attributes.contamination.kind import _write_counts
from byline.transforms.attributes.contamination.ngram_file import read_ngrams, sets_of, write_ngrams
from byline.transforms.attributes.contamination.ngrams import EvaluationNgrams, make_ngrams
from byline.transforms.attributes.contamination.summary import summarize
from byline.transforms.attributes.contamination.words import hash_words
from byline.transforms.documents.text_parts import text_buffers
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from tests.reference import overlaps as reference
from tests.support import small

NAMES = ["arc", "gsm8k", "mmlu"]


def items_of(texts: list[str], sets: list[int]) -> Items:
    zeros = np.zeros(len(texts), np.int64)
    return Items(
        NAMES, pa.array(texts, pa.large_string()), np.array(sets, np.int64), ["x.jsonl"], zeros, np.arange(len(texts))
    )


def ngrams_of(items: Items, size: int, least: int) -> EvaluationNgrams:
    borders, data = text_buffers(items.texts)
    return make_ngrams(data, hash_words(data, borders), size, least)


def batch_of(texts: list[str]) -> pa.RecordBatch:
    columns = [pa.array(range(len(texts)), pa.int64()), pa.array(texts, pa.large_string())]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([ROW, TEXT]))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(small.tokenizer_file(tmp_path_factory.mktemp("columns")))


def marked(
    texts: list[str], items: Items, tokenizer: TextTokenizer, size: int = 3, least: Fraction = Fraction(0)
) -> Marked:
    batch = batch_of(texts)
    stored = np.diff(tokenizer.encode(batch["text"])[1]).astype(np.int32)
    batch = batch.append_column(NUM_TOKENS, pa.array(stored))
    ngrams = sets_of(ngrams_of(items, size, 2), items.sets)
    result = mark_documents(batch, "evals", ngrams, NAMES, least, tokenizer)
    for column in result.columns.values():
        column.validate(full=True)
        assert len(column) == len(texts)
    return result


def test_columns(tokenizer: TextTokenizer) -> None:
    items = items_of(["the quick brown fox", "a quick brown fox", "lazy dog"], [1, 0, 1])
    texts = ["The quick brown fox, he said.", "no", "", "the fox", "lazy dog! a quick brown fox"]
    made = marked(texts, items, tokenizer).columns
    assert made["evals"].to_pylist() == [True, False, False, False, True]
    assert made["evals_overlap"].to_pylist() == [np.float32(4 / 6), 0, 0, 0, 1]
    assert made["evals_sets"].to_pylist() == ["arc+gsm8k", None, None, None, "arc+gsm8k"]
    ranges = made["evals_ranges"].to_pylist()
    assert [row is None for row in ranges] == [False, True, True, True, False]
    ids = tokenizer.encode_by_reference(texts[0])
    (start, stop), names = ranges[0], {number: name for name, number in tokenizer.vocabulary.items()}
    assert "".join(names[token] for token in ids[start:stop]) == "TheĠquickĠbrownĠfox,"


def test_a_share_from_which_on_a_document_counts(tokenizer: TextTokenizer) -> None:
    items = items_of(["a b c"], [2])
    texts = ["a b c d e f", "a b c d e f g"]
    made = marked(texts, items, tokenizer, least=Fraction(1, 2)).columns
    assert made["evals"].to_pylist() == [True, False]
    assert made["evals_sets"].to_pylist() == ["mmlu", "mmlu"]
    assert made["evals_ranges"].null_count == 0


def test_against_the_reference_in_blocks(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.choices("abcdef", k=draw.randrange(12))) for _ in range(200)]
    items = items_of([" ".join(draw.choices("abcdef", k=draw.randrange(1, 7))) for _ in range(20)], [0, 1] * 10)
    whole = marked(texts, items, tokenizer)
    monkeypatch.setattr(columns, "_BLOCK_BYTES", 50)
    made = marked(texts, items, tokenizer)
    assert {name: column.to_pylist() for name, column in made.columns.items()} == {
        name: column.to_pylist() for name, column in whole.columns.items()
    }
    slow = reference.ngrams_of(items.texts.to_pylist(), 3, 2)
    overlaps = [reference.overlap_of(text, slow) for text in texts]
    sets = [sorted({NAMES[items.sets[item]] for item in overlap.items}) for overlap in overlaps]
    assert made.columns["evals_sets"].to_pylist() == ["+".join(names) or None for names in sets]
    shares = [np.float32(overlap.covered / max(overlap.words, 1)) for overlap in overlaps]
    assert made.columns["evals_overlap"].to_pylist() == shares
    assert made.documents.tolist() == [sum(name in names for names in sets) for name in NAMES]
    # In how many documents each n-gram is.
    number_of = {ngram: number for number, ngram in enumerate(slow)}
    counts = dict.fromkeys(number_of.values(), 0)
    for text in texts:
        for number in {number_of[n] for n in slow if reference.overlap_of(text, {n: {0}}).matches}:
            counts[number] += 1
    given = dict(zip(made.ngrams.tolist(), made.ngram_documents.tolist(), strict=True))
    assert sorted(given.values()) == sorted(count for count in counts.values() if count)


def test_the_file_of_ngrams(tmp_path: Path) -> None:
    items = items_of(["a b c d", "b c d", "x"], [1, 0, 1])
    written = sets_of(ngrams_of(items, 3, 2), items.sets)
    write_ngrams(str(tmp_path / "ngrams.arrow"), written)
    read = read_ngrams(str(tmp_path / "ngrams.arrow"))
    for before, after in zip((*written.table, *written[1:]), (*read.table, *read[1:]), strict=True):
        assert before.dtype == after.dtype
        assert before.tolist() == after.tolist()
    assert [written.sets[low:high].tolist() for low, high in ((0, 1), (1, 3))] == [[1], [0, 1]]


def test_the_summary(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    items = items_of(["a b c d", "b c d", "x", "p q r", "s"], [0, 1, 1, 1, 2])
    for number, (source, texts) in enumerate([("web", ["a b c d"] * 2), ("wiki", ["b c d", "-"]), ("web", ["p"])]):
        _write_counts(str(tmp_path / f"{number}.arrow"), source, batch_of(texts), marked(texts, items, tokenizer))
    uris = [str(tmp_path / f"{number}.arrow") for number in range(3)]
    summary = summarize(items, ngrams_of(items, 3, 2), uris)
    assert summary == summarize(items, ngrams_of(items, 3, 2), uris[::-1])
    assert summary["documents"] == 5
    assert summary["sets"]["gsm8k"] == {
        "items": 3,
        "items_checked": 2,
        "items_that_occur": 1,
        "documents": 3,
        "documents_by_source": {"web": 2, "wiki": 1},
    }
    assert summary["not_checked"] == ["gsm8k: x.jsonl, record 2", "mmlu: x.jsonl, record 4"]
    assert summary["most_frequent"][0] == {"ngram": "b c d", "documents": 3, "sets": ["arc", "gsm8k"]}
    assert summary["lines"] == [
        "arc: 1 items, 1 checked, 1 occur (100.0%), in documents: 2 of web, 1 of wiki",
        "gsm8k: 3 items, 2 checked, 1 occur (50.0%), in documents: 2 of web, 1 of wiki",
        "mmlu: 1 items, 0 checked, none occurs",
        "2 items have too few words to be checked, first: gsm8k: x.jsonl, record 2",
        "in most documents, 3: 'b c d' of arc and gsm8k",
    ]
