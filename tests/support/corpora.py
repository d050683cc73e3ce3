"""Writes tiny raw corpora in every layout, with a tokenizer and a fastText model, and reads them back in plain Python.

```
ROOT/dclm/global-shard_01/local-shard_0/shard_0.jsonl.zst   several frames, a score of its own, more keys
ROOT/c4/c4-train.00000-of-00003.json.gz                     the last file has no document worth keeping
ROOT/refinedweb/train-0.parquet                             several row groups
ROOT/mine/part-0.jsonl                                      {"body": ..., "metadata": {"url": ...}, "license": ...}
ROOT/mine/empty.jsonl                                       no record at all
ROOT/tokenizer.json   ROOT/quality.bin
```

Every file has records without a text, with an empty or a blank one, with odd URLs, and with the name of a special token
in the text.
"""

import gzip
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
import zstandard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = "<|endoftext|>"
GOOD, BAD = "__label__hq", "__label__lq"
GIVEN_SCORE = "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob"
GOOD_WORDS = [
    "theorem",
    "proof",
    "river",
    "harvest",
    "engine",
    "molecule",
    "theory",
    "granite",
    "orbit",
    "lantern",
    "museum",
    "glacier",
]
BAD_WORDS = [
    "click",
    "buy",
    "cheap",
    "now",
    "free",
    "offer",
    "login",
    "cookie",
    "banner",
    "popup",
    "discount",
    "subscribe",
]
COMMON_WORDS = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "is",
    "it",
    "that",
    "was",
    "for",
    "on",
    "with",
    "as",
    "by",
    "at",
    "from",
    "this",
    "be",
    "are",
]
HOSTS = [
    "example.org",
    "en.wikipedia.org",
    "WWW.Example.co.uk",
    "a.b.example.com:8080",
    "blog.example.net",
    "192.0.2.1",
]
ODD_URLS = [None, "", "not a url", "mailto:a@example.org", "http://[::1", "http://münchen.example/straße"]
SOURCES = ("c4", "dclm", "mine", "refinedweb")


@dataclass(frozen=True)
class Record:
    """One raw record; a text of None is null or, if the layout allows it, absent."""

    url: str | None
    text: str | None


@dataclass(frozen=True)
class Corpus:
    """The locations of everything that `write_corpus` wrote."""

    root: Path

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer.json"

    @property
    def model(self) -> Path:
        return self.root / "quality.bin"

    def files(self, source: str) -> list[Path]:
        """The input files of a source, in order of path."""
        return sorted(path for path in (self.root / source).rglob("*") if path.is_file())


def make_records(seed: int, count: int) -> list[Record]:
    """`count` ordinary records and, among them, one of each awkward kind."""
    chance = random.Random(seed)
    records = [_record(chance) for _ in range(count)]
    awkward = [Record("http://example.org/none", None), Record("http://example.org/empty", "")]
    awkward += [
        Record("http://example.org/blank", " \n\t\u00a0"),
        Record(None, f"the name {SPECIAL} of a river {SPECIAL}"),
    ]
    awkward += [Record(url, _text(chance, 12)) for url in ODD_URLS]
    for record in awkward:
        records.insert(chance.randrange(len(records) + 1), record)
    return records


def _record(chance: random.Random) -> Record:
    # Short texts, and some that are longer than a sequence.
    size = chance.choice([3, 8, 20, 40, 40, 80, 200])
    return Record(
        f"https://{chance.choice(HOSTS)}/{chance.randrange(1000)}?q={chance.randrange(9)}", _text(chance, size)
    )


def _text(chance: random.Random, words: int) -> str:
    own = GOOD_WORDS if chance.random() < 0.5 else BAD_WORDS
    picked = [chance.choice(own if chance.random() < 0.4 else COMMON_WORDS) for _ in range(words)]
    ends = [chance.choice([" ", " ", " ", ". ", "\n", "\n\n", " é漢 "]) for _ in picked]
    return "".join(word + end for word, end in zip(picked, ends, strict=True)).strip()


def write_corpus(root: Path, files: int = 2, count: int = 80) -> Corpus:
    """Writes all sources (each `files` files with `count` ordinary records), the tokenizer and the model."""
    everything: list[Record] = []
    for number in range(files):
        parts = [make_records(10 * number + source, count) for source in range(4)]
        everything += [record for part in parts for record in part]
        write_dclm(root / f"dclm/global-shard_01/local-shard_{number % 2}/shard_{number}.jsonl.zst", parts[0])
        write_c4(root / f"c4/c4-train.{number:05d}-of-{files + 1:05d}.json.gz", parts[1])
        write_refinedweb(root / f"refinedweb/train-{number}.parquet", parts[2])
        write_jsonl(root / f"mine/part-{number}.jsonl", parts[3])
    write_c4(
        root / f"c4/c4-train.{files:05d}-of-{files + 1:05d}.json.gz", [Record(None, text) for text in (None, "", "  ")]
    )
    (root / "mine/empty.jsonl").write_bytes(b"")
    write_tokenizer(root / "tokenizer.json", [record.text for record in everything if record.text])
    write_model(root / "quality.bin")
    return Corpus(root)


