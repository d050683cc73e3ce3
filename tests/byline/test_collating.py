"""Every form of a batch, against what its trainer makes of it, one token after another."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
import byline.targets
from byline import forms
from byline.errors import BylineError
from byline.forms import FORMS
from tests.support.rows import ROW, Target, as_row, as_rows, packed_rows, targets_of, weighed_rows
from tests.support.shards import PackedRow

IDS = list(ROW.input_ids)
X = -100
LABELS = [X, X, X, 5, 9, 0, X, 8, 0, X]
POSITIONS = [0, 1, 2, 3, 4, 5, 0, 1, 2, 0]
SEES_ITS_OWN = [[i >= j and not (j < 6 <= i) and not (j < 9 <= i) for j in range(len(IDS))] for i in range(len(IDS))]

LITERAL = {
    "huggingface": {"input_ids": [IDS], "labels": [LABELS], "position_ids": [POSITIONS]},
    "huggingface_flat": {
        "input_ids": [IDS],
        "labels": [LABELS],
        "position_ids": [POSITIONS],
        "cu_seq_lens_q": [0, 6, 9, 10],
        "cu_seq_lens_k": [0, 6, 9, 10],
        "max_length_q": 6,
        "max_length_k": 6,
    },
    "trl": {
        "input_ids": [IDS],
        "labels": [LABELS],
        "completion_mask": [[0, 0, 0, 1, 1, 1, 0, 1, 1, 0]],
        "seq_lengths": [[6, 3, 1]],
    },
    "varlen": {
        "input_ids": IDS,
        "labels": LABELS,
        "position_ids": POSITIONS,
        "cu_seqlens": [0, 6, 9, 10],
        "max_seqlen": 6,
    },
    "meco": {"input_ids": IDS, "labels": LABELS, "indices": [[0, 6], [6, 9], [9, 10]]},
    "flex": {
        "input_ids": [IDS],
        "labels": [LABELS],
        "position_ids": [POSITIONS],
        "document_ids": [[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]],
    },
    "dense": {
        "input_ids": [IDS],
        "labels": [LABELS],
        "position_ids": [POSITIONS],
        "attention_mask": [[SEES_ITS_OWN]],
    },
    "megatron": {
        "tokens": [IDS],
        "labels": [[22, 27, 5, 9, 0, 0, 8, 0, 1, 0]],
        "loss_mask": [[0, 0, 1, 1, 1, 0, 1, 1, 0, 0]],
        "position_ids": [POSITIONS],
        "attention_mask": [[[[not sees for sees in row] for row in SEES_ITS_OWN]]],
    },
    "shifted": {"input_ids": [IDS], "labels": [[X, X, 5, 9, 0, X, 8, 0, X, X]], "position_ids": [POSITIONS]},
    "plus_one": {"inputs": [IDS[:-1]], "targets": [[X, X, 5, 9, 0, X, 8, 0, X]], "position_ids": [POSITIONS[:-1]]},
}
INT32 = ("cu_seqlens", "cu_seq_lens_q", "cu_seq_lens_k", "document_ids")


def listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("form", FORMS)
def test_a_row(form):
    batch = byline.collate(as_rows([ROW]), form)
    assert {name: listed(value) for name, value in batch.items()} == LITERAL[form]
    assert byline.collate([as_row(ROW)], form).keys() == batch.keys()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_types(form, dtype):
    rows = as_rows([ROW])
    batch = byline.collate(rows, form, dtype=dtype)
    arrays = {name: value for name, value in batch.items() if isinstance(value, np.ndarray)}
    expected = dict.fromkeys(INT32, "int32") | {"indices": "int64", "attention_mask": "bool"}
    if form == "megatron":
        expected["loss_mask"] = "float32"
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        name: expected.get(name, dtype) for name in arrays
    }
    # A trainer may write to what it gets, and the rows may be used again.
    assert all(array.flags.writeable for array in arrays.values())
    assert not any(np.shares_memory(array, value) for array in arrays.values() for value in rows.values())


def test_starts_may_be_trained():
    rows = as_rows([ROW, PackedRow([7] * 10, [1] * 10, [10], [5], [0])])
    assert byline.collate(rows, train_starts=True)["labels"][:, :8].tolist() == [
        [X, X, X, 5, 9, 0, 0, 8],
        [X] + [7] * 7,
    ]
    # The first token of a row follows the last one of another row here, which says nothing about it.
    assert byline.collate(rows, "varlen", train_starts=True)["labels"][[0, 6, 10]].tolist() == [X, 0, X]


def test_additions():
    rows = as_rows([ROW, ROW])
    names = ("segment_ids", "doc_ids", "loss_mask", "phase")
    batch = byline.collate(rows, add=names)
    assert [batch[name].dtype.str for name in names[:3]] == ["<i4", "<i8", "|u1"]
    assert batch["segment_ids"].tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]] * 2
    assert batch["doc_ids"].tolist() == [[3, 3, 3, 3, 3, 3, 4, 4, 4, -1]] * 2
    assert batch["loss_mask"].tolist() == [list(ROW.loss_mask)] * 2
    assert batch["phase"].tolist() == ["conditioned"] * 2
    flat = byline.collate(rows, "varlen", add=names)
    assert flat["segment_ids"].tolist() == [0] * 6 + [1] * 3 + [2] + [3] * 6 + [4] * 3 + [5]
    assert flat["doc_ids"].shape == flat["input_ids"].shape
    assert byline.collate(rows, "plus_one", add=names)["segment_ids"].tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 1]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "jax"}, "no form 'jax' of a batch; the forms are huggingface, huggingface_flat, trl"),
        ({"dtype": "int16"}, "dtype 'int16' of a batch; expected 'int64' or 'int32'"),
        ({"add": ["spans"]}, "no 'spans' to add to a batch; there are segment_ids, doc_ids"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(BylineError, match=message):
        byline.collate(as_rows([ROW]), **arguments)


@pytest.mark.parametrize("form", FORMS)
def test_no_rows(form):
    """What is left for a rank of a last batch."""
    rows = as_rows([ROW])
    none = {name: values[:0] for name, values in rows.items()}
    batch = byline.collate(none, form, add=("segment_ids", "phase"))
    assert batch.keys() == {*LITERAL[form], "segment_ids", "phase"}
    assert all(np.size(value) == 0 for name, value in batch.items() if name in ("input_ids", "labels", "tokens"))


# Arrays of ids, labels, positions and masks [n, L], in units of 8 bytes a token.
@pytest.mark.parametrize(("form", "size"), [("shifted", 3), ("plus_one", 3), ("megatron", 3.5)])
def test_each_large_array_is_made_once(form, size):
    made = []

    def empty(shape, dtype):
        made.append(np.empty(shape, dtype))
        return made[-1]

    batch = byline.collate(as_rows([ROW] * 2), form, empty=empty)
    of_mask = [array for array in made if array.dtype == bool]
    assert sum(array.nbytes for array in made) == size * 8 * 2 * len(IDS) + sum(mask.nbytes for mask in of_mask)
    for name, array in batch.items():
        assert any(np.shares_memory(array, other) for other in made), name


def test_one_row_alone():
    with pytest.raises(BylineError, match=r"expected rows, found one row; collate\(\[row\]\)"):
        byline.collate(as_row(ROW))


def test_a_mask_that_nobody_wants(monkeypatch):
    monkeypatch.setattr(forms, "MAX_DENSE", 199)
    with pytest.raises(
        BylineError, match="an attention mask of 2 rows of 10 tokens takes 0 GiB; take fewer rows, or a"
    ):
        byline.collate(as_rows([ROW, ROW]), "dense")


# ------------------------------------------------------------------------- what trainers make of a batch, in loops

Read = Callable[[dict[str, Any]], Iterator[Target]]


def targets(
    ids: list[int], sees: Callable[[int], list[int]], positions: list[int], labels: list[int]
) -> Iterator[Target]:
    """Of labels that stand beside the tokens that predict them."""
    for at, label in enumerate(labels):
        if label != X:
            yield tuple(ids[i] for i in sees(at)), positions[at], label, 1.0


def since(is_start: Callable[[int], bool]) -> Callable[[int], list[int]]:
    """What a token sees: all from the last start on."""
    return lambda at: list(range(max(i for i in range(at + 1) if is_start(i)), at + 1))


def one_ahead(labels: list[int]) -> list[int]:
    return [*labels[1:], X]


def by_position(batch: dict[str, Any]) -> Iterator[Target]:
    for ids, labels, positions in zip(batch["input_ids"], batch["labels"], batch["position_ids"], strict=True):
        yield from targets(ids, since(lambda i, p=positions: p[i] == 0), positions, one_ahead(labels))


def by_document(batch: dict[str, Any]) -> Iterator[Target]:
    for ids, labels, positions, documents in zip(*(batch[name] for name in LITERAL["flex"]), strict=True):
        sees = lambda at, d=documents: [i for i in range(at + 1) if d[i] == d[at]]  # noqa: E731
        yield from targets(ids, sees, positions, one_ahead(labels))


def by_mask(batch: dict[str, Any]) -> Iterator[Target]:
    for ids, labels, positions, (mask,) in zip(*(batch[name] for name in LITERAL["dense"]), strict=True):
        sees = lambda at, m=mask: [i for i in range(len(m)) if m[at][i]]  # noqa: E731
        yield from targets(ids, sees, positions, one_ahead(labels))


def by_megatron(batch: dict[str, Any]) -> Iterator[Target]:
    for ids, labels, weights, positions, (mask,) in zip(*(batch[name] for name in LITERAL["megatron"]), strict=True):
        sees = lambda at, m=mask: [i for i in range(len(m)) if not m[at][i]]  # noqa: E731
        counted = [label if weight else X for label, weight in zip(labels, weights, strict=True)]
        yield from targets(ids, sees, positions, counted)


def by_shifted(batch: dict[str, Any]) -> Iterator[Target]:
    for ids, labels, positions in zip(batch["input_ids"], batch["labels"], batch["position_ids"], strict=True):
        yield from targets(ids, since(lambda i, p=positions: p[i] == 0), positions, labels)


def by_ends(ids: list[int], labels: list[int], ends: list[int], positions: list[int] | None) -> Iterator[Target]:
    counted = [i - max(end for end in ends if end <= i) for i in range(len(ids))]
    yield from targets(ids, since(lambda i: i in ends), positions or counted, one_ahead(labels))


def by_trl(batch: dict[str, Any]) -> Iterator[Target]:
    """TRL's collator with `padding_free`: one sequence, no label at a position 0; older ones take the mask alone."""
    ids, labels, mask, lengths = (list(chain(*batch[name])) for name in LITERAL["trl"])
    positions = [position for length in lengths for position in range(length)]
    assert [label if p else X for label, p in zip(labels, positions, strict=True)] == [
        i if m and p else X for i, m, p in zip(ids, mask, positions, strict=True)
    ]
    labels = [label if p else X for label, p in zip(labels, positions, strict=True)]
    yield from by_ends(ids, labels, [sum(lengths[:n]) for n in range(len(lengths))], positions)


