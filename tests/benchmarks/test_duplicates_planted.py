"""`benchmarks.duplicates_planted`: copies lie in files of other sources, and are found there by the real commands."""

from pathlib import Path

import pytest

from benchmarks.duplicates_planted import Pages, Texts, count, plant, read_pages, study, write_pages
from byline.transforms.corpora.made.sample_corpus import deal_pages, gather_pages


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    dealt = deal_pages(list(gather_pages(0.6)))
    paths = {"dclm": "a/b/shard.jsonl.zst", "c4": "c4-train.json.gz", "refinedweb": "train.parquet"}
    write_pages(
        folder,
        {source: {paths[source]: [page for page in of if page.text and page.url]} for source, of in dealt.items()},
    )
    return folder


def counted(pages: Pages) -> int:
    return sum(len(of) for files in pages.values() for of in files.values())


def test_every_tenth_page_has_a_copy_in_another_source(corpus: Path) -> None:
    pages = read_pages(corpus)
    before = counted(pages)
    planted = plant(pages, seed=1)
    assert len(planted) == before // 10
    assert counted(pages) == before + len(planted)
    source_of = {id(page): source for source, files in pages.items() for of in files.values() for page in of}
    assert all(source_of[id(one.copy)] != source_of[id(one.original)] for one in planted)
    assert all((one.copy.text == one.original.text) == (one.kind == 1) for one in planted)
    assert sum(one.kind == 1 for one in planted) == -(-len(planted) // 2)


def test_files_are_read_as_they_are_written(corpus: Path, tmp_path: Path) -> None:
    pages = read_pages(corpus)
    plant(pages, seed=2)
    write_pages(tmp_path, pages)
    assert read_pages(tmp_path) == pages


def test_similarity_by_sets() -> None:
    words = [f"w{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(44)]
    of = {("a", "x", row): " ".join(text) for row, text in enumerate([words, [*words[:-1], "other"], words[5:], []])}
    texts, keys = Texts(of, "fineweb"), list(of)
    assert len(texts.grams(keys[0])) == 40
    assert texts.similar(keys[0], keys[1])
    assert texts.similar(keys[0], keys[2])
    assert not texts.similar(keys[3], keys[3])
    assert not Texts({keys[0]: "One two 3.", keys[1]: "one two 4"}, "strict").similar(keys[0], keys[1])
    assert Texts({keys[0]: "One two 3.", keys[1]: "one two 4"}, "fineweb").similar(keys[0], keys[1])


def test_what_is_planted_is_found(corpus: Path, tmp_path: Path) -> None:
    lines = list(study(corpus, tmp_path / "work", documents=90, seed=3, nears=["fineweb"]))
    equal = next(line.split() for line in lines if line.startswith("equal"))
    assert int(equal[1]) == int(equal[2]) == int(equal[3]) > 2
    assert lines[-1].endswith("too low a `max_removed` is an error")
    assert any(line.startswith("all pairs of") for line in lines)


def test_a_wrong_column_is_seen(corpus: Path) -> None:
    pages = read_pages(corpus)
    planted = plant(pages, seed=4)
    alone = {(source, path, row): (False, None) for source, files in pages.items() for path, of in files.items()
             for row, page in enumerate(of) if page.text.strip()}  # fmt: skip
    with pytest.raises(AssertionError, match="equal copies were missed"):
        list(count(pages, planted, alone, "fineweb"))
    keys = list(alone)
    wrong = {**alone, keys[1]: (True, "{}/{}:{}".format(*keys[0]))}
    with pytest.raises(AssertionError, match="not similar"):
        list(count(pages, [], wrong, "fineweb"))
