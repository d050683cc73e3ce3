"""A small corpus from text that is on every machine: the documentation of the installed Python packages.

```
numpy/ma/core.py           -> https://ma.numpy.example/reference/numpy.ma.core                a module and its functions
                              https://ma.numpy.example/reference/numpy.ma.core.MaskedArray    one of its classes
numpy's README             -> https://www.numpy.example/
asyncio/events.py          -> https://asyncio.python.example/library/asyncio.events
pydoc's topic "booleans"   -> https://topics.python.example/booleans
```

Nothing is imported: sources are parsed, so gathering is safe, and the same packages give the same pages in the same
order (that of a hash of the URL). Every host ends in `.example`, a domain that is reserved and belongs to nobody.

| layout | file | columns | share of the pages |
|---|---|---|---|
| DCLM | `.jsonl.zst`, one zstd frame for 500 records | `text`, `url`, a fastText score and six more | 60 % |
| C4 | `.json.gz` | `text`, `timestamp`, `url` | 25 % |
| RefinedWeb | `.parquet` | `content`, `url`, `timestamp`, `dump`, `segment`, `image_urls` | 15 % |
"""

import ast
import gzip
import hashlib
import inspect
import json
import os
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path, PurePosixPath
from pydoc_data.topics import topics
from urllib.parse import quote

import fasttext
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from byline.transforms.files.refusals import no_scratch, refusing, scratch_folder
from byline.transforms.files.storage import write_file

DCLM_SCORE = "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob"
SPECIAL_TOKENS = ["<|endoftext|>", "<|padding|>"]
GOOD_LABEL, OTHER_LABEL = "__label__hq", "__label__lq"
# Shorter ones are headings without text.
_MIN_CHARACTERS = 50
# Longer ones are cut into pages, as a site would; the longest here would have more than 300,000.
_MAX_CHARACTERS = 50_000
# Folders that hold no documentation for a reader, or another package's.
_TEST_FOLDERS = frozenset(["test", "tests", "_test", "testing", "idlelib", "lib2to3"])
_SKIPPED_FOLDERS = _TEST_FOLDERS | {"_vendor", "site-packages", "dist-packages", "__pycache__"}
# Several frames in one file, as in the published DCLM files.
_FRAME_RECORDS = 500
_ROW_GROUP = 500
_NO_ROOM = partial(no_scratch, "the classifier of the sample")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Page:
    """One document of the corpus. `good` is what the sample's classifier learns: prose of the standard library."""

    url: str | None
    text: str | None
    good: bool = False


@dataclass(frozen=True)
class Origin:
    """Where pages come from, not yet read.

    Attributes:
        url: of the first page; it decides the order.
        good: see `Page`.
        read: gives (what to put behind the URL, text) pairs.
    """

    url: str
    good: bool
    read: Callable[[], Iterator[tuple[str, str]]]


def gather_pages(megabytes: float, origins: Sequence[Origin] | None = None) -> Iterator[Page]:
    """Yields pages until they hold `megabytes` of text, in order of a hash of their origin's URL.

    Args:
        megabytes: 10^6 bytes of UTF-8; the last origin is given whole.
        origins: what to read; by default all that is installed.
    """
    size = 0
    for origin in sorted(installed_origins() if origins is None else origins, key=lambda origin: _hash(origin.url)):
        if size >= megabytes * 1e6:
            return
        for suffix, text in origin.read():
            # A docstring may hold half a surrogate pair, which no UTF-8 file can.
            whole = text.encode("utf-8", "replace").decode()
            for number, part in enumerate(_cut(whole), 1):
                if len(part) >= _MIN_CHARACTERS:
                    size += len(part.encode())
                    yield Page(origin.url + suffix + (f"?page={number}" if number > 1 else ""), part, origin.good)


def _cut(text: str) -> Iterator[str]:
    """Parts of at most `_MAX_CHARACTERS`, cut at an empty line where there is one."""
    while len(text) > _MAX_CHARACTERS:
        end = text.rfind("\n\n", 1, _MAX_CHARACTERS)
        yield text[: end if end > 0 else _MAX_CHARACTERS]
        text = text[end if end > 0 else _MAX_CHARACTERS :].lstrip("\n")
    yield text


def installed_origins() -> list[Origin]:
    """Everything on this machine that documentation can be read from."""
    return [*_topic_origins(), *_library_origins(Path(sysconfig.get_path("stdlib"))), *_package_origins()]


def _topic_origins() -> Iterator[Origin]:
    for name, text in topics.items():
        yield Origin(f"https://topics.python.example/{quote(name)}", True, partial(_whole, text))


def _whole(text: str) -> Iterator[tuple[str, str]]:
    yield "", text


def _library_origins(folder: Path) -> Iterator[Origin]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
        for path in (Path(parent, name) for name in sorted(files) if name.endswith(".py")):
            relative = PurePosixPath(path.relative_to(folder).as_posix())
            site = f"{_label(relative.parts[0])}.python" if len(relative.parts) > 1 else "docs.python"
            yield _module_origin(f"https://{site}.example/library/", relative, path, good=True)


