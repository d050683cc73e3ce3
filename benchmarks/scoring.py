"""How much faster a folded classifier is than fastText's library, and how far their scores are apart.

```
python -m benchmarks.scoring                                     a model and a corpus made on the spot
python -m benchmarks.scoring model.bin 'corpus/**/*.json.gz'     one's own model and JSON lines with a `text`
```

Both score the same texts in the same run on one thread, in turns, so that a busy machine slows both; the best turn
counts.
"""

import argparse
import glob
import json
import tempfile
import time
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa

from transforms.fasttext_folding import FoldedModel, LibraryModel, fold, load_folded, read_model_file

MADE_DOCUMENTS = 4000


def read_texts(pattern: str) -> pa.Array:
    """Large_string: the field `text` of all JSON lines of the files that match."""
    texts = []
    for path in sorted(glob.glob(pattern, recursive=True)):
        for line in pa.input_stream(path).read().splitlines():
            texts.append(json.loads(line)["text"])
    return pa.array(texts, pa.large_string())


def make_texts(documents: int) -> pa.Array:
    """Texts of 400 words each, common words more often than rare ones."""
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
    found = model.probabilities(texts)
    return time.perf_counter() - started, found


def compare(path: str, texts: pa.Array, folder: Path, turns: int) -> None:
    """Folds the model, scores the texts in both ways by turns, and prints a line for each figure."""
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
            seconds, found = timed(model, texts)
            taken[name] = min(seconds, taken.get(name, seconds))
            if name == "folded":
                ours = found
    for name, fastest in taken.items():
        print(f"{name:8}  {size / fastest:8.1f} MB/s")
    print(f"ratio     {taken['library'] / taken['folded']:8.1f}")
    print(
        f"apart     {np.abs(ours - found).max():8.1e}       largest difference in {len(texts)} documents, {size:.1f} MB"
    )


def main() -> None:
    """Reads the arguments, or makes what they leave out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a fastText model that can be folded")
    parser.add_argument("corpus", nargs="?", help="pattern of JSON lines files, compressed or not")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = read_texts(arguments.corpus) if arguments.corpus else make_texts(MADE_DOCUMENTS)
        path = arguments.model if arguments.model else make_model(texts, folder)
        compare(path, texts, folder, arguments.turns)


if __name__ == "__main__":
    main()
