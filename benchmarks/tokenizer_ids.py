"""Whether a tokenizer's ids are the reference's, how many documents go to the reference, and how fast it is.

```
python -m benchmarks.tokenizer_ids --tokenizer tokenizer.json --kind llama_3 --random 5 'corpus/*.jsonl.gz'
             documents      MB  to tokenizers  differing  gigatoken alone        as Byline       tokenizers
tokenizer.json: read in 0.9 s, compared in 1.6 s
  corpus        12,043    50.0          0.02%          0       142.0 MB/s       140.0 MB/s         2.4 MB/s
```

Documents are the `text` of JSON lines (plain, .gz or .zst), or of Parquet files; `--random` adds so many megabytes of
characters and tokens drawn by a hash. Every document is tokenized by both libraries; the reference takes its time.
A kind is a small tokenizer of tests/support/tokenizers.py. Times are those of busy cores, child processes included.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.token_bytes import alphabet_bytes
from tests.support.tokenizers import KINDS, write

# Bytes of text that are tokenized at a time; the reference takes some hundred bytes for each token.
BATCH = 4 << 20


def texts_of(path: str) -> Iterator[str]:
    """The texts of a file."""
    if path.endswith(".parquet"):
        table = pq.read_table(path)
        yield from table[next(name for name in ("text", "content") if name in table.column_names)].to_pylist()
        return
    with Path(path).open("rb") as file:
        opened = gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file
        if path.endswith(".zst"):
            opened = zstandard.ZstdDecompressor().stream_reader(file)
        for line in io.TextIOWrapper(opened, "utf-8"):
            yield json.loads(line)["text"]


def random_texts(tokenizer: TextTokenizer, megabytes: float) -> Iterator[str]:
    """Texts of tokens, characters of all of Unicode, and names of added tokens, drawn by a hash."""
    pieces = [alphabet_bytes(name).decode(errors="ignore") or name.replace("▁", " ") for name in tokenizer.vocabulary]
    names = [*tokenizer.special_names, *tokenizer.plain_names, " ", "\n"]
    points = [*range(1, 0xD800), *range(0xE000, 0x33480), *range(0xE0000, 0xE0200)]
    size, number = 0, 0
    while size < megabytes * 1e6:
        drawn = np.frombuffer(hashlib.shake_256(b"%d" % number).digest(1600), np.uint32).tolist()
        number += 1
        # Most documents are of tokens alone, or all would go to the reference.
        rare = number % 5 == 0
        text = "".join(
            chr(points[draw % len(points)])
            if rare and draw % 7 == 0
            else names[draw % len(names)]
            if rare and draw % 11 == 0
            else pieces[draw % len(pieces)]
            for draw in drawn
        )
        size += len(text.encode())
        yield text


def batches(texts: Iterator[str], most: float) -> Iterator[pa.Array]:
    """The texts in arrays of about `BATCH` bytes, `most` megabytes in all."""
    batch, size, total = [], 0, 0
    for text in texts:
        batch.append(text)
        size += len(text.encode())
        if size >= BATCH or total + size >= most * 1e6:
            yield pa.array(batch, pa.large_string())
            total, batch, size = total + size, [], 0
            if total >= most * 1e6:
                return
    if batch:
        yield pa.array(batch, pa.large_string())


def measure(file: str, patterns: list[str], most: float, random: float) -> Iterator[str]:
    """The lines of the table for one tokenizer."""
    started = busy_seconds()
    tokenizer = TextTokenizer(file)
    read = busy_seconds()
    whole = tokenizer.differences.whole
    reading, comparing = read - started, busy_seconds() - read
    note = "" if whole is None else f"; {whole}"
    yield f"{Path(file).name}: read in {reading:.1f} s, compared in {comparing:.1f} s{note}"
    paths = [path for pattern in patterns for path in sorted(glob(pattern))]
    if paths:
        yield line("corpus", tokenizer, batches((text for path in paths for text in texts_of(path)), most))
    if random > 0:
        yield line("random", tokenizer, batches(random_texts(tokenizer, random), random))


def busy_seconds() -> float:
    """Seconds that cores were busy with this process and the children that it waited for."""
    return sum(os.times()[:4])


def line(name: str, tokenizer: TextTokenizer, arrays: Iterator[pa.Array]) -> str:
    """The figures of some texts."""
    fast = tokenizer.fast
    documents = slow = differing = 0
    size, seconds = 0.0, {"alone": 0.0, "byline": 0.0, "reference": 0.0}
    for texts in arrays:
        documents += len(texts)
        size += texts.nbytes / 1e6
        slow += len(texts) if fast is None else int(tokenizer.goes_to_reference(texts).sum())
        started = time.process_time()
        if fast is not None:
            ak.to_packed(fast.encode_batch(ak.from_arrow(texts), parallel=False))
        seconds["alone"] += time.process_time() - started
        started = time.process_time()
        values, offsets = tokenizer.encode(texts)
        seconds["byline"] += time.process_time() - started
        started = time.process_time()
        expected = tokenizer.encode_all_by_reference(texts)
        seconds["reference"] += time.process_time() - started
        for number, ids in enumerate(expected):
            differing += values[offsets[number] : offsets[number + 1]].tolist() != ids
    speeds = (f"{size / taken:,.1f} MB/s" if taken > 1e-3 else "-" for taken in seconds.values())
    share = f"{slow / max(documents, 1):.2%}"
    figures = f"  {name:<10}{documents:>10,}{size:>8.1f}{share:>15}{differing:>11,}"
    return figures + "".join(f"{speed:>17}" for speed in speeds)


def main() -> None:
    """Prints the table; the speeds are those of one core, by the time that it was busy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", nargs="*", help="patterns of files")
    parser.add_argument("--tokenizer", action="append", default=[], help="a tokenizer.json; may be repeated")
    parser.add_argument("--kind", action="append", default=[], choices=KINDS, help="likewise, a small one of a kind")
    parser.add_argument("--most", type=float, default=50, help="megabytes of the corpus")
    parser.add_argument("--random", type=float, default=5, help="megabytes of random text")
    given = parser.parse_args()
    heads = ("documents", "MB", "to tokenizers", "differing", "gigatoken alone", "as Byline", "tokenizers")
    widths = (10, 8, 15, 11, 17, 17, 17)
    print(" " * 12 + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    with tempfile.TemporaryDirectory(prefix="byline-tokenizers-") as folder:
        made = [write(KINDS[kind](), Path(folder), f"{kind}.json") for kind in given.kind]
        for file in [*given.tokenizer, *made]:
            for row in measure(file, given.corpus, given.most, given.random):
                print(row, flush=True)


if __name__ == "__main__":
    main()
