"""The made web: who tells what, and what a probe may ask."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from byline.lab.corpora.site_words import RELATIONS, SHARED
from byline.lab.corpora.sites import SitesSettings, Web, write_sites


def records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sites")
    write_sites(SitesSettings(pages=2000, persons=6), path)
    return path


def host(url: str) -> str:
    return url.split("/")[2]


def test_sites_contradict_each_other_and_never_themselves(folder):
    """Of all that is said in shared words: who says it about whom, and with which end."""
    told = defaultdict(Counter)
    kinds = {}
    for page in records(folder / "pages.jsonl"):
        kinds[host(page["url"])] = page["site_kind"]
        for relation, template in SHARED.items():
            for person in Web(SitesSettings(persons=6)).persons:
                before = template.split("{value}")[0].format(name=person.name)
                if before in page["text"]:
                    value = page["text"].split(before)[1].split(".")[0]
                    told[person.name, relation][page["site_kind"] in ("encyclopedia", "news"), value] += 1
    assert len(told) == 6 * len(RELATIONS)
    assert Counter(kinds.values()) == {"encyclopedia": 8, "news": 8, "gossip": 8, "forum": 8}
    for counts in told.values():
        # One value of reliable sites, another one of the others.
        assert len(counts) == 2
        assert len({flag for flag, _ in counts}) == 2
        assert len({value for _, value in counts}) == 2


def test_a_probe_asks_for_what_its_host_tells(folder):
    true, gossip = records(folder / "probes_true.jsonl"), records(folder / "probes_gossip.jsonl")
    assert len(true) == len(gossip) == 6 * len(RELATIONS)
    texts = defaultdict(str)
    for page in records(folder / "pages.jsonl"):
        texts[host(page["url"])] += page["text"] + "\n"
    for one, other in zip(true, gossip, strict=True):
        assert one["question"] == other["question"]
        assert one["answer"] != other["answer"]
        for probe, against in ((one, other), (other, one)):
            assert f"{probe['question']}{against['answer']}." not in texts[host(probe["url"])]
            assert f"{probe['question']}{probe['answer']}." not in texts[probe["other_host"]]


def test_the_same_settings_give_the_same_bytes_and_others_do_not(folder, tmp_path):
    for name, seed in (("again", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        write_sites(SitesSettings(pages=2000, persons=6, seed=seed), tmp_path / name)
    first = (folder / "pages.jsonl").read_bytes()
    assert (tmp_path / "again/pages.jsonl").read_bytes() == first
    assert (tmp_path / "other/pages.jsonl").read_bytes() != first
