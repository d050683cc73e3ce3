"""Duplicates planted in files of three layouts, found by the real commands, and recounted with sets of Python's own.

    python -m benchmarks.duplicates_planted CORPUS FOLDER [--tool ../shared/tools/make_corpus.py] [--documents 1000000]

```
planted     page of dclm  ->  the same text in a file of c4, under another URL                 5 % of the pages
            page of c4    ->  in a file of refinedweb, with 1, 5 or 20 % of its words changed   5 %
prepare, attribute, build with select: [{drop: [NAME]}], verify                                 for each preset
read        NAME and NAME_of beside the runs of the token store, by source, path and row
```

CORPUS has a corpus in the layouts of DCLM, C4 and RefinedWeb, as the tool makes it from documentation packages; where
it is missing, the tool is run. All goes to FOLDER, which is emptied. n-grams and normal forms are those of
`tests/reference/duplicates.py`, which shares no code with what finds duplicates; every document that is removed is
compared with the one that it is removed for, and in a sample all pairs are. Then everything is done once more with the
sources and files in another order and with two workers, which must give the same columns; and with a `max_removed`
that is too low.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zstandard

from benchmarks.duplicates import changed
from benchmarks.layouts import PATTERNS
from benchmarks.scale import make_tokenizer
from byline.schemas.config_file import load_config
from byline.transforms.attributes.attribute_state import read_attribute
from byline.transforms.corpora.made.sample_corpus import (
    SPECIAL_TOKENS,
    Page,
    write_c4,
    write_dclm,
    write_refinedweb,
)
from byline.transforms.store.run_reading import open_run
from byline.transforms.store.state import read_state
from tests.reference.duplicates import FORMS, KINDS, identity, ngrams, normal_form

TITLES = {1: "equal", 2: "1% changed", 3: "5% changed", 4: "20% changed"}
SIMILARITY = {"fineweb": Fraction(3, 4), "nemo": Fraction(4, 5), "strict": Fraction(4, 5)}
_SAMPLED = 400

# (source, path, row)
Key = tuple[str, str, int]
Pages = dict[str, dict[str, list[Page]]]


@dataclass(frozen=True)
class Planted:
    """A copy, its original, and a number of `TITLES`."""

    copy: Page
    original: Page
    kind: int


# --- files


def read_pages(folder: Path) -> Pages:
    """source -> path below its folder -> records, in their order."""
    return {
        source: {str(path.relative_to(folder / source)): _records(path) for path in sorted(folder.glob(pattern))}
        for source, pattern in PATTERNS.items()
    }


def _records(path: Path) -> list[Page]:
    if path.suffix == ".parquet":
        rows = pq.read_table(path, columns=["content", "url"]).to_pylist()
        return [Page(row["url"], row["content"]) for row in rows]
    if path.suffix == ".zst":
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            content = reader.read()
    else:
        content = gzip.decompress(path.read_bytes())
    return [Page(record["url"], record["text"]) for record in map(json.loads, content.decode().split("\n")[:-1])]


def plant(pages: Pages, seed: int) -> list[Planted]:
    """Adds a copy of every tenth page, each to a file of another source: half of them equal, half changed."""
    rng = np.random.default_rng(seed)
    originals = [(source, page) for source, files in pages.items() for of_file in files.values() for page in of_file]
    chosen = rng.choice(len(originals), len(originals) // 10, replace=False)
    planted = []
    for number, at in enumerate(chosen.tolist()):
        source, page = originals[at]
        kind = 1 if number % 2 == 0 else 2 + number // 2 % 3
        others = [name for name in pages if name != source]
        files = list(pages[others[int(rng.integers(len(others)))]].values())
        of_file = files[int(rng.integers(len(files)))]
        assert page.text is not None, page.url
        copy = Page(f"http://copies.example/{number}", changed(page.text, kind, rng))
        of_file.insert(int(rng.integers(len(of_file) + 1)), copy)
        planted.append(Planted(copy, page, kind))
    return planted


def write_pages(folder: Path, pages: Pages) -> None:
    """Writes the files of all three layouts."""
    for source, files in pages.items():
        for path, of_file in files.items():
            target = folder / source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source == "dclm":
                write_dclm(str(target), of_file, [0.5] * len(of_file))
            elif source == "c4":
                write_c4(str(target), of_file)
            else:
                write_refinedweb(str(target), of_file)


# --- commands


def write_config(folder: Path, name: str, pages: Pages, *, is_reversed: bool = False) -> Path:
    """A configuration of its own token store; with its sources and their files in another order, if wanted."""
    files = {
        source: [f"{PATTERNS[source].rpartition('/')[0]}/*{path.rpartition('/')[2][1:]}" for path in sorted(of)]
        for source, of in pages.items()
    }
    sources = {
        source: {"format": source, "path": [str(folder / path) for path in paths[:: -1 if is_reversed else 1]]}
        for source, paths in list(files.items())[:: -1 if is_reversed else 1]
    }
    values = {
        "sources": sources,
        "tokenizer": {"file": str(folder / "tokenizer.json"), "eos": SPECIAL_TOKENS[0]},
        "sequence": {"length": 1024},
        "tokens": "all",
        "mixture": "natural",
        "phases": [{"name": "only", "share": 1}],
        "attributes": {near: {"kind": "duplicates", "near": near} for near in KINDS},
        "store": str(folder / name / "store"),
        "output": str(folder / name / "out"),
    }
    target = folder / f"{name}.yaml"
    target.write_text(json.dumps(values, indent=1))
    return target


def run(*arguments: str, fails: bool = False) -> str:
    """Runs a command of Byline; what it printed."""
    command = [sys.executable, "-m", "byline.pipelines.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def read_columns(config_path: Path, name: str) -> dict[Key, tuple[Any, ...]]:
    """The attribute's columns as they lie beside the runs, by document."""
    config = load_config(config_path)
    attribute = read_attribute(config, read_state(config), name)
    columns = [name, f"{name}_of", f"{name}_sources", f"{name}_matched"]
    values = {}
    for file in attribute.files:
        assert len(file.chunks) == 1, file.uri
        table = open_run(attribute.file_of(file), ["row", *columns]).whole()
        for row, *of_row in zip(*(table[column].to_pylist() for column in ("row", *columns)), strict=True):
            values[file.source, file.chunks[0].path, row] = tuple(of_row)
    return values


