"""Raw documents against segments that the reference lays out and packs: each is right, and any other is told.

Two files: three records of `a`, which are tokenized as they are, and three of `chats`, of which answers are trained.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.shards import shard_schema
from byline.transforms.checks import documents as checked_documents
from byline.transforms.checks.documents import Compared, DocumentChecker, SegmentSample, sample_segments
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.packing import POLICIES
from byline.transforms.shards.assembling import PlannedPhase
from byline.transforms.shards.gathering import GatherPhase
from byline.transforms.tokens.text_tokenizer import TextTokenizer, shared_tokenizer, tokenizer_info
from tests.reference import layout, packing
from tests.support.small import BOS, PAD, reference_tokenizer, small_config, tokenizer_file
from tests.support.thorough import examples

LENGTH = 40
TEXTS = ["The quick brown fox jumps over the lazy dog. " * 3, "It's 1234.5 kilometres.", "Tokens, rows and documents"]
HOSTS = ["zyxwv.example", "b.example", None]
CHATS = [["Hi", "Hello there, fox!"], ["Is it far?", "It is 1234.5 kilometres from here to there."], ["Why", "Yes"]]
CONDITIONS: dict[str, Condition | None] = {
    "none": None,
    "before": Condition(template="URL: {host}\n\n"),
    "after": Condition(template="\nURL: {host}", position="after"),
    "markers": Condition(template="{host}", begin=PAD, end="<end>", empty=0.5, dropout=0.5),
    "top": Condition(template="{host}\n", top={"host": 1}),
    "bins": Condition(template="{num_tokens} {num_bytes}\n", bins={"num_tokens": [10, 20]}),
    "long": Condition(template="{host} {host} {host} {host}\n"),
}
VALUES = {
    "top": FieldValues(top={"host": ["zyxwv.example"]}, bins={}),
    "bins": FieldValues(top={}, bins={"num_tokens": [10, 20]}),
}
EMPTY = "empty"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("raw")
    tokenizer_file(folder)
    records: dict[str, list[dict[str, Any]]] = {
        "a": [
            {"text": text, **({"url": f"https://{host}/"} if host else {})}
            for text, host in zip(TEXTS, HOSTS, strict=True)
        ],
        "chats": [
            {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
            for asked, said in CHATS
        ],
    }
    for name, rows in records.items():
        (folder / name).mkdir()
        (folder / name / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = {
        "a": {"format": "jsonl", "path": str(folder / "a" / "*.jsonl")},
        "chats": {
            "format": "jsonl",
            "path": str(folder / "chats" / "*.jsonl"),
            "fields": {"messages": "messages"},
            "formatter": "chat",
        },
    }
    tokenizer = {"file": str(folder / "tokenizer.json"), "bos": BOS, "eos": BOS, "pad": PAD, "add": ["<end>"]}
    return small_config(folder, sources=sources, tokenizer=tokenizer, sequence={"length": LENGTH})


def info_of(config: Config) -> TokenizerInfo:
    return tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)


def checker_of(config: Config, condition: str, policy: str) -> DocumentChecker:
    tokenizer = shared_tokenizer(config.tokenizer)
    gathering = GatherPhase(CONDITIONS[condition], VALUES.get(condition, FieldValues()), [])
    phases = {"p": PlannedPhase("p", 1, policy, gathering)}
    files: list[InputFile | None] = [list_inputs(name, config.sources[name])[0] for name in ("a", "chats")]
    return DocumentChecker(config, phases, info_of(config), tokenizer, files, [])


def own_tokens(document: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a document's own tokens and the ranges of those that are not trained; letters are bytes here."""
    tokenizer = reference_tokenizer()
    if document < 3:
        return layout.tokenize(tokenizer, TEXTS[document]), []
    asked, said = CHATS[document - 3]
    question, answer = f"User: {asked}\n\nAssistant: ", f"{said}\n\n"
    ids = layout.tokenize(tokenizer, question + answer)
    ends = np.cumsum([len(tokenizer.id_to_token(token)) for token in ids])
    assert ends[-1] == len(question + answer)
    # The tokens that end within the question have no letter of the answer.
    return ids, [(0, int((ends <= len(question)).sum()))]


