"""The sample corpus: literal sources in, literal pages out; then a small one written twice and read back."""

import gzip
import json
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import fasttext
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from tokenizers import Tokenizer

from byline.errors import BylineError
from byline.schemas.config_file import load_config
from byline.transforms.corpora.made.sample_corpus import (
    DCLM_SCORE,
    Origin,
    Page,
    deal_pages,
    gather_pages,
    installed_origins,
    module_pages,
    score_pages,
    train_classifier,
    train_tokenizer,
    write_c4,
    write_dclm,
    write_refinedweb,
)
from byline.transforms.corpora.made.sample_writing import SampleReport, write_sample

QUICKSTART = Path(__file__).parents[4] / "configs" / "quickstart.yaml"


def origin(name: str, *texts: str, good: bool = False) -> Origin:
    pages = [("" if number == 0 else f"?page={number}", text) for number, text in enumerate(texts)]
    return Origin(f"https://{name}.example/", good, partial(iter, pages))


def read_lines(path: Path) -> list[dict]:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        plain = gzip.decompress(content)
    else:
        plain = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    return [json.loads(line) for line in plain.splitlines()]


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# --- gathering -------------------------------------------------------------------------------------------------------


def test_a_module_gives_a_page_and_one_for_each_class():
    source = b'''"""Shapes."""
import math
if math:
    def area(r: float, *, unit="m") -> float:
        """Area of a circle.

        In square units.
        """
        def helper():
            """Nobody sees this."""
def plain(): ...
class Circle:
    """A round shape."""
    class Center:
        "Its middle."
    async def grow(self, by):
        """Makes it larger."""
class Bare:
    def method(self):
        """Has a text, its class has none."""
class Empty: ...
'''
    assert list(module_pages("shapes", source)) == [
        (
            ".Circle",
            "class shapes.Circle\n\nA round shape.\n\nclass shapes.Circle.Center\n\nIts middle.\n\n"
            "grow(self, by)\n\nMakes it larger.",
        ),
        (".Bare", "class shapes.Bare\n\nmethod(self)\n\nHas a text, its class has none."),
        (".Empty", ""),
        ("", "shapes\n\nShapes.\n\narea(r: float, *, unit='m')\n\nArea of a circle.\n\nIn square units."),
    ]


@pytest.mark.parametrize("source", [b"def broken(:", b"x = '\0'", b"# coding: no-such-coding\n"])
def test_a_source_that_does_not_parse_has_no_pages(source):
    assert list(module_pages("broken", source)) == []


def test_pages_come_in_an_order_that_does_not_depend_on_how_origins_are_found():
    origins = [origin(f"site-{number}", f"{number} " + "word " * 20) for number in range(50)]
    pages = list(gather_pages(1, origins))
    assert list(gather_pages(1, origins[::-1])) == pages
    assert sorted(page.url for page in pages) == sorted(origin.url for origin in origins)
    assert [page.url for page in pages] != [origin.url for origin in origins]


def test_gathering_stops_when_there_is_enough_text():
    origins = [origin(f"site-{number}", "x" * 100) for number in range(50)]
    assert len(list(gather_pages(0.00095, origins))) == 10
    assert len(list(gather_pages(0.00101, origins))) == 11


def test_short_texts_are_left_out_and_half_surrogates_replaced():
    pages = list(gather_pages(1, [origin("a", "short", "\ud800" + "y" * 60, good=True)]))
    assert pages == [Page("https://a.example/?page=1", "?" + "y" * 60, good=True)]


def test_what_is_installed_is_found_on_reserved_hosts_only():
    origins = {origin.url: origin for origin in installed_origins()}
    assert origins["https://topics.python.example/booleans"].good
    assert origins["https://json.python.example/library/json"].good
    assert not origins["https://ma.numpy.example/reference/numpy.ma.core"].good
    assert "https://www.pyarrow.example/" in origins
    hosts = {urlsplit(url).hostname for url in origins}
    assert all(host.endswith(".example") and ".." not in host and "_" not in host for host in hosts)
    # A module may be called `tests`; a folder of that name holds tests.
    assert not any("/byline." in url or "tests" in url.split(".")[:-1] for url in origins)