# --- the slow count


class Texts:
    """The documents' texts, and their sets of n-grams for one preset."""

    def __init__(self, texts: dict[Key, str], name: str) -> None:
        self._texts, self._kind = texts, KINDS[name]
        self._form = max("text", self._kind.form, key=FORMS.index)
        self._similarity = SIMILARITY[name]

    def same(self, one: Key, other: Key) -> bool:
        """Whether two documents are equal in the form `text`."""
        return identity(self._texts[one], "text") == identity(self._texts[other], "text")

    @lru_cache(maxsize=2 * _SAMPLED)  # noqa: B019  (the texts live as long as the program)
    def grams(self, key: Key) -> frozenset[str]:
        """The n-grams of a document."""
        text, between = normal_form(self._texts[key], self._form), " " if self._kind.unit == "words" else ""
        # Joined, as a tuple for each n-gram would be larger.
        return frozenset(map(between.join, ngrams(text, self._kind.size, self._kind.unit)))

    def similar(self, one: Key, other: Key) -> bool:
        """Whether two documents are as similar as the preset says."""
        first, second = self.grams(one), self.grams(other)
        if not first or not second or min(len(first), len(second)) < self._similarity * max(len(first), len(second)):
            return False
        shared = len(first & second)
        return shared >= self._similarity * (len(first) + len(second) - shared)


def named(key: Key) -> str:
    """A document as `NAME_of` names it."""
    source, path, row = key
    return f"{source}/{path}:{row}"