READS: dict[str, Read] = {
    "huggingface": by_position,
    "huggingface_flat": lambda b: by_ends(b["input_ids"][0], b["labels"][0], b["cu_seq_lens_q"], b["position_ids"][0]),
    "trl": by_trl,
    "varlen": lambda b: by_ends(b["input_ids"], b["labels"], b["cu_seqlens"], b["position_ids"]),
    "meco": lambda b: by_ends(b["input_ids"], b["labels"], [start for start, _ in b["indices"]], None),
    "flex": by_document,
    "dense": by_mask,
    "megatron": by_megatron,
    "shifted": by_shifted,
    "plus_one": lambda b: by_shifted({**b, "input_ids": b["inputs"], "labels": b["targets"]}),
}


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(packed_rows(7), min_size=1, max_size=3), st.booleans())
def test_what_a_model_trains(form, rows, train_starts):
    """TRL never trains the start of a segment, so it is not asked to."""
    train_starts &= form != "trl"
    batch = byline.collate(as_rows(rows), form, train_starts=train_starts)
    read = Counter(READS[form]({name: listed(value) for name, value in batch.items()}))
    assert read == targets_of(rows, train_starts)


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(packed_rows(7), min_size=1, max_size=3) | st.lists(weighed_rows(7), min_size=1, max_size=3))
def test_a_form_reads_what_it_makes(form, rows):
    """What `byline.audit` takes a batch for."""
    read = FORMS[form].read(byline.collate(as_rows(rows), form))
    expected = byline.targets.targets_of(as_rows(rows))
    for one in (read, expected):
        arrays = (one.tokens, one.start, one.position, one.target, one.weight)
        tokens, *columns = (array.tolist() for array in arrays)
        counts = Counter(
            (tuple(tokens[start : at + 1]), position, target, weight)
            for at, (start, position, target, weight) in enumerate(zip(*columns, strict=True))
            if weight
        )
        assert counts == targets_of(rows)
