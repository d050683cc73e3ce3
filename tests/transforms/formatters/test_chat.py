"""Messages as texts: literal ones, options, and against the slow reference."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import LOSS_WEIGHTS, MESSAGES
from byline.transforms.formatters.chat import CHAT, chat
from tests.reference import documents as reference
from tests.support.thorough import examples

Messages = list[tuple[str | None, str | None]]
HELLO: Messages = [("system", "Be brief."), ("user", "Hi é"), ("assistant", "Hello 😀!")]


def written(records: list[Messages | None], **options: Any) -> list[dict[str, Any]]:
    """`text`, `trained` and `named` (the stretches of the text that the spans cover) and `malformed` of each record."""
    rows = [None if each is None else [{"role": r, "content": c} for r, c in each] for each in records]
    batch = pa.RecordBatch.from_arrays([pa.array(rows, MESSAGES.type)], ["messages"])
    found = chat(batch, **options)
    missing = pa.nulls(len(rows), pa.list_(pa.int32()))
    columns = {name: found.get(name, missing).to_pylist() for name in ("text", "loss_spans", "special_spans")}
    return [
        {"text": text, "trained": covered(text, loss), "named": covered(text, special), "malformed": why}
        for text, loss, special, why in zip(*columns.values(), found["malformed"].to_pylist(), strict=True)
    ]


def covered(text: str, spans: list[int] | None) -> list[str] | None:
    return None if spans is None else [text[low:high] for low, high in zip(spans[::2], spans[1::2], strict=True)]


def test_as_it_is() -> None:
    (found,) = written([HELLO])
    assert found["text"] == "System: Be brief.\n\nUser: Hi é\n\nAssistant: Hello 😀!\n\n"
    assert found["trained"] == ["Hello 😀!\n\n"]
    assert (found["named"], found["malformed"]) == (None, None)


def test_special_tokens_around_messages() -> None:
    (found,) = written([HELLO], begin="<|im_start|>", end="<|im_end|>")
    assert found["text"] == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi é<|im_end|>\n"
        "<|im_start|>assistant\nHello 😀!<|im_end|>\n"
    )
    assert found["trained"] == ["Hello 😀!<|im_end|>\n"]
    assert found["named"] == ["<|im_start|>", "<|im_end|>"] * 3


def test_one_special_token_alone() -> None:
    (found,) = written([HELLO[1:]], end="</s>", before={"user": "[INST] ", "assistant": ""}, after=" ")
    assert found["text"] == "[INST] Hi é</s> Hello 😀!</s> "
    assert (found["trained"], found["named"]) == (["Hello 😀!</s> "], ["</s>", "</s>"])


def test_pieces_by_role_and_roles_that_are_trained() -> None:
    options = {"before": {"q": "<", "a": "("}, "after": {"q": ">", "a": ")"}}
    records: list[Messages | None] = [[("q", "1"), ("a", "2"), ("q", "3")], [("a", "")]]
    found = written(records, **options, train=["q", "a"])
    assert [row["text"] for row in found] == ["<1>(2)<3>", "()"]
    assert [row["trained"] for row in found] == [["1>", "2)", "3>"], [")"]]
    assert [row["trained"] for row in written(records, **options, train=[])] == [[], []]


def test_roles_of_another_layout() -> None:
    (found,) = written([[("human", "a"), ("gpt", "b")]])
    assert (found["text"], found["trained"]) == ("User: a\n\nAssistant: b\n\n", ["b\n\n"])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "there are no messages"),
        ([], "there are no messages"),
        ([("user", "a"), (None, "b"), ("x", None)], "message 2 has no role"),
        (
            [("user", "a"), ("tool", None), (None, "b")],
            "message 2 is of the role 'tool', which `before` does not name (system, user, human, assistant, gpt)",
        ),
        ([("user", None), ("x", "y")], "message 1 has no content"),
    ],
)
def test_malformed(record: Messages | None, reason: str) -> None:
    nothing = {"text": None, "trained": None, "named": None}
    found = written([HELLO, record, HELLO], end="<e>")
    assert found[1] == {**nothing, "malformed": reason}
    assert found[0] == found[2] == written([HELLO], end="<e>")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"before": "User: "}, "chat: before: expected a mapping from roles to texts, found 'User: '"),
        ({"after": {"user": 1}}, "chat: after: expected a mapping from roles to texts, found {'user': 1}"),
        ({"train": "assistant"}, "chat: train: expected a list of roles, found 'assistant'"),
        ({"train": ["bot"]}, "chat: train: `before` names no role 'bot'; it has: system, user, human, assistant, gpt"),
        (
            {"before": {"a": ""}, "after": {"b": ""}, "train": ["a"]},
            "chat: after: `before` names no role 'b'; it has: a",
        ),
        (
            {"before": {"a": "", "b": ""}, "after": {"b": ""}, "train": ["a"]},
            "chat: after: there is no text for the role 'a'; give one, or one text for all",
        ),
        ({"begin": 1}, "chat: begin: expected the name of a token, found 1"),
        ({"end": ""}, "chat: end: expected the name of a token, found ''"),
        ({"weights": 2}, "chat: weights: expected a mapping to numbers, found 2"),
        ({"weights": {"user": 2}}, "chat: weights: 'user' is not trained; `train` has: assistant, gpt"),
        *(
            (
                {"weights": {"gpt": weight}},
                f"chat: weights.gpt: expected a number from 5.96046e-08 to 65504, found {weight!r}; what is not to "
                "count, do not train",
            )
            for weight in (0, -1, float("nan"), float("inf"), 65505, 1e-8, True, "2", None)
        ),
        (
            {"last_weight": 0},
            "chat: last_weight: expected a number from 5.96046e-08 to 65504, found 0; what is not to count, do not "
            "train",
        ),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError) as error:
        written([HELLO], **options)
    assert str(error.value) == message


def test_what_is_trained_of_roles_of_ones_own() -> None:
    (found,) = written([[("q", "1"), ("assistant", "2")]], before={"q": "Q: ", "assistant": "A: "}, after="")
    assert (found["text"], found["trained"]) == ("Q: 1A: 2", ["2"])
    assert written([[("q", "1")]], before={"q": "Q: "})[0]["trained"] == []


def weights_of(records: list[Messages | None], **options: Any) -> Any:
    rows = [None if each is None else [{"role": r, "content": c} for r, c in each] for each in records]
    return chat(pa.RecordBatch.from_arrays([pa.array(rows, MESSAGES.type)], ["messages"]), **options)["loss_weights"]


def test_weights_by_role_and_of_the_last_message_that_is_trained() -> None:
    records: list[Messages | None] = [[*HELLO, *HELLO], None, [("assistant", "a")], [("user", "b")], [("system", "c")]]
    train = ["user", "assistant"]
    found = weights_of(records, train=train, weights={"user": 0.1})
    assert found.type == LOSS_WEIGHTS.type
    assert found.to_pylist() == [[0.1, 1, 0.1, 1], None, [1], [0.1], []]
    found = weights_of(records, train=train, weights={"user": 0.1, "assistant": 3}, last_weight=2)
    assert found.to_pylist() == [[0.1, 3, 0.1, 2], None, [2], [2], []]
    # The last message of all may be one that is not trained.
    assert weights_of([[*HELLO, ("user", "?")]], last_weight=2).to_pylist() == [[2]]
    assert weights_of([HELLO], weights={}).to_pylist() == [[1]]
    assert weights_of([], last_weight=2).to_pylist() == []


@given(
    st.lists(
        st.one_of(st.lists(st.tuples(st.sampled_from(["user", "assistant", "gpt", "x"]), st.just("a"))), st.none())
    )
)
@examples(60)
def test_weights_as_the_reference(records: list[Messages | None]) -> None:
    options = {"train": ["gpt", "user"], "weights": {"user": 0.5}, "last_weight": 4}
    source = Source(format="jsonl", path="x", fields={"messages": "m"}, formatter={"name": "chat", **options})
    for each, own in zip(records, weights_of(records, **options).to_pylist(), strict=True):
        record = {"m": [{"role": role, "content": content} for role, content in each or []]}
        raw = reference.RawDocument("a", "x", 0, None, None, record)
        if own is None:
            assert reference.formatted(raw, source)[0] is None
        else:
            assert own == reference.loss_weights(raw, source)


def test_chat_weighs_with_either_option() -> None:
    assert [CHAT.weighs_with(options) for options in ({}, {"weights": None}, {"weights": {}}, {"last_weight": 2})] == [
        False,
        False,
        True,
        True,
    ]


def test_no_records() -> None:
    assert written([]) == written([], begin="<b>") == []


messages = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "gpt", "user", "assistant", "x", None]),
        st.one_of(st.text("aé😀\n<", max_size=4), st.text("aé😀\n<", max_size=4), st.none()),
    ),
    max_size=4,
)
chosen = st.fixed_dictionaries(
    {},
    optional={
        "begin": st.sampled_from(["<b>", "<é>"]),
        "end": st.sampled_from(["<e>"]),
        "after": st.sampled_from(["", "\n", {role: f"é{role}" for role in reference.ROLES}]),
        "train": st.sampled_from([["user"], ["assistant", "user"], []]),
    },
)


@given(st.lists(st.one_of(messages, st.none()), max_size=5), chosen)
@examples(200)
def test_as_the_reference(records: list[Messages | None], options: dict[str, Any]) -> None:
    source = Source(format="jsonl", path="x", fields={"messages": "m"}, formatter={"name": "chat", **options})
    found = written(records, **options)
    for each, row in zip(records, found, strict=True):
        record = {"m": None if each is None else [{"role": role, "content": content} for role, content in each]}
        text, loss, special = reference.formatted(reference.RawDocument("a", "x", 0, None, None, record), source)
        assert (row["text"], row["trained"], row["named"]) == (text, covered(text, loss), covered(text, special))
