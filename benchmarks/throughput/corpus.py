"""What is built: raw files in the layouts of DCLM, C4 and RefinedWeb, a tokenizer, and a quality model.

```
FOLDER/200MB/dclm/**/*.jsonl.zst   c4/*.json.gz   refinedweb/*.parquet     60, 25 and 15 % of the text
FOLDER/warm/...                                                            half a megabyte, to load and compile with
FOLDER/tokenizer.json              8,192 tokens, unless another is given
FOLDER/quality-100-2000000.bin     fastText, bigrams; 100 dimensions and 2,000,000 buckets, as DCLM's has
```

The text is that of `byline sample`, documentation of the installed packages, copied with other URLs until it is long
enough. What is there is used again: the same packages give the same files.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.layouts import PATTERNS
from benchmarks.scoring import train_by_folder
from byline.errors import BylineError
from byline.schemas.model import size_of
from byline.transforms.corpora.made.sample_corpus import Page, deal_pages, gather_pages, train_tokenizer
from byline.transforms.corpora.made.sample_writing import LayoutReport, write_layout

# Of pages, before they are copied: less than what is installed with Byline alone.
_PAGES_BYTES = 12e6
WARM_BYTES = 5e5
# A worker reads a file, so several; and more where each would hold more than this.
FILES = 4
_FILE_BYTES = 64e6
# The label of the most common folder of the pages' URLs.
QUALITY_LABEL = "__label__folder0"
EOS = "<|endoftext|>"


@dataclass(frozen=True)
class Inputs:
    """What the recipes name.

    Attributes:
        corpus: its folder, with those of `PATTERNS` that it has in it.
        warm: that of a small one of the same layouts.
        tokenizer: a `tokenizer.json`.
        eos: the name of its token between documents.
        model: a fastText model.
        label: one of its labels.
    """

    corpus: Path
    warm: Path
    tokenizer: Path
    eos: str
    model: Path
    label: str


def bytes_of(size: str) -> int:
    """The number of bytes that a size names, as `200MB` or `1.5 GB`.

    Raises:
        BylineError: it is no size, or less than a megabyte.
    """
    try:
        count = size_of(size.strip())
    except ValueError:
        count = 0
    if count < 1e6:
        raise BylineError(f"--size {size}: expected 1MB or more, as in 200MB or 2GB")
    return count


def layouts_of(corpus: Path) -> list[str]:
    """The layouts of which a folder has files.

    Raises:
        BylineError: none of them.
    """
    layouts = [name for name, pattern in PATTERNS.items() if any(corpus.glob(pattern))]
    if not layouts:
        raise BylineError(f"{corpus}: no corpus there; expected files of {', '.join(PATTERNS.values())}")
    return layouts


def files_of(corpus: Path, layout: str) -> list[Path]:
    """The files of one layout, sorted."""
    return sorted(corpus.glob(PATTERNS[layout]))


def make_corpus(corpus: Path, size: float) -> None:
    """Writes a corpus of so many bytes of text, unless it is there."""
    report = corpus / "corpus.json"
    if report.exists():
        return
    shutil.rmtree(corpus, ignore_errors=True)
    pages = copied(pages_of(size), size)
    layouts = {name: _write(corpus, name, dealt) for name, dealt in deal_pages(pages).items()}
    counts = {
        name: {"files": len(layout.files), "documents": layout.records, "bytes": layout.text_bytes}
        for name, layout in layouts.items()
    }
    report.write_text(json.dumps(counts, indent=2))


@lru_cache(maxsize=1)
def pages_of(size: float) -> Sequence[Page]:
    """Pages of documentation, of so many bytes, or of as many as there are to be had."""
    return list(gather_pages(min(_PAGES_BYTES, size) / 1e6))


def copied(pages: Sequence[Page], size: float) -> list[Page]:
    """The pages again and again, each time with other URLs, until they have so many bytes of text."""
    copies: list[Page] = []
    written = 0
    while written < size:
        page, copy = pages[len(copies) % len(pages)], len(copies) // len(pages)
        joint = "&" if "?" in (page.url or "") else "?"
        copies.append(Page(f"{page.url}{joint}copy={copy}" if copy else page.url, page.text))
        written += len((page.text or "").encode())
    return copies


def _write(corpus: Path, layout: str, pages: Sequence[Page]) -> LayoutReport:
    size = sum(len(page.text or "") for page in pages)
    return write_layout(corpus, layout, pages, max(FILES, round(size / _FILE_BYTES)), _scores)


def _scores(pages: Sequence[Page]) -> list[float]:
    """DCLM's own scores, which no recipe here reads."""
    return [0.5] * len(pages)


def make_tokenizer(folder: Path, size: float) -> Path:
    """Trains a tokenizer on pages of so many bytes, unless it is there."""
    path = folder / "tokenizer.json"
    if not path.exists():
        path.write_text(train_tokenizer([page.text for page in pages_of(size) if page.text]), encoding="utf-8")
    return path


def make_model(folder: Path, dimensions: int, buckets: int, size: float) -> Path:
    """Trains a fastText model of two labels on pages of so many bytes, with bigrams, unless it is there."""
    path = folder / f"quality-{dimensions}-{buckets}.bin"
    if not path.exists():
        pages = pages_of(size)
        # A word that begins with __label__ would be taken for one.
        texts = [(page.text or "").replace("__label__", "label ") for page in pages]
        part = folder / "part.bin"
        settings = {"dim": dimensions, "bucket": buckets, "wordNgrams": 2, "epoch": 1}
        train_by_folder(texts, [page.url or "" for page in pages], 2, part, **settings)
        part.rename(path)
        part.with_suffix(".txt").unlink()
    return path
