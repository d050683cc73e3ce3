"""The conditioned prompt as text and ids."""

import copy
import hashlib
from dataclasses import replace

import pytest

import byline
from byline.errors import BylineError
from byline.prompt import Prompt, conditioned_prompt, metadata_hash, prompt_ids, prompt_pair
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
        ({}, {"host": "a"}, "plain", "phase 'plain' is not conditioned; choose from first, second"),
        ({}, {}, "third", "no phase or branch 'third'; choose from plain, first, second"),
        ({"position": "after"}, {"url": "a"}, None, "phase 'first' has no field 'url'; its fields are host$"),
    ],
)
def test_mistakes(manifest_with, condition, values, phase, message):
    with pytest.raises(BylineError, match=message):
        conditioned_prompt(manifest_with(**condition), values, "x", phase)


def test_a_build_without_conditions(tmp_path):
    numbered_build(tmp_path, {"plain": [1]}, config={**CONFIG, "phases": [{"name": "plain", "condition": None}]})
    manifest = byline.open(tmp_path).manifest
    assert conditioned_prompt(manifest, {}, "x") == "x"
    assert prompt_ids(manifest, encode, {}, "ab") == [0, 2097]
    message = "phase 'plain' is not conditioned; no phase of this build is, so a prompt is the text alone"
    with pytest.raises(BylineError, match=message):
        conditioned_prompt(manifest, {"host": "a"}, "x")
    with pytest.raises(BylineError, match=message):
        prompt_pair(manifest, encode, {}, "x")


def test_a_phase_without_a_condition(manifest_with):
    assert conditioned_prompt(manifest_with(), {}, "x", "plain") == "x"
    assert prompt_ids(manifest_with(), encode, {}, "ab", "plain") == [0, 2097]


def test_unknown_values(manifest_with):
    manifest = manifest_with(template="{host} {url}: ", unknown="?")
    assert conditioned_prompt(manifest, {"host": None, "url": "u"}, "x") == "? u: x"
    assert conditioned_prompt(manifest_with(template="{host_hash}: "), {"host": None}, "x") == "unknown: x"


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
        replace(
            manifest.phases[0], name=name, branch={"of": "plain", "at": 0.5}, values={"top": {"host": kept}, "bins": {}}
        )
        for name, kept in (("plain-25", []), ("plain-50", ["a.org"]))
    ]
    manifest = replace(manifest, config=config, phases=[manifest.phases[0], *points])
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x") == "<unknown> x"
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x", "plain-50") == "<a.org> x"
    with pytest.raises(BylineError, match="phase 'plain' is not conditioned; choose from plain-25, plain-50"):
        conditioned_prompt(manifest, {"host": "a.org"}, "x", "plain")


def test_what_is_held_out_has_a_condition_of_its_own(manifest_with):
    manifest = manifest_with()
    branch = {"of": "unseen", "at": 0.0, "phase": "plain", "shards": 0}
    held = replace(manifest.phases[0], name="unseen", branch=branch)
    config = {**manifest.config, "holdout": {"name": "unseen", "condition": {**CONDITION, "template": "<{host}> "}}}
    manifest = replace(manifest, config=config, phases=[*manifest.phases, held])
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x", "unseen") == "<a.org> x"
    assert conditioned_prompt(manifest, {"host": "a.org"}, "x") == "URL: a.org\n\nx"


def test_what_is_held_out_is_not_what_training_had(manifest_with):
    manifest = manifest_with()
    branch = {"of": "unseen", "at": 0.0, "phase": manifest.phases[0].name, "shards": 0}
    held = replace(manifest.phases[0], name="unseen", branch=branch)
    phase = {**manifest.config["phases"][0], "condition": None}
    holdout = {"name": "unseen", "condition": {**CONDITION, "template": "<{host}> ", "begin": "<m>", "empty": 0.5}}
    config = {**manifest.config, "phases": [phase, *manifest.config["phases"][1:]], "holdout": holdout}
    manifest = with_tokens(replace(manifest, config=config, phases=[manifest.phases[0], held]), added={"<m>": 500})
    assert conditioned_prompt(manifest, {}, "x") == "x"
    assert prompt_pair(manifest, encode, {"host": "a.org"}, "x", "unseen").way == "none"


# --- a template after the text


