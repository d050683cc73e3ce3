"""Fuzzed files that a recipe names: corpora, tables, models and tokenizers."""

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz.builds import SENTENCES
from benchmarks.fuzz.mutations import mutated_bytes, mutated_value

# --- models


def prepare_models(work: Path) -> None:
    """Trained models of every loss, plain and quantized."""
    import fasttext

    examples = {labels: work / f"examples-{labels}.txt" for labels in (3, 300)}
    for labels, path in examples.items():
        words = (" ".join(f"w{row * k % 11}" for k in range(9)) for row in range(max(120, labels)))
        path.write_text("".join(f"__label__{row % labels} {line}\n" for row, line in enumerate(words)))
    kinds: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
        ({}, None),
        ({"wordNgrams": 2}, None),
        ({"minn": 2, "maxn": 3}, None),
        ({"loss": "hs"}, None),
        ({"loss": "ns"}, None),
        ({"loss": "ova"}, None),
        ({"wordNgrams": 2}, {"qnorm": True}),
        ({"minn": 2, "maxn": 3}, {"cutoff": 280, "qnorm": True, "qout": True}),
    ]
    for number, (settings, quantized) in enumerate(kinds):
        shape = {"dim": 6, "bucket": 300, "epoch": 2, "minCount": 1, "thread": 1, "verbose": 0, **settings}
        # A matrix is quantized from 256 rows on: of the output these are labels.
        path = str(examples[300 if quantized and quantized.get("qout") else 3])
        model = fasttext.train_supervised(path, **shape)
        if quantized is not None:
            model.quantize(path, verbose=0, thread=1, **quantized)
        model.save_model(str(work / f"model-{number}.bin"))


def make_model(chance: random.Random, work: Path) -> tuple[bytes, str]:
    """One of the models, changed."""
    content = chance.choice(sorted(work.glob("model-*.bin"))).read_bytes()
    header = [*((at, 4) for at in range(0, 56, 4)), *((at, 4) for at in (64, 68, 72)), (76, 8), (84, 8)]
    # Behind the dictionary, every number of 4 bytes may be a size.
    behind = [(at, 4) for at in range(92, min(len(content), 1200))]
    return mutated_bytes(chance, content, [*header * 8, *behind]), ".bin"


def read_model(path: Path, work: Path) -> None:
    """Scores a few texts."""
    import shutil

    import pyarrow as pa

    from byline.transforms.scores.fasttext_folding import open_model

    cache = work / f"cache-{os.getpid()}"
    try:
        texts = ["w1 w2 w3", "", "unknown words", "w5 " * 3000, None, "日本 é", "</s> w1", "__label__1 w2"]
        open_model(str(path), str(cache)).probabilities(pa.array(texts, pa.large_string()))
    finally:
        shutil.rmtree(cache, ignore_errors=True)


# --- tables


_TABLES = (
    b"step,domain,loss,reference_loss\n1,a,1.5,2\n1,b,2,2\n2,a,1,2\n2,b,1.5,2\n",
    b'{"step": 1, "domain": "a", "loss": 1.5}\n{"step": 1, "domain": "b", "loss": 2}\n'
    b'{"step": 2, "domain": "a", "loss": 1}\n{"step": 2, "domain": "b", "loss": 1}\n',
    b"from,to,weight\na,a,1\na,b,0.5\nb,b,1\n",
    b'{"from": "a", "to": "a", "weight": 1}\n{"from": "b", "to": "b", "weight": 0.5}\n',
)
_LINES = (
    b"null",
    b"1",
    b"[]",
    b"{}",
    b'"x"',
    b"true",
    b"",
    b"{",
    b"[[[[",
    b'{"step": {}}',
    b'{"step": [null]}',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
)


def make_table(chance: random.Random, _: Path) -> tuple[bytes, str]:
    """A table of losses or a graph of skills, changed."""
    content = chance.choice(_TABLES)
    suffix = ".jsonl" if content.startswith(b"{") else ".csv"
    return _changed_lines(chance, content, suffix == ".jsonl"), suffix


def _changed_lines(chance: random.Random, content: bytes, is_json: bool) -> bytes:
    """Lines with one of them replaced by another value, changed as JSON, or bytes changed."""
    lines = content.splitlines(keepends=True)
    number, how = chance.randrange(len(lines)), chance.random()
    if how < 0.3:
        lines[number] = chance.choice(_LINES) + chance.choice((b"\n", b"\r\n", b""))
    elif how < 0.7 and is_json:
        lines[number] = json.dumps(mutated_value(chance, json.loads(lines[number]))).encode() + b"\n"
    elif how < 0.8:
        lines = [chance.choice(_LINES) + b"\n" for _ in range(chance.randrange(4))]
    else:
        return mutated_bytes(chance, content)
    return b"".join(lines)


