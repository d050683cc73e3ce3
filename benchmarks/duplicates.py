"""What MinHash finds of planted copies, and what its signatures cost.

    python -m benchmarks.duplicates FOLDER [--documents 1500] [--tool ../shared/tools/make_corpus.py]

```
fineweb    copies             planted   similar   of them one is kept
           equal                   50        50                    50
           1% changed              17        17                    17
removed 256, of them similar to what is kept 1.00 (precision); similar to a lower document 263, of them removed 0.97
candidates 472, of them similar 0.84
bands of fineweb, with its form     155        MB of text a second of processor time
```

FOLDER has a corpus in the layouts of DCLM, C4 and RefinedWeb, as the tool makes it from documentation packages; where
it is missing, the tool is run. Of a sample of its documents, 5 % are planted a second time as they are, and 5 % with 1,
5 or 20 % of their words changed. All pairs are compared by their sets of n-grams; what a preset removes is held against
that. Documents of such a corpus are similar by themselves, too: indices, and pages of one frame.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.layouts import PATTERNS
from byline.schemas.corpora import Source
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.reading import read_batches
from byline.transforms.duplicates.deciding import Ranks
from byline.transforms.duplicates.finding import candidates, find_duplicates
from byline.transforms.duplicates.jaccard import are_similar, shared_shingles
from byline.transforms.duplicates.minhash import band_hashes
from byline.transforms.duplicates.normalizing import Form, coarsest, normalized, text_hashes
from byline.transforms.duplicates.presets import PRESETS, Preset
from byline.transforms.duplicates.shingles import Sets, shingle_sets

_KINDS = ("original", "equal", "1% changed", "5% changed", "20% changed")
_CHANGES = {2: 0.01, 3: 0.05, 4: 0.2}
# Pairs whose similarity is counted at a time.
_PAIRS = 1 << 20


def read_texts(folder: Path) -> pa.Array:
    """The texts of the corpus."""
    texts = []
    for name, pattern in PATTERNS.items():
        source = Source.model_validate({"format": name, "path": str(folder / pattern)})
        texts += [batch["text"] for file in list_inputs(name, source) for batch in read_batches(file, source)]
    return pa.concat_arrays(texts).drop_null()


def plant(texts: pa.Array, count: int, seed: int) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """A sample with copies, shuffled: its texts, the number of each one's kind, and that of its original."""
    rng = np.random.default_rng(seed)
    sample = texts.take(pa.array(rng.choice(len(texts), min(count, len(texts)), replace=False))).to_pylist()
    share = len(sample) // 20
    kinds = np.concatenate([np.zeros(len(sample), np.int64), np.ones(share, np.int64), np.arange(share) % 3 + 2])
    copies = [changed(sample[number], int(kind), rng) for number, kind in enumerate(kinds[len(sample) :])]
    order = rng.permutation(len(kinds))
    originals = np.argsort(order)[np.concatenate([np.arange(len(sample)), np.arange(2 * share)])]
    return pa.array([*sample, *copies], pa.large_string()).take(pa.array(order)), kinds[order], originals[order]


def changed(text: str, kind: int, rng: np.random.Generator) -> str:
    """A copy with a share of its words changed, or none."""
    if kind not in _CHANGES:
        return text
    words = text.split(" ")
    for at in rng.choice(len(words), max(1, round(len(words) * _CHANGES[kind])), replace=False):
        words[at] = f"changed{'abcdefghij'[rng.integers(10)]}{'abcdefghij'[rng.integers(10)]}"
    return " ".join(words)