def prefix_of(config: Config, document: int, condition: str, form: str) -> list[int]:
    """The prefix of a document that is laid out as said: `full`, `empty` or `bare`."""
    found = CONDITIONS[condition]
    if found is None or form == "bare":
        return []
    ids = shared_tokenizer(config.tokenizer).vocabulary
    begin, end = (None if name is None else ids[name] for name in (found.begin, found.end))
    known = layout.Condition(
        found.template,
        found.position,
        begin=begin,
        end=end,
        top={"host": ["zyxwv.example"]} if found.top else {},
        bins={"num_tokens": [10, 20]} if found.bins else {},
    )
    if form == EMPTY:
        return known.marked([])
    host = HOSTS[document] if document < 3 else None
    text = TEXTS[document] if document < 3 else "User: {}\n\nAssistant: {}\n\n".format(*CHATS[document - 3])
    numbers = {"num_tokens": float(len(own_tokens(document)[0]))}
    values = {"host": host, "num_bytes": str(len(text))}
    return layout.prefix_of(known, values, reference_tokenizer(), LENGTH, numbers)[0]


def segments_of(config: Config, condition: str, policy: str, documents: list[tuple[int, str]]) -> list[SegmentSample]:
    """Every segment of a shard of these (document, form), as the reference packs it."""
    found, info = CONDITIONS[condition], info_of(config)
    position = "before" if found is None else found.position
    framed = []
    for document, form in documents:
        tokens, untrained = own_tokens(document)
        prefix = prefix_of(config, document, condition, form)
        framed.append(layout.frame(tokens, prefix, position, info.bos_id, info.eos_id, untrained))
    doc_ids = [(document // 3 << 32) + document % 3 for document, _ in documents]
    rows, _ = packing.pack_rows(policy, framed, doc_ids, LENGTH, info.pad_id)
    schema = shard_schema(LENGTH, "int32")
    batch = pa.record_batch([pa.array([row[f.name] for row in rows], f.type) for f in schema], schema=schema)
    return list(sample_segments("p", "p/0.arrow", batch, 0, 2**32))


ALL = [(document, "full") for document in (0, 3, 1, 4, 2, 5)]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_reference_packs_is_what_the_raw_files_give(config: Config, condition: str, policy: str) -> None:
    segments = segments_of(config, condition, policy, ALL)
    assert len(segments) >= 6
    assert checker_of(config, condition, policy).check(segments).problems == []


def test_a_prefix_that_is_too_long_is_the_unknown_one(config: Config) -> None:
    found = CONDITIONS["long"]
    assert found is not None
    given = layout.tokenize(reference_tokenizer(), found.template.replace("{host}", "zyxwv.example"))
    unknown = layout.tokenize(reference_tokenizer(), found.template.replace("{host}", "unknown"))
    assert len(unknown) <= LENGTH // 2 < len(given)
    (segment,) = segments_of(config, "long", "concat", [(0, "full")])[:1]
    assert segment.ids[1 : len(unknown) + 1].tolist() == unknown


def test_answers_alone_are_trained(config: Config) -> None:
    """What the test before compares with is not that everything is trained."""
    segments = segments_of(config, "none", "concat", [(4, "full")])
    mask = np.concatenate([segment.mask for segment in segments])
    ids, untrained = own_tokens(4)
    assert untrained[0][1] > 10
    assert mask.tolist() == [1] + [0] * untrained[0][1] + [1] * (len(ids) - untrained[0][1] + 1)


FORMS = {"none": ["full"], "before": ["full"], "markers": ["full", "bare", EMPTY]}


@st.composite
def any_shard(draw: st.DrawFn) -> tuple[str, str, list[tuple[int, str]]]:
    condition = draw(st.sampled_from(list(FORMS)))
    documents = st.tuples(st.integers(0, 5), st.sampled_from(FORMS[condition]))
    return condition, draw(st.sampled_from(list(POLICIES))), draw(st.lists(documents, min_size=1, max_size=6))


SLOW = examples(80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(shard=any_shard(), data=st.data())
def test_a_changed_segment_is_told(config: Config, shard: Any, data: st.DataObject) -> None:
    """Any token and any bit of the mask, but those of a lone token: it may be a beginning of another form."""
    condition, policy, documents = shard
    segments, checker = segments_of(config, condition, policy, documents), checker_of(config, condition, policy)
    assert checker.check(segments).problems == []
    number = data.draw(st.integers(0, len(segments) - 1))
    assume(len(segments[number].ids) > 1)
    segment, at = segments[number], data.draw(st.integers(0, len(segments[number].ids) - 1))
    ids, mask = segment.ids.copy(), segment.mask.copy()
    if data.draw(st.booleans()):
        ids[at] = (ids[at] + 1) % 400
    else:
        mask[at] ^= 1
    assert len(checker.check([replace(segment, ids=ids, mask=mask)]).problems) == 1


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_long_documents_are_compared_by_bytes(
    config: Config, condition: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_documents, "LONGEST_BYTES", 0)
    monkeypatch.setattr(TextTokenizer, "encode_by_reference", None)
    segments = segments_of(config, condition, policy, ALL)
    compared = checker_of(config, condition, policy).check(segments)
    assert compared.problems == []
    assert compared.by_bytes + compared.not_at_all == len(segments)
    assert compared.by_bytes >= 2


def test_another_token_in_a_long_document_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_documents, "LONGEST_BYTES", 100)
    segment, *others = segments_of(config, "none", "concat", [(0, "full"), (1, "full")])
    ids = segment.ids.copy()
    ids[9] = (ids[9] + 1) % 400
    assert checker_of(config, "none", "concat").check([replace(segment, ids=ids), *others]) == Compared(
        ["p/0.arrow, row 0: the tokens of the segment at offset 0 do not spell a part of a/x.jsonl, row 0"],
        by_bytes=1,
        not_at_all=0,
    )


@pytest.mark.parametrize("policy", ["concat", "repeat_prefix", "best_fit"])
def test_another_offset_is_told(config: Config, policy: str) -> None:
    segments = segments_of(config, "before", policy, [(0, "full")])
    checker = checker_of(config, "before", policy)
    assert [segment.offset > 0 for segment in segments] == [False, True]
    for step in (-1, 1):
        assert checker.check([replace(segments[1], offset=segments[1].offset + step)]).problems == [
            f"p/0.arrow, row 1: the segment at offset {segments[1].offset + step} is not what a/x.jsonl, row 0 gives"
        ]


def test_only_the_policy_that_repeats_prefixes_may(config: Config) -> None:
    segments = segments_of(config, "before", "repeat_prefix", [(0, "full")])
    assert checker_of(config, "before", "repeat_prefix").check(segments).problems == []
    assert len(checker_of(config, "before", "concat").check(segments).problems) == 1
    segments = segments_of(config, "before", "concat", [(0, "full")])
    assert len(checker_of(config, "before", "repeat_prefix").check(segments).problems) == 1


@pytest.mark.parametrize("form", ["bare", EMPTY])
def test_only_a_condition_that_leaves_prefixes_out_may(config: Config, form: str) -> None:
    segments = segments_of(config, "markers", "concat", [(1, form)])
    checker = checker_of(config, "markers", "concat")
    assert checker.check(segments).problems == []
    condition = CONDITIONS["markers"]
    assert condition is not None
    strict = condition.model_copy(update={"empty": 0, "dropout": 0})
    phase = checker.phases["p"]
    checker.phases = {"p": replace(phase, gathering=replace(phase.gathering, condition=strict))}
    assert checker.check(segments).problems == [
        "p/0.arrow, row 0: the segment at offset 0 is not what a/x.jsonl, row 1 gives"
    ]


# ------------------------------------------------------------------------------------------------------ changed files


@pytest.fixture
def changed(config: Config, tmp_path: Path) -> tuple[DocumentChecker, list[SegmentSample], Path, Path]:
    """A checker of copies of the two files, and the segments that the old ones give."""
    checker = checker_of(config, "none", "concat")
    files, copies = [], []
    for file in checker.files:
        assert file is not None
        copy = tmp_path / f"{file.source}.jsonl"
        copy.write_bytes(Path(file.uri).read_bytes())
        files.append(replace(file, uri=str(copy), modified=0))
        copies.append(copy)
    checker.files = [*files]
    return checker, segments_of(config, "none", "concat", [(1, "full"), (4, "full")]), copies[0], copies[1]


def test_a_record_that_is_gone(changed: Any) -> None:
    checker, segments, plain, _ = changed
    plain.write_text(plain.read_text().splitlines()[0] + "\n")
    assert checker.check(segments).problems == ["p/0.arrow, row 0: a/x.jsonl has no row 1"]


def test_a_record_without_text(changed: Any) -> None:
    checker, segments, plain, _ = changed
    plain.write_text('{"text": "a"}\n{"text": null}\n')
    assert checker.check(segments).problems == ["p/0.arrow, row 0: a/x.jsonl, row 1 has no text"]


def test_another_text(changed: Any) -> None:
    checker, segments, _, chats = changed
    chats.write_text(chats.read_text().replace("far", "near"))
    assert {problem.partition(": ")[2] for problem in checker.check(segments).problems} == {
        f"the segment at offset {segment.offset} is not what chats/x.jsonl, row 1 gives" for segment in segments[1:]
    }


def test_a_record_that_cannot_be_formatted_any_more(changed: Any) -> None:
    checker, segments, _, chats = changed
    chats.write_text(chats.read_text().replace("assistant", "stranger"))
    (problem,) = checker.check(segments).problems
    assert problem.startswith("chats/x.jsonl cannot be compared: ")
    assert "stranger" in problem