def write_dclm(path: Path, records: Sequence[Record]) -> None:
    """DCLM's keys and its own score; a zstd frame for every 20 records, as the published files have many."""
    lines = []
    for number, record in enumerate(records):
        extra = {"bff_contained_ngram_count_before_dedupe": 0, "language_id_whole_page_fasttext": {"en": 0.9}}
        extra |= {"metadata": {"WARC-Type": "response"}, GIVEN_SCORE: (number * 37 % 101) / 101}
        lines.append(json.dumps({"text": record.text, "url": record.url, **extra}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = ["".join(lines[start : start + 20]).encode() for start in range(0, len(lines), 20)]
    path.write_bytes(b"".join(zstandard.compress(frame) for frame in frames))


def write_c4(path: Path, records: Sequence[Record]) -> None:
    """C4's keys; a text of None is left out."""
    lines = []
    for record in records:
        text = {} if record.text is None else {"text": record.text}
        lines.append(json.dumps({**text, "timestamp": "2019-04-25T12:57:54Z", "url": record.url}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def write_refinedweb(path: Path, records: Sequence[Record]) -> None:
    """RefinedWeb's columns, in row groups of 25."""
    table = pa.table(
        {
            "content": pa.array([record.text for record in records], pa.string()),
            "url": pa.array([record.url for record in records], pa.string()),
            "timestamp": pa.array([0] * len(records), pa.timestamp("s")),
            "dump": ["CC-MAIN-2013-20"] * len(records),
            "segment": ["1368696381249"] * len(records),
            "image_urls": pa.array(
                [[["http://example.org/a.png", "a"]]] * len(records), pa.list_(pa.list_(pa.string()))
            ),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=25)


def write_jsonl(path: Path, records: Sequence[Record]) -> None:
    """JSON lines in a custom layout: `body`, `metadata.url`, `license`; some blank lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as sink:
        for number, record in enumerate(records):
            value = {"body": record.text, "metadata": {"url": record.url, "id": number}, "license": f"cc-{number % 3}"}
            sink.write(json.dumps(value, ensure_ascii=False) + "\n" + "\n" * (number % 10 == 9))


def write_tokenizer(path: Path, texts: Sequence[str], size: int = 600) -> None:
    """A byte-level BPE with one special token, trained on the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[SPECIAL], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def write_model(path: Path) -> None:
    """A two-label fastText model of words and pairs of words."""
    chance = random.Random(1)
    lines = []
    for _ in range(200):
        label, words = chance.choice([(GOOD, GOOD_WORDS), (BAD, BAD_WORDS)])
        lines.append(f"{label} {' '.join(chance.choice([*words, *COMMON_WORDS]) for _ in range(15))}\n")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(lines))
        file.flush()
        model = fasttext.train_supervised(
            file.name, dim=4, epoch=3, lr=0.5, wordNgrams=2, bucket=1000, thread=1, verbose=0, minCount=1
        )
    model.save_model(str(path))


def read_raw(path: Path) -> Iterator[Record]:
    """The records of an input file, read without Byline."""
    if path.suffix == ".parquet":
        for row in pq.read_table(path).to_pylist():
            yield Record(row["url"], row["content"])
        return
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    for line in content.decode().split("\n"):
        if line.strip():
            row = json.loads(line)
            url = row["metadata"]["url"] if "body" in row else row["url"]
            yield Record(url, row.get("body", row.get("text")))


def recipe(corpus: Corpus, folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration over the corpus: two phases, conditioned on the host, the best 70 % by quality.

    Args:
        corpus: what to read.
        folder: for the token store and the output.
        changes: other values for top-level keys; None drops a key.
    """
    top = {"top": 0.7, "by": "quality"}
    values: dict[str, Any] = {
        "sources": {
            "c4": {"format": "c4", "path": f"{corpus.root}/c4/*.json.gz"},
            "dclm": {
                "format": "dclm",
                "path": f"{corpus.root}/dclm/**/*.jsonl.zst",
                "score": {"quality": GIVEN_SCORE},
            },
            "mine": {
                "format": "jsonl",
                "path": f"{corpus.root}/mine/*.jsonl",
                "fields": {"text": "body", "url": "metadata.url"},
                "keep": ["license"],
            },
            "refinedweb": {"format": "refinedweb", "path": f"{corpus.root}/refinedweb/*.parquet"},
        },
        "classifiers": {"quality": {"model": str(corpus.model), "label": GOOD}},
        "tokenizer": {"file": str(corpus.tokenizer), "bos": SPECIAL, "eos": SPECIAL},
        "sequence": {"length": 64, "packing": "document_start"},
        "shard": {"sequences": 32},
        "tokens": 10_000,
        "mixture": {"dclm": 0.4, "c4": 0.25, "refinedweb": 0.2, "mine": 0.15},
        "phases": [
            {"name": "conditioned", "share": 0.9, "select": top, "condition": {"template": "URL: {host}\n\n"}},
            {"name": "cooldown", "share": 0.1, "select": top},
        ],
        "store": str(folder / "store"),
        "output": str(folder / "shards"),
    }
    # These corpora are small, and every kind of record that is dropped is in them.
    for source in values["sources"].values():
        source["max_rejected"] = 1
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


def write_recipe(path: Path, values: dict[str, Any]) -> Path:
    """Writes a configuration as YAML, keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
