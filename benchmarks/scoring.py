"""How fast classifiers score, and how much the scores differ from those of fastText's library.

```
python -m benchmarks.scoring                                     speed: a model and a corpus made on the spot
python -m benchmarks.scoring model.bin 'corpus/**/*.json.gz'     speed: your own model and JSON lines with a `text`
python -m benchmarks.scoring --accuracy 'corpus/**/*.json.gz'    differences, with models trained on this corpus
```

Speed: both score the same texts in the same run on one thread, in turns, so that a busy machine slows both; the best
turn counts.

Accuracy: the label of a document is the folder in its `url`, if it is one of the most common, else `other`. The model
is trained on the first 20,000 characters of each document, on one thread, so that it is the same every time. Then whole
documents are scored, and the 20 with the largest differences again in float64, to see which of the two is off.
"""

import argparse
import glob
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa

from byline.transforms.scores.fasttext_file import read_model_file
from byline.transforms.scores.fasttext_folding import (
    FoldedModel,
    LibraryModel,
    fold,
    load_folded,
    open_model,
    prepare,
)
from tests.reference.fasttext_reference import PlainModel, library_probabilities

MADE_DOCUMENTS = 4000
FAR = 1e-6
LABELS = (2, 10)
# The longest n-gram of words, and the longest subword.
SHAPES = ((1, 0), (2, 0), (3, 0), (2, 5))
TRAINED_CHARACTERS = 20_000
# Scored in plain Python, which takes a second for a megabyte.
MOST_EXACT = 20


def read_corpus(pattern: str) -> tuple[pa.Array, list[str]]:
    """The fields `text` (large_string) and `url` of all JSON lines in the files that match."""
    records = []
    for path in sorted(glob.glob(pattern, recursive=True)):
        records += [json.loads(line) for line in pa.input_stream(path).read().splitlines()]
    if not records:
        raise SystemExit(f"{pattern}: no documents there; expected files of JSON lines")
    urls = [record.get("url") or "" for record in records]
    return pa.array([record["text"] for record in records], pa.large_string()), urls


# --- speed


def make_texts(documents: int) -> pa.Array:
    """Texts of 400 words each, with Zipf-distributed words."""
    generator = np.random.default_rng(0)
    letters = generator.integers(ord("a"), ord("z") + 1, (50_000, 12), dtype=np.uint8)
    sizes = generator.integers(2, 13, len(letters))
    vocabulary = np.array([bytes(word[:size]).decode() for word, size in zip(letters, sizes, strict=True)])
    ranks = np.minimum(generator.zipf(1.2, (documents, 400)) - 1, len(vocabulary) - 1)
    return pa.array([" ".join(row) for row in vocabulary[ranks]], pa.large_string())


def make_model(texts: pa.Array, folder: Path) -> str:
    """A bigram model of two labels with 2,000,000 buckets, trained on the texts."""
    examples, path = folder / "examples.txt", folder / "model.bin"
    lines = (f"__label__{row % 2} {text.as_py()}\n" for row, text in enumerate(texts))
    examples.write_text("".join(lines))
    settings = {"wordNgrams": 2, "epoch": 2, "dim": 32, "minCount": 1, "thread": 1, "verbose": 0}
    fasttext.train_supervised(str(examples), **settings).save_model(str(path))
    return str(path)


def timed(model: FoldedModel | LibraryModel, texts: pa.Array) -> tuple[float, np.ndarray]:
    """Seconds, and the probabilities."""
    started = time.perf_counter()
    probabilities = model.probabilities(texts)
    return time.perf_counter() - started, probabilities


def compare(path: str, texts: pa.Array, folder: Path, turns: int) -> None:
    """Folds the model, scores the texts both ways in turns, and prints a line for each figure."""
    size = sum(len(text.as_py().encode()) for text in texts) / 1e6
    started = time.perf_counter()
    folded_path = fold(path, str(folder))
    seconds, megabytes = time.perf_counter() - started, Path(folded_path).stat().st_size / 1e6
    print(f"fold      {seconds:8.2f} s          once a model; {megabytes:.1f} MB")
    folded, library = load_folded(folded_path), LibraryModel(read_model_file(path))
    timed(folded, texts.slice(0, 1))  # compiles
    taken: dict[str, float] = {}
    for _ in range(turns):
        for name, model in (("folded", folded), ("library", library)):
            seconds, probabilities = timed(model, texts)
            taken[name] = min(seconds, taken.get(name, seconds))
            if name == "folded":
                ours = probabilities
    for name, fastest in taken.items():
        print(f"{name:8}  {size / fastest:8.1f} MB/s")
    print(f"ratio     {taken['library'] / taken['folded']:8.1f}")
    apart = np.abs(ours - probabilities).max()
    print(f"apart     {apart:8.1e}       largest difference in {len(texts)} documents, {size:.1f} MB")


