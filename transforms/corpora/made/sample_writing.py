"""Writes the sample corpus: small, in the three published layouts, with a tokenizer and a classifier of its own.

```
DIR/dclm/global-shard_01_of_10/local-shard_0_of_10/shard_0000000{0,1,2}_processed.jsonl.zst
DIR/c4/c4-train.0000{0,1}-of-00002.json.gz
DIR/refinedweb/train-0000{0,1}-of-00002.parquet
DIR/tokenizer.json        8,192 tokens, byte-level BPE, <|endoftext|> and <|padding|>
DIR/quality.bin           fastText, __label__hq and __label__lq
```

The same installed packages give the same bytes. A file appears under its name only when it is whole, so a run that
was stopped is simply run again. `byline.transforms.corpora.made.sample_corpus` says where the text comes from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from byline.errors import BylineError
from byline.transforms.corpora.made import sample_corpus
from byline.transforms.corpora.made.sample_corpus import Page
from byline.transforms.files.storage import TEMPORARY_PREFIX, write_file

# All that is installed with Byline is about 16 MB; this takes some 15 s, most of it to parse.
DEFAULT_MEGABYTES = 12.0
# Below this, nothing promises that the classifier sees both of its labels.
SMALLEST_MEGABYTES = 0.5
# Several files of each layout, so that a build has work for several workers.
FILES = {"dclm": 3, "c4": 2, "refinedweb": 2}

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class LayoutReport:
    """What one layout holds: its files, relative to the sample; records; bytes of their text in UTF-8."""

    files: tuple[str, ...]
    records: int
    text_bytes: int


@dataclass(frozen=True)
class SampleReport:
    """What was written.

    Attributes:
        directory: where.
        layouts: by the name of its folder: dclm, c4, refinedweb.
        hosts: how many hosts the documents come from.
        tokenizer: path of the `tokenizer.json`.
        classifier: path of the fastText model.
    """

    directory: Path
    layouts: dict[str, LayoutReport]
    hosts: int
    tokenizer: Path
    classifier: Path

    @property
    def records(self) -> int:
        return sum(layout.records for layout in self.layouts.values())

    @property
    def text_bytes(self) -> int:
        return sum(layout.text_bytes for layout in self.layouts.values())


def write_sample(directory: Path, megabytes: float | None = None, progress: Progress | None = None) -> SampleReport:
    """Writes the sample corpus, its tokenizer and its classifier.

    Args:
        directory: made where it does not exist; files of the same names are replaced, others stay.
        megabytes: 10^6 bytes of text to stop at, by default 12; less where too little is installed.
        progress: called with the name of the step and how much of it is done, from 0 to 1.

    Raises:
        BylineError: `megabytes` is too small, or the directory cannot be written.
    """
    wanted = DEFAULT_MEGABYTES if megabytes is None else megabytes
    if not wanted >= SMALLEST_MEGABYTES:
        raise BylineError(f"a sample of {wanted:g} MB is too small; ask for {SMALLEST_MEGABYTES:g} MB or more")
    report = progress or _silent
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(directory)
        return _write(directory, wanted, report)
    except OSError as error:
        raise BylineError(
            f"{directory}: cannot be written ({error.strerror or error}); choose another folder"
        ) from None


def _silent(step: str, done: float) -> None:
    pass


def _remove_leftovers(directory: Path) -> None:
    """Removes what a killed run left under temporary names."""
    for path in sorted(directory.rglob(f"{TEMPORARY_PREFIX}*")):
        path.unlink()


def _write(directory: Path, megabytes: float, report: Progress) -> SampleReport:
    pages = _gather(megabytes, report)
    report("Train", 0)
    tokenizer = sample_corpus.train_tokenizer([page.text for page in pages if page.text])
    report("Train", 0.6)
    classifier = sample_corpus.train_classifier(pages)
    report("Train", 1)
    layouts, awkward = {}, sample_corpus.awkward_pages()
    for number, (layout, dealt) in enumerate(sample_corpus.deal_pages(pages).items()):
        report("Write", number / len(FILES))
        scores = partial(sample_corpus.score_pages, classifier)
        layouts[layout] = write_layout(directory, layout, dealt + awkward[layout], FILES[layout], scores)
    _write_bytes(directory / "tokenizer.json", tokenizer.encode())
    _write_bytes(directory / "quality.bin", classifier)
    report("Write", 1)
    hosts = len({urlsplit(page.url).hostname for page in pages if page.url})
    return SampleReport(directory, layouts, hosts, directory / "tokenizer.json", directory / "quality.bin")


def _gather(megabytes: float, report: Progress) -> list[Page]:
    pages, size = [], 0
    report("Gather", 0)
    for page in sample_corpus.gather_pages(megabytes):
        pages.append(page)
        size += _size(page)
        report("Gather", min(1.0, size / (megabytes * 1e6)))
    report("Gather", 1)
    return pages


def _size(page: Page) -> int:
    return len((page.text or "").encode())


def write_layout(
    directory: Path, layout: str, pages: Sequence[Page], count: int, scores: Callable[[Sequence[Page]], Sequence[float]]
) -> LayoutReport:
    """Writes the files of one layout, under the names of the published corpora.

    Args:
        directory: of the corpus.
        layout: dclm, c4 or refinedweb.
        pages: dealt to the files in turn.
        count: how many files.
        scores: gives what DCLM's own classifier says of the pages of a file.
    """
    files = tuple(_file_name(layout, number, count) for number in range(count))
    for number, name in enumerate(files):
        file_pages, path = pages[number::count], str(directory / name)
        if layout == "dclm":
            sample_corpus.write_dclm(path, file_pages, scores(file_pages))
        elif layout == "c4":
            sample_corpus.write_c4(path, file_pages)
        else:
            sample_corpus.write_refinedweb(path, file_pages)
    return LayoutReport(files, len(pages), sum(map(_size, pages)))


def _file_name(layout: str, number: int, count: int) -> str:
    """Names as the published corpora have them."""
    if layout == "dclm":
        return f"dclm/global-shard_01_of_10/local-shard_0_of_10/shard_{number:08d}_processed.jsonl.zst"
    if layout == "c4":
        return f"c4/c4-train.{number:05d}-of-{count:05d}.json.gz"
    return f"refinedweb/train-{number:05d}-of-{count:05d}.parquet"


def _write_bytes(path: Path, content: bytes) -> None:
    with write_file(str(path)) as sink:
        sink.write(content)