def _package_origins() -> Iterator[Origin]:
    seen: set[str] = set()
    for package in metadata.distributions():
        name = _label(package.metadata["Name"] or "")
        # Byline itself is left out, so that its sample does not change with its own text.
        if not name or name == "byline" or name in seen:
            continue
        seen.add(name)
        yield Origin(f"https://www.{name}.example/", False, partial(_readme, package))
        for file in package.files or []:
            if file.suffix == ".py" and ".." not in file.parts and _SKIPPED_FOLDERS.isdisjoint(file.parts):
                # A package of many parts is a site with many hosts.
                site = f"{_label(file.parts[1])}.{name}" if len(file.parts) > 2 else name
                url = f"https://{site}.example/reference/"
                yield _module_origin(url, PurePosixPath(file), Path(str(file.locate())), good=False)


def _readme(package: metadata.Distribution) -> Iterator[tuple[str, str]]:
    # The description is the body of a mail-like file, behind its headers.
    yield "", (package.read_text("METADATA") or "").partition("\n\n")[2].strip()


def _module_origin(folder: str, relative: PurePosixPath, path: Path, good: bool) -> Origin:
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    return Origin(folder + quote(module), good, partial(_read_module, module, path))


def _label(name: str) -> str:
    """A label of a host name: letters, digits and inner hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _read_module(module: str, path: Path) -> Iterator[tuple[str, str]]:
    try:
        source = path.read_bytes()
    except OSError:
        return
    if b'"""' in source or b"'''" in source:
        yield from module_pages(module, source)


def module_pages(module: str, source: bytes) -> Iterator[tuple[str, str]]:
    """The documentation in a Python source: a page of the module and its functions, and one for each class.

    Args:
        module: its dotted name.
        source: the file; one that does not parse has no pages.

    Yields:
        what to put behind the module's URL (`""` or `.Class`), and the text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return
    entries = [(module, _docstring(tree))]
    for node in _definitions(tree):
        if isinstance(node, ast.ClassDef):
            yield f".{quote(node.name)}", _page(_class_entries(node, f"{module}."))
        else:
            entries.append((_signature(node), _docstring(node)))
    yield "", _page(entries)


def _definitions(node: ast.AST) -> Iterator[Definition]:
    """Classes and functions of a module or class, those under `if` and `try` included; not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        elif isinstance(child, (ast.If, ast.Try, ast.ExceptHandler, ast.With)):
            yield from _definitions(child)


def _class_entries(node: ast.ClassDef, prefix: str) -> list[tuple[str, str]]:
    entries = [(f"class {prefix}{node.name}", _docstring(node))]
    for child in _definitions(node):
        if isinstance(child, ast.ClassDef):
            entries += _class_entries(child, f"{prefix}{node.name}.")
        else:
            entries.append((_signature(child), _docstring(child)))
    return entries


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    # Unparsing costs as much as parsing, so only what will be shown is unparsed.
    return f"{node.name}({ast.unparse(node.args)})" if _docstring(node) else node.name


def _docstring(node: ast.Module | Definition) -> str:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return inspect.cleandoc(first.value.value)
    return ""


def _page(entries: list[tuple[str, str]]) -> str:
    """The first heading, then each text below its heading; nothing where there is no text at all."""
    (heading, text), *others = entries
    shown = [f"{heading}\n\n{text}".strip()] + [f"{name}\n\n{doc}" for name, doc in others if doc]
    return "\n\n".join(shown) if text or len(shown) > 1 else ""


def awkward_pages() -> dict[str, list[Page]]:
    """Records as a crawl has them, for each layout, so that every kind of loss shows in the ledger."""
    text = "This page stands in the sample to show what becomes of a record that is not as one would like it to be."
    return {
        "dclm": [
            Page(None, f"{text} It has no URL."),
            Page("https://bücher.example/straße?q=ä", f"{text} Its host has letters outside ASCII."),
            Page(
                "https://special.example/",
                f"{text} It says <|endoftext|> and <|padding|>, names of tokens.",
            ),
            Page("https://empty.example/dclm", ""),
        ],
        "c4": [
            Page("HTTP://Reader:Secret@Upper.Example:8080/A?b#c", f"{text} Its URL has a user, a port and upper case."),
            Page("https://192.0.2.7/index.html", f"{text} Its host is an address."),
            Page("https://blank.example/c4", " \n\t\n"),
            Page("https://no-text.example/c4", None),
        ],
        "refinedweb": [
            Page("no-scheme.example/page", f"{text} Its URL has no scheme."),
            Page("http://[not an address/", f"{text} Its URL is malformed."),
            Page("https://xn--bcher-kva.example/", f"{text} Its host is written in punycode."),
            Page("https://no-text.example/refinedweb", None),
        ],
    }


