"""The conditioned prompt as text and ids."""

import copy
import hashlib
from dataclasses import replace

import pytest

import byline
from byline.errors import BylineError
from byline.prompt import conditioned_prompt, metadata_hash, prompt_ids
from tests.support.shards import CONDITION, CONFIG, TOKENIZER, numbered_build


@pytest.fixture
def manifest_with(tmp_path):
    def make(bos=0, length=64, **condition):
        config = copy.deepcopy(CONFIG)
        config["phases"] = [
            {"name": "plain", "condition": None},
            {"name": "first", "condition": {**CONDITION, **condition}},
            {"name": "second", "condition": {**CONDITION, "template": "<{url}> "}},
        ]
        shards = {"plain": [1], "first": [1], "second": [1]}
        numbered_build(tmp_path, shards, length, config=config, tokenizer={**TOKENIZER, "bos_id": bos})
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
        ({"position": "after"}, {}, None, "phase 'first' puts its template after the text"),
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
    with pytest.raises(BylineError, match="9 tokens, and training replaced any prefix of more than 8"):
        prompt_ids(manifest, encode, {"host": "ab" * 9}, "")


# --- tokens around the template, top values and bins, branches


def with_tokens(manifest, **tokenizer):
    return replace(manifest, tokenizer={**manifest.tokenizer, **tokenizer})


def with_values(manifest, **values):
    """The manifest with what `top` and `bins` of the first conditioned phase came to."""
    plain, first, second = manifest.phases
    return replace(manifest, phases=[plain, replace(first, values={"top": {}, "bins": {}, **values}), second])


@pytest.mark.parametrize(
    ("condition", "text", "ids"),
    [
        ({"begin": "<m>", "end": "</m>"}, "<m>ab</m>cd", [0, 500, 2097, 501, 2099]),
        ({"begin": "<m>", "end": None}, "<m>abcd", [0, 500, 2097, 2099]),
        ({"begin": None, "end": "</m>"}, "ab</m>cd", [0, 2097, 501, 2099]),
    ],
)
def test_tokens_around_the_template(manifest_with, condition, text, ids):
    manifest = manifest_with(template="{host}", **condition)
    assert conditioned_prompt(manifest, {"host": "ab"}, "cd") == text
    # The ones that the build added, and those of the file that it used; text is never one of them.
    for tokenizer in (
        {"added": {"<m>": 500, "</m>": 501}},
        {"markers": {"<m>": 500, "</m>": 501}},
        {"added": {"<m>": 500}, "markers": {"</m>": 501}},
    ):
        assert prompt_ids(with_tokens(manifest, **tokenizer), encode, {"host": "ab"}, "cd") == ids


def test_a_token_whose_id_is_not_known(manifest_with):
    manifest = with_tokens(manifest_with(begin="<m>", end="</m>"), added={"<m>": 500})
    with pytest.raises(BylineError, match="no id for the token '</m>'"):
        prompt_ids(manifest, encode, {"host": "ab"}, "cd")


def test_the_tokens_around_count_towards_what_training_replaced(manifest_with):
    manifest = manifest_with(length=16, template="{host}", begin="<m>", end="<m>")
    manifest = with_tokens(manifest, added={"<m>": 500})
    assert prompt_ids(manifest, encode, {"host": "ab" * 6}, "") == [0, 500] + [2097] * 6 + [500]
    with pytest.raises(BylineError, match="9 tokens, and training replaced any prefix of more than 8"):
        prompt_ids(manifest, encode, {"host": "ab" * 7}, "")


def test_a_value_that_top_did_not_keep_is_unknown(manifest_with):
    manifest = manifest_with(template="{host} {url} ", top={"host": 2}, unknown="?")
    manifest = with_values(manifest, top={"host": ["a.org", "b.org"]})
    assert conditioned_prompt(manifest, {"host": "b.org", "url": "u"}, "x") == "b.org u x"
    assert conditioned_prompt(manifest, {"host": "c.org", "url": "u"}, "x") == "? u x"


def test_top_of_a_hash_field_looks_at_the_hash(manifest_with):
    manifest = with_values(manifest_with(template="{host_hash} "), top={"host_hash": [metadata_hash("a", "byline")]})
    assert conditioned_prompt(manifest, {"host": "a"}, "x") == f"{metadata_hash('a', 'byline')} x"
    assert conditioned_prompt(manifest, {"host_hash": metadata_hash("a", "byline")}, "x")[-2:] == " x"
    assert conditioned_prompt(manifest, {"host": "b"}, "x") == "unknown x"


def test_a_number_in_bins_is_given_as_the_number_of_its_bin(manifest_with):
    manifest = with_values(manifest_with(template="{quality} "), bins={"quality": [0.2, 0.5]})
    for value in ("0", "1", "2"):
        assert conditioned_prompt(manifest, {"quality": value}, "x") == f"{value} x"
    assert conditioned_prompt(manifest, {}, "x") == "unknown x"
    message = "quality is in bins in phase 'first': give the number of a bin, from 0 to 2, not"
    for value in ("3", "-1", "0.2", "01", "", "²"):
        with pytest.raises(BylineError, match=message):
            conditioned_prompt(manifest, {"quality": value}, "x")


def test_each_point_of_a_branch_is_conditioned_as_the_branch(manifest_with):
    manifest = manifest_with()
    # A branch may have the name of a phase.
    config = {**manifest.config, "branches": [{"name": "plain", "condition": {**CONDITION, "template": "<{host}> "}}]}
    points = [
        replace(manifest.phases[0], name=name, branch={"of": "plain"}, values={"top": {"host": kept}, "bins": {}})
        for name, kept in (("plain-25", []), ("plain-50", ["a.org"]))
    ]
    manifest = replace(manifest, config=config, phases=[manifest.phases[0], *points])
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x") == "<unknown> x"
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x", "plain-50") == "<a.org> x"
    with pytest.raises(BylineError, match="phase 'plain' is not conditioned; choose from plain-25, plain-50"):
        conditioned_prompt(manifest, {}, "x", "plain")