def test_long_texts_are_cut_into_pages_at_empty_lines():
    first, second, third = "a" * 30_000 + "\n\n" + "b" * 15_000, "c" * 40_000, "d" * 60_000
    pages = list(gather_pages(1, [origin("a", f"{first}\n\n{second}\n\n{third}")]))
    site = "https://a.example/"
    assert [page.url for page in pages] == [site, f"{site}?page=2", f"{site}?page=3", f"{site}?page=4"]
    assert [page.text for page in pages] == [first, second, third[:50_000], third[50_000:]]


# --- the layouts -----------------------------------------------------------------------------------------------------


def test_every_page_is_dealt_once_in_about_the_published_shares():
    pages = {Page(f"https://a.example/{number}", "text") for number in range(4000)}
    dealt = deal_pages(sorted(pages, key=lambda page: page.url))
    assert sum(len(part) for part in dealt.values()) == len(pages)
    assert pages == {page for part in dealt.values() for page in part}
    shares = {layout: len(part) / 4000 for layout, part in dealt.items()}
    assert shares == pytest.approx({"dclm": 0.6, "c4": 0.25, "refinedweb": 0.15}, abs=0.03)


def test_dclm_records(tmp_path):
    pages = [Page(f"https://a.example/{number}", f"text {number}") for number in range(600)] + [Page(None, "bücher")]
    write_dclm(str(tmp_path / "a.jsonl.zst"), pages, [number / 601 for number in range(601)])
    records = read_lines(tmp_path / "a.jsonl.zst")
    assert records[7] == {
        "bff_contained_ngram_count_before_dedupe": 0,
        "language_id_whole_page_fasttext": {"en": 0.9},
        "metadata": {
            "WARC-Type": "response",
            "WARC-Target-URI": "https://a.example/7",
            "WARC-Date": "2022-01-01T00:00:00Z",
        },
        "previous_word_count": 2,
        "text": "text 7",
        "url": "https://a.example/7",
        "warcinfo": "robots: classic\r\nformat: WARC File Format 1.0\r\n",
        DCLM_SCORE: 7 / 601,
    }
    assert len(records) == 601
    assert "url" not in records[600]
    assert records[600]["text"] == "bücher"
    # Several frames: each begins with zstd's magic number.
    assert (tmp_path / "a.jsonl.zst").read_bytes().count(b"\x28\xb5\x2f\xfd") == 2


def test_c4_records(tmp_path):
    write_c4(str(tmp_path / "a.json.gz"), [Page("https://a.example/", "one\ntwo"), Page(None, ""), Page("u", None)])
    stamp = "2019-04-20T12:00:00Z"
    assert read_lines(tmp_path / "a.json.gz") == [
        {"text": "one\ntwo", "timestamp": stamp, "url": "https://a.example/"},
        {"text": "", "timestamp": stamp},
        {"timestamp": stamp, "url": "u"},
    ]
    # Bytes 4 to 7 of a gzip header are its time stamp.
    assert (tmp_path / "a.json.gz").read_bytes()[4:8] == bytes(4)


def test_refinedweb_columns(tmp_path):
    write_refinedweb(str(tmp_path / "a.parquet"), [Page("https://a.example/", "one"), Page(None, None)])
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["content", "url", "timestamp", "dump", "segment", "image_urls"]
    assert table["content"].to_pylist() == ["one", None]
    assert table["url"].to_pylist() == ["https://a.example/", None]
    assert pa.types.is_timestamp(table.schema.field("timestamp").type)
    assert table["image_urls"].to_pylist() == [[], []]


# --- the models ------------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_byte_level_and_keeps_its_special_tokens_apart():
    tokenizer = Tokenizer.from_str(train_tokenizer(["some words and some other words"] * 10, vocabulary=300))
    assert [tokenizer.token_to_id(token) for token in ("<|endoftext|>", "<|padding|>")] == [0, 1]
    text = " Straße\u2028\x00 日本 some words"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.get_vocab_size() <= 300