def count(pages: Pages, planted: list[Planted], values: dict[Key, tuple[Any, ...]], name: str) -> Iterator[str]:
    """Lines of a table of what a preset found.

    Raises:
        AssertionError: what is removed is not similar to a document that is kept, or an equal copy was missed.
    """
    keys = {(source, path, row): page for source, files in pages.items() for path, of in files.items()
            for row, page in enumerate(of) if (page.text or "").strip()}  # fmt: skip
    assert values.keys() == keys.keys(), set(values) ^ set(keys)
    by_name, key_of = {named(key): key for key in keys}, {id(page): key for key, page in keys.items()}
    kept = {key: by_name[of] if removed else key for key, (removed, of, *_) in values.items()}
    texts = Texts({key: str(page.text) for key, page in keys.items()}, name)
    for kind, title in TITLES.items():
        pairs = [(key_of[id(one.copy)], key_of[id(one.original)]) for one in planted if one.kind == kind]
        similar = [pair for pair in pairs if texts.same(*pair) or texts.similar(*pair)]
        found = sum(kept[copy] == kept[original] for copy, original in similar)
        assert kind > 1 or found == len(pairs), f"{name}: {len(pairs) - found} equal copies were missed"
        yield f"{title:<34}{len(pairs):>8,}{len(similar):>9,}{found:>8,}"
    removed = [(key, other) for key, other in kept.items() if key != other]
    wrong = [pair for pair in removed if not (texts.same(*pair) or texts.similar(*pair)) or kept[pair[1]] != pair[1]]
    assert not wrong, f"{name}: removed for a document that is not similar, or not kept: {wrong[:3]}"
    yield f"removed {len(removed):,}, each the same as, or similar to, one that is kept"
    copies = {key_of[id(one.copy)] for one in planted[:_SAMPLED]}
    sample = sorted(copies)[: _SAMPLED // 4] + sorted(keys.keys() - copies)[:: max(1, len(keys) // _SAMPLED)]
    pairs = [pair for pair in combinations(sample, 2) if texts.similar(*pair)]
    left = sum(kept[one] == one and kept[other] == other for one, other in pairs)
    yield f"all pairs of {len(sample):,}: {len(pairs):,} similar, of {left:,} of them both are kept"


# --- all of it


def study(corpus: Path, folder: Path, documents: int, seed: int, nears: Iterable[str]) -> Iterator[str]:
    """Plants, runs the commands, and counts: lines of what was found."""
    pages = {
        source: {path: of[: documents // (3 * len(files)) + 1] for path, of in files.items()}
        for source, files in read_pages(corpus).items()
    }
    planted = plant(pages, seed)
    shutil.rmtree(folder, ignore_errors=True)
    write_pages(folder, pages)
    make_tokenizer(folder)
    first, again = write_config(folder, "one", pages), write_config(folder, "again", pages, is_reversed=True)
    run("prepare", str(first), "--workers", "1")
    run("prepare", str(again), "--workers", "2")
    total = sum(len(of) for files in pages.values() for of in files.values())
    yield f"{total:,} documents, {len(planted):,} of them planted"
    for near in nears:
        run("attribute", str(first), near, "--workers", "1")
        run("attribute", str(again), near, "--workers", "2")
        values = read_columns(first, near)
        assert values == read_columns(again, near), f"{near}: other columns in another order"
        yield f"\n{near:<34}{'planted':>8}{'similar':>9}{'found':>8}"
        yield from count(pages, planted, values, near)
        phase = f"phases=[{{name: only, share: 1, select: [{{drop: [{near}]}}]}}]"
        run("build", str(first), "--workers", "1", "--set", phase, "--set", f"output={folder}/{near}")
        run("verify", f"{folder}/{near}")
        low = run("attribute", str(first), near, "--set", f"attributes.{near}.max_removed=0.1%", fails=True)
        assert "more than `max_removed`" in low, low
        yield "another order, two workers: the same columns; built and verified; too low a `max_removed` is an error"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1_000_000, help="as many at most, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--near", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--tool", default="../shared/tools/make_corpus.py")
    arguments = parser.parse_args()
    if not arguments.corpus.exists():
        subprocess.run([sys.executable, arguments.tool, str(arguments.corpus)], check=True)
    for line in study(arguments.corpus, arguments.folder, arguments.documents, arguments.seed, arguments.near):
        print(line, flush=True)


if __name__ == "__main__":
    main()