def deal_pages(pages: Sequence[Page]) -> dict[str, list[Page]]:
    """Gives each page to one layout by a hash of its URL (60, 25, 15 %)."""
    dealt: dict[str, list[Page]] = {"dclm": [], "c4": [], "refinedweb": []}
    for page in pages:
        share = int.from_bytes(_hash(f"layout {page.url}"), "big") % 100
        dealt["dclm" if share < 60 else "c4" if share < 85 else "refinedweb"].append(page)
    return dealt


def write_dclm(path: str, pages: Sequence[Page], scores: Sequence[float]) -> None:
    """Writes `.jsonl.zst` in many zstd frames; a page without URL or text has no such key."""
    with write_file(path) as sink:
        for start in range(0, len(pages), _FRAME_RECORDS):
            part = zip(pages[start : start + _FRAME_RECORDS], scores[start : start + _FRAME_RECORDS], strict=True)
            lines = b"".join(_json_line(_dclm_record(page, score)) for page, score in part)
            sink.write(pa.Codec("zstd", compression_level=3).compress(lines, asbytes=True))


def _dclm_record(page: Page, score: float) -> dict[str, object]:
    headers = {"WARC-Type": "response", "WARC-Target-URI": page.url, "WARC-Date": "2022-01-01T00:00:00Z"}
    return {
        "bff_contained_ngram_count_before_dedupe": 0,
        "language_id_whole_page_fasttext": {"en": 0.9},
        "metadata": headers,
        "previous_word_count": len((page.text or "").split()),
        "text": page.text,
        "url": page.url,
        "warcinfo": "robots: classic\r\nformat: WARC File Format 1.0\r\n",
        DCLM_SCORE: score,
    }


def write_c4(path: str, pages: Sequence[Page]) -> None:
    """Writes `.json.gz`; a page without URL or text has no such key."""
    stamp = "2019-04-20T12:00:00Z"
    lines = (_json_line({"text": page.text, "timestamp": stamp, "url": page.url}) for page in pages)
    with write_file(path) as sink:
        # No time stamp in the header, or every run would give other bytes.
        sink.write(gzip.compress(b"".join(lines), compresslevel=6, mtime=0))


def _json_line(record: dict[str, object]) -> bytes:
    return json.dumps({key: value for key, value in record.items() if value is not None}).encode() + b"\n"


def write_refinedweb(path: str, pages: Sequence[Page]) -> None:
    """Writes `.parquet`; a page without URL or text has a null there."""
    count = len(pages)
    table = pa.table(
        {
            "content": pa.array([page.text for page in pages], pa.string()),
            "url": pa.array([page.url for page in pages], pa.string()),
            "timestamp": pa.array([0] * count, pa.timestamp("s")),
            "dump": ["CC-MAIN-2022-33"] * count,
            "segment": ["1660882570651.49"] * count,
            "image_urls": pa.array([[]] * count, pa.list_(pa.list_(pa.string()))),
        }
    )
    with write_file(path) as sink:
        pq.write_table(table, sink, row_group_size=_ROW_GROUP)


def train_tokenizer(texts: Sequence[str], vocabulary: int = 8192) -> str:
    """Trains a byte-level BPE (GPT-2's splitting) with two special tokens; returns the `tokenizer.json`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str(pretty=True)


def train_classifier(pages: Sequence[Page]) -> bytes:
    """Trains a two-label fastText model (`__label__hq`: prose of the standard library); returns the `.bin`.

    One thread, because several write to the same weights and no two runs agree.
    """
    with scratch_folder("sample") as folder, refusing(_NO_ROOM):
        examples, model = Path(folder, "examples.txt"), Path(folder, "model.bin")
        with examples.open("w", encoding="utf-8") as sink:
            sink.writelines(map(_example, pages))
        shape = {"dim": 16, "bucket": 50_000, "wordNgrams": 2, "minCount": 5}
        fasttext.train_supervised(str(examples), **shape, epoch=5, lr=0.5, thread=1, verbose=0).save_model(str(model))
        # The library does not say that it could not write all of it; where a disk is full, the next byte does.
        with model.open("ab") as sink:
            sink.write(b"\0")
        return model.read_bytes()[:-1]


def _example(page: Page) -> str:
    # fastText takes a word that begins with __label__ for a label, and its own documentation is full of them.
    words = " ".join((page.text or "").split()).replace("__label__", "label ")
    return f"{GOOD_LABEL if page.good else OTHER_LABEL} {words}\n"


def score_pages(model: bytes, pages: Sequence[Page]) -> list[float]:
    """Probability of `__label__hq` for each page as the fastText library gives it, at most 1; 0 without text."""
    with scratch_folder("sample") as folder, refusing(_NO_ROOM):
        path = Path(folder, "model.bin")
        path.write_bytes(model)
        classifier = fasttext.load_model(str(path))
    scores = []
    for page in pages:
        labels, probabilities = classifier.predict(" ".join((page.text or "").strip().splitlines()), k=2)
        scores.append(min(1.0, dict(zip(labels, map(float, probabilities), strict=True)).get(GOOD_LABEL, 0.0)))
    return scores