def test_the_classifier_tells_its_two_labels_apart_and_takes_no_label_from_a_text():
    good = [Page(None, "clear helpful prose __label__other\nin lines", good=True)] * 30
    other = [Page(None, "spam junk noise trash", good=False)] * 30
    model = train_classifier(good + other)
    assert model == train_classifier(good + other)
    scores = score_pages(model, [good[0], other[0], Page(None, None), Page(None, "clear\u2028helpful\nprose")])
    assert scores[0] > 0.8 > 0.2 > scores[1]
    assert all(0 <= score <= 1 for score in scores)
    assert scores[3] > 0.5


# --- the whole sample ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> SampleReport:
    return write_sample(tmp_path_factory.mktemp("sample") / "out" / "sample", 0.5)


def test_the_report_says_what_was_written(sample):
    assert {str(path) for path in tree(sample.directory)} == {
        *(name for layout in sample.layouts.values() for name in layout.files),
        "tokenizer.json",
        "quality.bin",
    }
    assert {layout: len(report.files) for layout, report in sample.layouts.items()} == {
        "dclm": 3,
        "c4": 2,
        "refinedweb": 2,
    }
    assert 500_000 < sample.text_bytes < 1_500_000
    records = sum(len(read_lines(sample.directory / name)) for name in sample.layouts["dclm"].files)
    assert sample.layouts["dclm"].records == records
    assert sample.hosts > 50


def test_the_same_machine_gives_the_same_bytes_over_a_stopped_run(sample, tmp_path):
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / ".tmp-1-c4-train.00000-of-00002.json.gz").write_bytes(b"half")
    (tmp_path / "tokenizer.json").write_bytes(b"older")
    steps = []
    write_sample(tmp_path, 0.5, lambda step, done: steps.append((step, done)))
    assert tree(tmp_path) == tree(sample.directory)
    assert list(dict.fromkeys(step for step, done in steps if done == 1)) == ["Gather", "Train", "Write"]
    assert steps == sorted(steps, key=lambda item: (["Gather", "Train", "Write"].index(item[0]), item[1]))


def test_dclm_scores_are_the_classifiers(sample):
    model = fasttext.load_model(str(sample.classifier))
    assert sorted(model.labels) == ["__label__hq", "__label__lq"]
    records = read_lines(sample.directory / sample.layouts["dclm"].files[0])
    for record in records[:20]:
        labels, probabilities = model.predict(" ".join(record["text"].strip().splitlines()), k=2)
        expected = dict(zip(labels, probabilities, strict=True))["__label__hq"]
        assert record[DCLM_SCORE] == pytest.approx(min(1.0, expected), abs=1e-6)
    assert len({record[DCLM_SCORE] for record in records}) > 10


def test_the_quickstart_recipe_finds_what_was_written(sample, monkeypatch):
    config = load_config(QUICKSTART)
    monkeypatch.chdir(sample.directory.parents[1])
    for layout, report in sample.layouts.items():
        found = [str(path) for pattern in config.sources[layout].patterns for path in Path().glob(pattern)]
        assert sorted(found) == [f"out/sample/{name}" for name in report.files]
    assert Path(config.classifiers["quality"].model).is_file()
    tokenizer = Tokenizer.from_file(config.tokenizer.file)
    assert tokenizer.get_vocab_size() == 8192
    assert None not in [tokenizer.token_to_id(name) for name in (config.tokenizer.bos, config.tokenizer.eos)]
    assert tokenizer.token_to_id(config.tokenizer.pad) == 1


@pytest.mark.parametrize("megabytes", [0, 0.4, -1, float("nan")])
def test_too_small_a_sample_is_refused(tmp_path, megabytes):
    with pytest.raises(BylineError, match=r"too small; ask for 0\.5 MB or more"):
        write_sample(tmp_path / "a", megabytes)
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BylineError, match=r"file/a: cannot be written \(Not a directory\); choose another folder"):
        write_sample(tmp_path / "file" / "a", 0.5)
