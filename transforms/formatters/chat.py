"""The formatter `chat`: a list of messages -> one text, of which the answers are trained.

```
messages        {user, "Hi"}    {assistant, "Hello!"}
text            "User: Hi\\n\\nAssistant: Hello!\\n\\n"
loss_spans                                ======          content, and what follows it up to the end of the message

with `begin: <|im_start|>`, `end: <|im_end|>`
text            "<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello!<|im_end|>\\n"
special_spans    ============        ==========    ============                ==========
loss_spans                                                               ==================

with `train: [user, assistant]`, `weights: {user: 0.1}`, `last_weight: 2`
loss_spans       content and what follows it of both messages
loss_weights     0.1             2
```

A message is `begin`, its role's `before`, its content, `end`, its role's `after`. A record without messages, or with a
message without a role, of a role that `before` does not name, or without content, is malformed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.formatters import Formatter
from byline.transforms.documents.text_parts import (
    STRING,
    characters,
    joined,
    list_lengths,
    regrouped,
    span_lists,
    weight_lists,
)
from byline.transforms.formatters.part_weights import check_weight, check_weights

# The names of roles in OpenAI's layout (role, content) and in ShareGPT's (from, value).
ROLES = {"system": "System", "user": "User", "human": "User", "assistant": "Assistant", "gpt": "Assistant"}
BEFORE = {role: f"{name}: " for role, name in ROLES.items()}
BEFORE_WITH_TOKENS = {role: f"{name.lower()}\n" for role, name in ROLES.items()}
TRAINED = ("assistant", "gpt")


def chat(
    batch: pa.RecordBatch,
    *,
    before: Mapping[str, str] | None = None,
    after: str | Mapping[str, str] | None = None,
    train: Sequence[str] | None = None,
    begin: str | None = None,
    end: str | None = None,
    weights: Mapping[str, float] | None = None,
    last_weight: float | None = None,
) -> dict[str, pa.Array]:
    """Writes messages as one text.

    Args:
        batch: with a column `messages`.
        before: role -> what stands before the content; without it `User: ` and so on, or with `begin` `user\\n`.
        after: what stands behind it, for all roles or by role; without it two line ends, or with `end` one.
        train: roles whose messages are trained; without it `assistant` and `gpt`, where `before` names them.
        begin, end: names of special tokens around every message.
        weights: role -> how much the loss of its messages counts; 1 for any other role.
        last_weight: the same of a record's last message that is trained, whatever its role.

    Returns:
        `text`, `loss_spans`, `special_spans` and `malformed`; with either kind of weights `loss_weights`, too.

    Raises:
        BylineError: an option of another type, a role of `train` or `after` that `before` does not name, or one of
            `weights` that is not trained.
    """
    if before is None:
        before = BEFORE if begin is None else BEFORE_WITH_TOKENS
    if after is None:
        after = "\n\n" if end is None else "\n"
    if isinstance(after, str):
        after = dict.fromkeys(before, after)
    if train is None:
        train = [role for role in TRAINED if role in before]
    _check_options(before, after, train, {"begin": begin, "end": end})
    by_role = check_weights("chat: weights", weights or {}, train, f"`train` has: {', '.join(train)}")
    if last_weight is not None:
        check_weight("chat: last_weight", last_weight)
    messages = batch["messages"]
    counts = list_lengths(messages)
    flat = messages.flatten()
    roles, contents = (pc.struct_field(flat, name) for name in ("role", "content"))
    rows = np.repeat(np.arange(len(batch)), counts)
    malformed = _malformed(counts, rows, roles, contents, before)
    pieces = _pieces(roles, contents, before, after, begin, end)
    is_bad = malformed.is_valid()
    text = regrouped(joined(*pieces), counts)
    is_trained = pc.is_in(roles, pa.array(list(train), pa.string()))
    spans = _spans(rows, pieces, is_trained, is_bad, begin, end)
    if weights is not None or last_weight is not None:
        spans["loss_weights"] = _weights(rows, roles, is_trained, is_bad, by_role, last_weight)
    return {"text": pc.if_else(is_bad, pa.scalar(None, STRING), text), "malformed": malformed, **spans}


def _check_options(
    before: Mapping[str, str], after: Mapping[str, str], train: Sequence[str], tokens: Mapping[str, Any]
) -> None:
    for name, option in (("before", before), ("after", after)):
        if not isinstance(option, Mapping) or not all(isinstance(text, str) for text in option.values()):
            raise BylineError(f"chat: {name}: expected a mapping from roles to texts, found {option!r}")
    if isinstance(train, str) or not isinstance(train, Sequence):
        raise BylineError(f"chat: train: expected a list of roles, found {train!r}")
    for name, option in tokens.items():
        if not isinstance(option, str | None) or option == "":
            raise BylineError(f"chat: {name}: expected the name of a token, found {option!r}")
    for name, roles in (("train", train), ("after", after)):
        for role in roles:
            if role not in before:
                raise BylineError(f"chat: {name}: `before` names no role {role!r}; it has: {', '.join(before)}")
    for role in before:
        if role not in after:
            raise BylineError(f"chat: after: there is no text for the role {role!r}; give one, or one text for all")


def _malformed(
    counts: np.ndarray, rows: np.ndarray, roles: pa.Array, contents: pa.Array, before: Mapping[str, str]
) -> pa.Array:
    """Why each record cannot be written, string [rows]; null where it can."""
    reasons: list[str | None] = [None] * len(counts)
    for row in np.flatnonzero(counts == 0):
        reasons[row] = "there are no messages"
    known = pc.is_in(roles, pa.array(list(before), pa.string()))
    is_bad = pc.or_(pc.invert(known), contents.is_null()).to_numpy(zero_copy_only=False)
    firsts = np.concatenate([[0], np.cumsum(counts)])
    for index in np.flatnonzero(is_bad)[::-1]:  # the first of a record is written last
        where = f"message {index - firsts[rows[index]] + 1}"
        role = roles[index].as_py()
        if role is None:
            reasons[rows[index]] = f"{where} has no role"
        elif role not in before:
            known_roles = ", ".join(before)
            reasons[rows[index]] = f"{where} is of the role {role!r}, which `before` does not name ({known_roles})"
        else:
            reasons[rows[index]] = f"{where} has no content"
    return pa.array(reasons, pa.string())


def _pieces(
    roles: pa.Array,
    contents: pa.Array,
    before: Mapping[str, str],
    after: Mapping[str, str],
    begin: str | None,
    end: str | None,
) -> list[pa.Array]:
    """The five parts of each message, large_string without nulls."""
    which = pc.index_in(roles, pa.array(list(before), pa.string()))

    def by_role(texts: list[str]) -> pa.Array:
        return pc.fill_null(pa.array(texts, STRING).take(which), "")

    def same(name: str | None) -> pa.Array:
        return pa.repeat(pa.scalar("" if name is None else name, STRING), len(roles))

    content = pc.fill_null(contents.cast(STRING), "")
    tails = by_role([after[role] for role in before])
    return [same(begin), by_role(list(before.values())), content, same(end), tails]


def _spans(
    rows: np.ndarray, pieces: list[pa.Array], is_trained: pa.Array, is_bad: pa.Array, begin: str | None, end: str | None
) -> dict[str, pa.Array]:
    """`loss_spans` and `special_spans`, from where each part of each message begins and ends in its document."""
    missing = is_bad.to_numpy(zero_copy_only=False)
    lengths = np.array([characters(piece) for piece in pieces]).reshape(len(pieces), -1)
    ends = np.cumsum(lengths.sum(axis=0))
    starts = np.concatenate([[0], ends])[:-1]
    firsts = np.searchsorted(rows, np.arange(len(missing)))
    # Where each part ends, in characters of the document.
    borders = np.cumsum(lengths, axis=0) + starts - np.append(starts, 0)[firsts][rows]
    good = ~missing[rows]
    trained = good & is_trained.to_numpy(zero_copy_only=False)
    found = {"loss_spans": span_lists(rows[trained], borders[1][trained], borders[4][trained], len(missing), missing)}
    tokens = [number for number, name in ((0, begin), (3, end)) if name is not None]
    if tokens:
        token_ends = borders[tokens][:, good].T.reshape(-1)
        token_starts = token_ends - lengths[tokens][:, good].T.reshape(-1)
        token_rows = np.repeat(rows[good], len(tokens))
        found["special_spans"] = span_lists(token_rows, token_starts, token_ends, len(missing), missing)
    return found


def _weights(
    rows: np.ndarray,
    roles: pa.Array,
    is_trained: pa.Array,
    is_bad: pa.Array,
    by_role: Mapping[str, float],
    last_weight: float | None,
) -> pa.Array:
    """`loss_weights`, one for each message that `_spans` gives a loss span."""
    missing = is_bad.to_numpy(zero_copy_only=False)
    trained = np.flatnonzero(~missing[rows] & is_trained.to_numpy(zero_copy_only=False))
    own = np.array([1.0, *by_role.values()])
    which = pc.fill_null(pc.index_in(roles, pa.array(list(by_role), pa.string())), -1).to_numpy()
    weights = own[which[trained] + 1]
    if last_weight is not None:
        weights[np.diff(rows[trained], append=-1) != 0] = last_weight
    return weight_lists(rows[trained], weights, len(missing), missing)


CHAT = Formatter(
    "chat",
    "messages one after another; the answers are trained",
    ("messages",),
    chat,
    tokens=("begin", "end"),
    weighs=("weights", "last_weight"),
)