# --- accuracy


def label_by_folder(urls: Sequence[str], labels: int) -> list[str]:
    """The folder in each URL if it is one of the `labels` - 1 most common, else `other`."""
    folders = ["/".join(url.split("/")[-2:-1]) for url in urls]
    common = {folder: f"folder{rank}" for rank, (folder, _) in enumerate(Counter(folders).most_common(labels - 1))}
    return [common.get(folder, "other") for folder in folders]


def train_by_folder(texts: Sequence[str], urls: Sequence[str], labels: int, path: Path, **settings: int) -> None:
    """Trains a model with this many labels, and writes it to `path`."""
    examples = path.with_suffix(".txt")
    lines = zip(label_by_folder(urls, labels), texts, strict=True)
    examples.write_text("".join(f"__label__{label} {prepare(text)[:TRAINED_CHARACTERS]}\n" for label, text in lines))
    fasttext.train_supervised(str(examples), thread=1, verbose=0, **settings).save_model(str(path))


HEADER = "labels  n-grams  subwords  scored by     apart  over 1e-6  shortest  folded is off  library is off"


def report_accuracy(path: Path, texts: pa.Array) -> str:
    """How a model's scores differ from the library's: the columns of the table from `scored by` on."""
    model, documents = open_model(str(path), str(path.parent)), texts.to_pylist()
    ours, theirs = model.probabilities(texts), library_probabilities(path, documents)
    apart = np.abs(ours - theirs).max(axis=1)
    far = np.flatnonzero(apart > FAR)
    shortest = f"{min(len(documents[row]) for row in far):,}" if len(far) else "-"
    line = f"{apart.max():8.1e}  {len(far):9d}  {shortest:>8}"
    if not isinstance(model, FoldedModel):
        return f"library    {line}"
    rows = np.argsort(-apart)[:MOST_EXACT]
    plain = PlainModel(path)
    exact = np.array([plain.probabilities(documents[row]) for row in rows])
    return f"folded     {line}  {np.abs(ours[rows] - exact).max():13.1e}  {np.abs(theirs[rows] - exact).max():14.1e}"


def measure_accuracy(pattern: str, folder: Path, **settings: int) -> None:
    """Trains a model for each number of labels and shape, and prints a line of the table for each."""
    texts, urls = read_corpus(pattern)
    documents = texts.to_pylist()
    shown = ", ".join(f"{name} {value}" for name, value in settings.items())
    print(f"{len(documents):,} documents, {sum(map(len, documents)) / 1e6:.1f} M characters; {shown}\n{HEADER}")
    for labels in LABELS:
        for ngrams, subwords in SHAPES:
            path = folder / f"{labels}-{ngrams}-{subwords}.bin"
            shape = {"wordNgrams": ngrams, "minn": 3 if subwords else 0, "maxn": subwords}
            train_by_folder(documents, urls, labels, path, **shape, **settings)
            print(f"{labels:6d}  {ngrams:7d}  {subwords:8d}  {report_accuracy(path, texts)}", flush=True)
            path.unlink()  # eight of them are a gigabyte


def main() -> None:
    """The command line; makes a model or a corpus that is not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a fastText model that can be folded")
    parser.add_argument("corpus", nargs="?", help="pattern of JSON lines files, compressed or not")
    parser.add_argument("--turns", type=int, default=3, help="how often each scores all texts")
    parser.add_argument("--accuracy", metavar="CORPUS", help="pattern of JSON lines files with `text` and `url`")
    parser.add_argument("--dim", type=int, default=100, help="of the models trained for --accuracy")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--buckets", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.accuracy:
            settings = {"dim": arguments.dim, "epoch": arguments.epochs, "bucket": arguments.buckets}
            measure_accuracy(arguments.accuracy, folder, **settings)
            return
        texts = read_corpus(arguments.corpus)[0] if arguments.corpus else make_texts(MADE_DOCUMENTS)
        path = arguments.model if arguments.model else make_model(texts, folder)
        compare(path, texts, folder, arguments.turns)


if __name__ == "__main__":
    main()