def read_table(path: Path, _: Path) -> None:
    """Reads it as either."""
    from byline.errors import BylineError
    from byline.schemas.loss_table import read_graph, read_losses

    refusals = []
    for read in (
        lambda: read_losses(path, [("loss", "reference_loss"), ("loss",)]),
        lambda: read_graph(path, ["a", "b"]),
    ):
        try:
            read()
        except BylineError as error:
            refusals.append(error)
    if len(refusals) == 2:
        raise refusals[0]


# --- corpora


_RECORDS = "".join(
    json.dumps(
        {
            "text": f"text {row} é",
            "url": f"https://h{row}.example/",
            "meta": {"n": row, "tags": ["x", None]},
            "s": row / 2,
        }
    )
    + "\n"
    for row in range(12)
).encode()
_SOURCE: dict[str, Any] = {
    "fields": {"text": "text", "url": "url"},
    "keep": {"meta": "string"},
    "score": {"q": "s"},
    "malformed": "drop",
}


def make_json(chance: random.Random, _: Path) -> tuple[bytes, str]:
    """JSON lines, changed; some are compressed, and changed then."""
    import gzip

    content = _changed_lines(chance, _RECORDS, True)
    if chance.random() < 0.2:
        return mutated_bytes(chance, gzip.compress(content, mtime=0)), ".jsonl.gz"
    return content, ".jsonl"


def corpus_reader(layout: str) -> Callable[[Path, Path], None]:
    """What reads a file of a corpus in a format."""

    def read(path: Path, _: Path) -> None:
        from byline.schemas.corpora import Source
        from byline.transforms.corpora.listing import list_inputs
        from byline.transforms.corpora.reading import read_batches

        source = Source(**{**_SOURCE, "format": layout, "path": str(path)})
        for file in list_inputs("s", source):
            for batch in read_batches(file, source):
                batch.validate(full=True)

    return read


_PARQUET: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "zstd"},
    {"use_dictionary": False, "data_page_version": "2.0"},
    {"row_group_size": 5, "store_schema": False, "write_page_index": True, "write_page_checksum": True},
    {
        "use_dictionary": False,
        "compression": "none",
        "column_encoding": {"text": "DELTA_BYTE_ARRAY", "url": "DELTA_LENGTH_BYTE_ARRAY", "s": "BYTE_STREAM_SPLIT"},
    },
    {"compression": "gzip", "row_group_size": 7, "dictionary_pagesize_limit": 40, "data_page_size": 40},
)


def prepare_parquet(work: Path) -> None:
    """Parquet files with the same records, written in several ways."""
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    table = pa.json.read_json(io.BytesIO(_RECORDS))
    for number, options in enumerate(_PARQUET):
        pq.write_table(table, work / f"corpus-{number}.parquet", **options)


def make_parquet(chance: random.Random, work: Path) -> tuple[bytes, str]:
    """One of the Parquet files, changed."""
    content = chance.choice(sorted(work.glob("corpus-*.parquet"))).read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    return mutated_bytes(chance, content, [(at, 1) for at in range(len(content) - footer, len(content))]), ".parquet"


# --- tokenizers


def prepare_tokenizers(work: Path) -> None:
    """A tokenizer of each of three kinds of model."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    from tests.support.corpora import write_tokenizer

    write_tokenizer(work / "tokenizer-bpe.json", SENTENCES, 300)
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "##s": 2, "fox": 3}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    (work / "tokenizer-words.json").write_text(words.to_str())
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("the", -1.0), ("fox", -2.0), ("a", -3.0)], 0, False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    (work / "tokenizer-unigram.json").write_text(unigram.to_str())


def make_tokenizer(chance: random.Random, work: Path) -> tuple[bytes, str]:
    """One of the tokenizers, with values or bytes changed."""
    content = chance.choice(sorted(work.glob("tokenizer-*.json"))).read_bytes()
    if chance.random() < 0.8:
        return json.dumps(mutated_value(chance, json.loads(content))).encode(), ".json"
    return mutated_bytes(chance, content), ".json"


def read_tokenizer(path: Path, _: Path) -> None:
    """Encodes a few texts."""
    import pyarrow as pa

    from byline.transforms.tokens.text_tokenizer import TextTokenizer

    tokenizer = TextTokenizer(str(path))
    tokenizer.encode(pa.array(["the fox", "", "é日本 \U0001f600", "<|endoftext|> a", "x" * 3000], pa.large_string()))