def test_metadata_after_the_text(manifest_with):
    manifest = with_tokens(
        manifest_with(template="{host}", position="after", begin="<m>", end="</m>"), added={"<m>": 500, "</m>": 501}
    )
    assert conditioned_prompt(manifest, {"host": "ab"}, "cd") == "cd<m>ab</m>"
    assert prompt_ids(manifest, encode, {"host": "ab"}, "cd") == [0, 2099, 500, 2097, 501]
    # What the model goes on with is the metadata.
    assert conditioned_prompt(manifest, {}, "cd") == "cd<m>"
    assert prompt_ids(manifest, encode, {}, "cd") == [0, 2099, 500]
    assert conditioned_prompt(manifest, {"host": None}, "cd") == "cd<m>unknown</m>"


def test_metadata_after_the_text_without_tokens_around_it(manifest_with):
    manifest = manifest_with(template="{host}", position="after", length=16)
    assert prompt_ids(manifest, encode, {}, "ab" * 20) == [0] + [2097] * 20
    assert prompt_ids(manifest, encode, {"host": "cd"}, "ab") == [0, 2097, 2099]
    with pytest.raises(BylineError, match="9 tokens, and training replaced any prefix of more than 8"):
        prompt_ids(manifest, encode, {"host": "ab" * 9}, "")


# --- pairs for classifier-free guidance


def conditioned_alone(manifest):
    """The manifest of a timeline whose phases all have a condition."""
    return replace(manifest, phases=[phase for phase in manifest.phases if phase.name != "plain"])


@pytest.mark.parametrize(
    ("condition", "way", "text", "ids"),
    [
        ({}, "unknown", "<m>unknown</m>cd", [0, 500, 2117, 2107, 2111, 1110, 501, 2099]),
        ({"dropout": 0.1}, "none", "cd", [0, 2099]),
        ({"dropout": "1/3"}, "none", "cd", [0, 2099]),
        ({"empty": 0.2}, "empty", "<m></m>cd", [0, 500, 501, 2099]),
        ({"empty": 0.2, "dropout": 0.1}, "empty", "<m></m>cd", [0, 500, 501, 2099]),
    ],
)
def test_a_pair_has_what_training_had_for_no_metadata(manifest_with, condition, way, text, ids):
    manifest = manifest_with(template="{host}", begin="<m>", end="</m>", **condition)
    manifest = with_tokens(conditioned_alone(manifest), added={"<m>": 500, "</m>": 501})
    pair = prompt_pair(manifest, encode, {"host": "ab"}, "cd")
    assert pair.conditioned == Prompt("<m>ab</m>cd", [0, 500, 2097, 501, 2099])
    assert pair.conditioned.ids == prompt_ids(manifest, encode, {"host": "ab"}, "cd")
    assert (pair.way, pair.without) == (way, Prompt(text, ids))
    assert prompt_pair(manifest, encode, {"host": "ab"}, "cd", way=way) == pair


def test_a_pair_of_a_model_that_reads_a_phase_without_a_condition(manifest_with):
    manifest = manifest_with()
    assert prompt_pair(manifest, encode, {}, "x").way == "none"
    assert prompt_pair(conditioned_alone(manifest), encode, {}, "x").way == "unknown"
    # A branch that leaves before the phase without a condition; and one behind its first shard.
    plain, first, second = manifest.phases
    config = {**manifest.config, "branches": [{"name": "b", "condition": CONDITION}]}
    for shards, way in ((0, "unknown"), (1, "none")):
        branch = replace(first, name="b-50", branch={"of": "b", "at": 0.5, "phase": "plain", "shards": shards})
        branched = replace(manifest, config=config, phases=[plain, first, second, branch])
        assert prompt_pair(branched, encode, {}, "x", "b-50").way == way


def test_another_way_than_that_of_training(manifest_with):
    manifest = manifest_with(template="{host}")
    ways = {
        way: prompt_pair(manifest, encode, {"host": "ab"}, "cd", way=way).without.text for way in ("none", "unknown")
    }
    assert ways == {"none": "cd", "unknown": "unknowncd"}
    with pytest.raises(
        BylineError, match="phase 'first' has no tokens around its template that could stand alone; take"
    ):
        prompt_pair(manifest, encode, {}, "x", way="empty")
    with pytest.raises(BylineError, match=r"^way='null': expected 'empty', 'none', 'unknown' or None$"):
        prompt_pair(manifest, encode, {}, "x", way="null")


def test_no_pair(manifest_with):
    with pytest.raises(BylineError, match="phase 'plain' is not conditioned; choose from first, second"):
        prompt_pair(manifest_with(), encode, {}, "x", "plain")
    with pytest.raises(BylineError, match="phase 'first' puts its template after the text, so there is no pair"):
        prompt_pair(manifest_with(position="after"), encode, {"host": "a"}, "x")
