"""The conditioned prompt as text and ids."""

import copy
import hashlib

import pytest

import byline
from byline.errors import BylineError
from byline.prompt import conditioned_prompt, metadata_hash, prompt_ids
from tests.shards import CONDITION, CONFIG, TOKENIZER, numbered_build


@pytest.fixture
def manifest_with(tmp_path):
    def make(bos=0, length=64, **condition):
        config = copy.deepcopy(CONFIG)
        config["phases"] = [
            {"name": "plain", "condition": None},
            {"name": "first", "condition": {**CONDITION, **condition}},
            {"name": "second", "condition": {**CONDITION, "template": "<{url}> "}},
        ]
        numbered_build(tmp_path, {"first": [1]}, length, config=config, tokenizer={**TOKENIZER, "bos_id": bos})
        return byline.open(tmp_path).manifest

    return make


def encode(text: str) -> list[int]:
    """Pairs of letters make one token, so that a merge across the border would show."""
    return [len(text[i : i + 2]) * 1000 + ord(text[i]) for i in range(0, len(text), 2)]


def test_text(manifest_with):
    manifest = manifest_with()
    assert conditioned_prompt(manifest, {"host": "a.org"}, "The cat") == "URL: a.org\n\nThe cat"
    assert conditioned_prompt(manifest, {}, "The cat") == "URL: unknown\n\nThe cat"
    assert conditioned_prompt(manifest, {"url": "http://a.org/"}, "x", phase="second") == "<http://a.org/> x"


def test_ids_have_bos_and_no_merge_across_the_border(manifest_with):
    manifest = manifest_with(template="{host}")
    assert prompt_ids(manifest, encode, {"host": "abc"}, "de") == [0, 2097, 1099, 2100]
    assert encode("abcde") == [2097, 2099, 1101]


def test_without_bos(manifest_with):
    assert prompt_ids(manifest_with(bos=None, template="{host}"), encode, {"host": "ab"}, "cd") == [2097, 2099]


@pytest.mark.parametrize("salt", ["byline", "", "s" * 64, "s" * 65])
def test_a_hash_field_by_what_it_is_the_hash_of(manifest_with, salt):
    manifest = manifest_with(template="{host_hash} {url_hash}: ", salt=salt)
    key = salt.encode() if len(salt) <= 64 else hashlib.sha256(salt.encode()).digest()
    expected = hashlib.blake2b(b"a.org", digest_size=8, key=key).hexdigest()
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x") == f"{expected} unknown: x"
    assert conditioned_prompt(manifest, {"host_hash": expected}, "x") == f"{expected} unknown: x"
    assert metadata_hash("a.org", salt) == expected


def test_a_hash_known_by_heart():
    assert metadata_hash("example.org", "byline") == "0b2024df8865299f"


def test_a_raw_field_beside_its_hash(manifest_with):
    manifest = manifest_with(template="{host} {host_hash} ")
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x") == f"a.org {metadata_hash('a.org', 'byline')} x"


@pytest.mark.parametrize(
    ("condition", "values", "phase", "message"),
    [
        ({}, {"hosts": "a"}, None, "phase 'first' has no field 'hosts'; its fields are host$"),
        ({"template": "{host_hash}"}, {"url": "a"}, None, "no field 'url'; its fields are host_hash, host$"),
        ({"template": "fixed "}, {"host": "a"}, None, "no field 'host'; its fields are none$"),
        ({}, {}, "plain", "phase 'plain' is not conditioned; choose from first, second"),
        ({}, {}, "third", "phase 'third' is not conditioned; choose from first, second"),
        ({"place": "after"}, {}, None, "phase 'first' puts its template after the text"),
    ],
)
def test_mistakes(manifest_with, condition, values, phase, message):
    with pytest.raises(BylineError, match=message):
        conditioned_prompt(manifest_with(**condition), values, "x", phase)


def test_a_build_without_conditions(tmp_path):
    numbered_build(tmp_path, {"plain": [1]}, config={**CONFIG, "phases": [{"name": "plain", "condition": None}]})
    with pytest.raises(BylineError, match="no conditioned phase"):
        conditioned_prompt(byline.open(tmp_path).manifest, {}, "x")


def test_a_prefix_that_training_replaced(manifest_with):
    manifest = manifest_with(length=16, template="{host}")
    assert prompt_ids(manifest, encode, {"host": "ab" * 8}, "") == [0] + [2097] * 8
    with pytest.raises(BylineError, match="9 tokens, and one of more than 8 was replaced"):
        prompt_ids(manifest, encode, {"host": "ab" * 9}, "")
