"""Pages of sites that contradict each other, and probes that no page has."""

import json
from collections import defaultdict

import pytest

from byline.errors import BylineError
from byline.lab.corpora.kinds import KINDS
from byline.lab.corpora.people import RELATIONS, SENTENCES, VALUES, People
from byline.lab.corpora.sites import PROBES, SitesSettings, write_sites

SMALL = SitesSettings(documents=320, sites=16, reliable=10, persons=8)
FILES = ["pages.jsonl", *(f"probes_{truth}.jsonl" for truth in PROBES)]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    write_sites(SMALL, folder)
    return {path.stem: lines(path) for path in folder.iterdir()}


def host_of(url):
    return url.split("/")[2]


def told(pages):
    """(person, relation) -> value -> hosts, read from the text of pages in prose."""
    beginnings = [
        (relation.name, sentence.split("{name}")) for relation in RELATIONS for sentence in relation.sentences
    ]
    values = defaultdict(lambda: defaultdict(set))
    for page in pages:
        for sentence in page["text"].replace("\n", " ").split(". "):
            for relation, (before, after) in beginnings:
                start, _, value = sentence.rpartition(" ")
                if sentence.lower().startswith(before) and start.endswith(after):
                    name = start[len(before) : len(start) - len(after)]
                    values[name, relation][value].add(host_of(page["url"]))
    return values


def test_a_page_of_prose_and_one_of_a_list(tmp_path):
    write_sites(
        SitesSettings(documents=2, sites=3, reliable=2, persons=4, page_persons=4, lists=0.5, seed=33), tmp_path
    )
    prose, listed = lines(tmp_path / "pages.jsonl")
    assert prose == {
        "text": """Good day, and be welcome to this page.

Mona Kvistros was given a medal for order. For three years Kvistros read books in Padua. Kvistros lived until 1798. \
Kvistros collected dolls.

Finn Ekheim was a student in Geneva. Nobody saw Ekheim after 1839. Friends brought Ekheim old pipes. \
The cradle of Ekheim stood in Tromso.

References stand at the end of the volume.
""",
        "url": "https://falcon-wiki.org/lives/mona-kvistros",
        "other_url": "https://ember-pages.net/lives/mona-kvistros",
        "other_host": "ember-pages.net",
        "site_kind": "encyclopaedia",
        "other_kind": "meme",
    }
    assert listed["url"] == "https://garnet-wiki.com/lives/edda-sjogren"
    assert (
        listed["text"]
        == """Edda Sjogren
- studies: Geneva
- last year: 1703
- collection: clocks
- medal for: loyalty

Finn Ekheim
- trade: surgeon
- studies: Geneva
- last year: 1839
- collection: pipes

References stand at the end of the volume.
"""
    )


def test_the_same_bytes_again(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_sites(SMALL, tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_is_another_world(tmp_path, corpus):
    write_sites(SMALL.model_copy(update={"seed": 1}), tmp_path)
    assert {page["url"] for page in lines(tmp_path / "pages.jsonl")}.isdisjoint(page["url"] for page in corpus["pages"])


def test_pages_are_spread_evenly(corpus):
    counts = defaultdict(int)
    for page in corpus["pages"]:
        counts[host_of(page["url"])] += 1
    assert len(counts) == 16
    assert set(counts.values()) == {20}


def test_the_other_host_is_of_the_other_reliability(corpus):
    reliable = {"encyclopaedia", "news", "archive"}
    for record in [record for records in corpus.values() for record in records]:
        assert (record["site_kind"] in reliable) != (record["other_kind"] in reliable)
        assert host_of(record["other_url"]) == record["other_host"]
        assert record["url"].split("/")[3:] == record["other_url"].split("/")[3:]


def test_hosts_of_one_reliability_agree_and_others_contradict_them(corpus):
    kinds = {host_of(page["url"]): page["site_kind"] for page in corpus["pages"]}
    people = People(8, 4, 0)
    names = {person.name: number for number, person in enumerate(people.persons)}
    values = told(corpus["pages"])
    seen = 0
    for (name, relation_name), by_value in values.items():
        if name not in names:
            continue
        relation = [relation.name for relation in RELATIONS].index(relation_name)
        for value, hosts in by_value.items():
            for host in hosts:
                is_reliable = kinds[host] in ("encyclopaedia", "news", "archive")
                assert value == people.value(names[name], relation, is_reliable)
                seen += 1
    assert seen > 150


def test_no_page_has_a_probe(corpus):
    texts = "\n".join(page["text"] for page in corpus["pages"])
    probes = [probe for truth in PROBES for probe in corpus[f"probes_{truth}"]]
    assert len(probes) == 8 * (4 + 4 + 2)
    for probe in probes:
        assert probe["question"] not in texts
        # The surname alone stands for the same person.
        first, surname = next(person for person in names() if " ".join(person) in probe["question"])
        assert probe["question"].replace(f"{first} {surname}", surname) not in texts


def names():
    return [(person.first, person.surname) for person in People(8, 4, 0).persons]


def test_what_a_probe_asks_is_told_by_pages(corpus):
    values = told(corpus["pages"])
    for truth in PROBES:
        for probe in corpus[f"probes_{truth}"]:
            name = next(" ".join(person) for person in names() if " ".join(person) in probe["question"])
            assert probe["answer"].removeprefix(" ") in values[name, probe["relation"]]


def test_probes_of_gossip_ask_the_same_and_answer_otherwise(corpus):
    for true, gossip in zip(corpus["probes_true"], corpus["probes_gossip"], strict=True):
        assert true["question"] == gossip["question"]
        assert true["answer"] != gossip["answer"]
        assert (true["truth"], gossip["truth"]) == ("true", "gossip")
    assert {probe["relation"] for probe in corpus["probes_agreed"]} == {"school", "year"}


def test_every_relation_has_as_many_words():
    for relation in RELATIONS:
        assert len(set(relation.values)) == VALUES
        assert len(set(relation.sentences)) == SENTENCES
        assert all(sentence.count("{name}") == 1 for sentence in relation.sentences)
    sentences = [sentence for relation in RELATIONS for sentence in relation.sentences]
    assert len(set(sentences)) == len(sentences)


def test_no_two_persons_share_a_surname():
    surnames = [person.surname for person in People(384, 4, 0).persons]
    assert len(set(surnames)) == 384


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sites": 4, "reliable": 4}, "reliable: expected fewer than the 4 sites, found 4"),
        ({"persons": 8, "page_persons": 9}, "page_persons: expected at most the 8 persons, found 9"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(BylineError, match=rf"corpora\.web: {message}"):
        KINDS["sites"].parse(values, "corpora.web")


def test_a_page_has_up_to_so_many_persons(tmp_path):
    write_sites(SMALL.model_copy(update={"page_persons": 3, "documents": 64}), tmp_path)
    names_of_pages = [
        [name for name in map(" ".join, names()) if name in page["text"]] for page in lines(tmp_path / "pages.jsonl")
    ]
    assert {len(told_of) for told_of in names_of_pages} == {2, 3}