def similar_pairs(sets: Sets, preset: Preset) -> np.ndarray:
    """All pairs of documents that are similar: int64 [pairs, 2], higher and lower."""
    sizes = np.diff(sets.borders)
    similar, count = [np.zeros((0, 2), np.int64)], len(sizes)
    step = max(_PAIRS // count, 1)
    for low in range(0, count, step):
        higher, lower = np.tril_indices(min(count, low + step), -1)
        new = higher >= low
        higher, lower = higher[new], lower[new]
        # No pair is more similar than their sizes.
        near = np.minimum(sizes[higher], sizes[lower]) >= preset.similarity * np.maximum(sizes[higher], sizes[lower])
        higher, lower = higher[near.astype(bool)], lower[near.astype(bool)]
        is_similar = are_similar(*shared_shingles(sets, higher, lower), preset.similarity)
        similar.append(np.stack([higher[is_similar], lower[is_similar]], axis=1))
    return np.concatenate(similar)


def show_recall(name: str, preset: Preset, texts: pa.Array, kinds: np.ndarray, originals: np.ndarray) -> None:
    """Prints what a preset finds of the planted copies, and of all that is similar."""
    numbers = np.arange(len(texts))
    compared = normalized(texts, coarsest("text", preset.form))
    sets = shingle_sets(compared, preset.shingling)
    kept = find_duplicates(texts, Ranks(0 * numbers, *2 * (numbers.astype(np.uint64),)), "text", preset)
    is_similar = are_similar(*shared_shingles(sets, numbers, originals), preset.similarity)
    print(f"\n{name:<10} {'copies':<14} {'planted':>9} {'similar':>9} {'of them one is kept':>21}")
    for kind, title in list(enumerate(_KINDS))[1:]:
        of_kind = kinds == kind
        one = (of_kind & is_similar & (kept == kept[originals])).sum()
        print(f"{'':<10} {title:<14} {of_kind.sum():>9,} {(of_kind & is_similar).sum():>9,} {one:>21,}")
    show_all_pairs(similar_pairs(sets, preset), np.stack(candidates(compared, preset), axis=1), kept)


def show_all_pairs(similar: np.ndarray, compared: np.ndarray, kept: np.ndarray) -> None:
    """Prints how much of what is similar is removed, and of what is removed similar."""
    known = set(map(tuple, similar.tolist()))
    removed = np.flatnonzero(kept != np.arange(len(kept)))
    right = sum((number, one) in known for number, one in zip(removed.tolist(), kept[removed].tolist(), strict=True))
    with_lower = np.unique(similar[:, 0])
    recall = np.isin(with_lower, removed).sum() / max(len(with_lower), 1)
    print(
        f"removed {len(removed):,}, of them similar to what is kept {right / max(len(removed), 1):.4f} (precision); "
        f"similar to a lower document {len(with_lower):,}, of them removed {recall:.4f} (recall)"
    )
    share = sum(tuple(pair) in known for pair in compared.tolist()) / max(len(compared), 1)
    print(f"candidates {len(compared):,}, of them similar {share:.4f}")


def seconds(do: Callable[[], object]) -> float:
    """Processor time of the fastest of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        do()
        times.append(time.process_time() - started)
    return min(times)


def show_speed(folder: Path, texts: pa.Array) -> None:
    """Prints what signatures cost."""
    size = pc.sum(pc.binary_length(texts)).as_py() / 1e6
    print(f"\n{len(texts):,} documents, {size:,.1f} MB; MB/s of processor time")
    band_hashes(normalized(texts.slice(0, 10), "text"), PRESETS["strict"])
    print(f"{'reading the texts':<32}{size / seconds(lambda: read_texts(folder)):>8,.0f}")
    hashed = seconds(lambda: text_hashes(texts, normalized(texts, "text")))
    print(f"{'128 bits of the form `text`':<32}{size / hashed:>8,.0f}")
    for name, preset in PRESETS.items():
        form = coarsest("text", preset.form)
        signed = seconds(partial(_bands, texts, form, preset))
        print(f"{f'bands of {name}, with its form':<32}{size / signed:>8,.0f}")
        compared = normalized(texts, form)
        shingled = seconds(partial(shingle_sets, compared, preset.shingling))
        print(f"{f'sets of shingles of {name}':<32}{size / shingled:>8,.0f}")


def _bands(texts: pa.Array, form: Form, preset: Preset) -> object:
    return band_hashes(normalized(texts, form), preset)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tool", default="../shared/tools/make_corpus.py")
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        subprocess.run([sys.executable, arguments.tool, str(arguments.folder)], check=True)
    texts = read_texts(arguments.folder)
    sample, kinds, originals = plant(texts, arguments.documents, arguments.seed)
    for name, preset in PRESETS.items():
        show_recall(name, preset, sample, kinds, originals)
    show_speed(arguments.folder, texts)


if __name__ == "__main__":
    main()
