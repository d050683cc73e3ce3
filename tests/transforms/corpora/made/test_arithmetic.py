"""Additions: every style token by token, and that nothing depends on how they are made."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.corpora import Arithmetic, ArithmeticStyle
from byline.schemas.documents import ROW, BatchInfo, with_info
from byline.transforms.corpora.made import arithmetic
from byline.transforms.corpora.made.arithmetic import STYLES, additions, list_additions, make_documents, operands
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch
from tests.reference import documents as reference
from tests.reference.layout import ranges_of
from tests.support import small
from tests.support.thorough import examples

# Style, operands, and line by line the loss mask of its tokens and the tokens (Ġ is a space, Ċ a line end).
EXAMPLES = [
    ("plain", 128, 367, [(0, "12 8 + 3 6 7 ="), (1, "4 9 5")]),
    ("plain", 5, 12, [(0, "5 + 12 ="), (1, "1 7")]),
    ("plain", 999, 1, [(0, "9 9 9 + 1 ="), (1, "1 0 0 0")]),
    ("reverse", 128, 367, [(0, "$ 12 8 + 3 6 7 ="), (1, "5 9 4 $")]),
    ("reverse", 50, 50, [(0, "$ 5 0 + 5 0 ="), (1, "0 0 1 $")]),
    (
        "simplified_scratchpad",
        128,
        367,
        [
            (0, "I n p u t : Ċ"),
            (0, "12 8 + 3 6 7 Ċ"),
            (0, "T a r g et : Ċ"),
            (1, "A - > 5 Ġ , Ġ C - > 1 Ċ"),
            (1, "A - > 9 Ġ , Ġ C - > 0 Ċ"),
            (1, "A - > 4 Ġ , Ġ C - > 0 . Ċ"),
            (1, "4 9 5"),
        ],
    ),
    (
        "simplified_scratchpad",
        5,
        98,
        [
            (0, "I n p u t : Ċ"),
            (0, "5 + 9 8 Ċ"),
            (0, "T a r g et : Ċ"),
            (1, "A - > 3 Ġ , Ġ C - > 1 Ċ"),
            (1, "A - > 0 Ġ , Ġ C - > 1 . Ċ"),
            (1, "1 0 3"),
        ],
    ),
    (
        "detailed_scratchpad",
        128,
        367,
        [
            (0, "I n p u t : Ċ"),
            (0, "12 8 + 3 6 7 Ċ"),
            (0, "T a r g et : Ċ"),
            (1, "< s c r at c h > Ċ"),
            (1, "[ 1 , 2 , 8 ] Ġ h a s Ġ 3 Ġ d i g i t s . Ċ"),
            (1, "[ 3 , 6 , 7 ] Ġ h a s Ġ 3 Ġ d i g i t s . Ċ"),
            (1, "[ 1 , 2 , 8 ] Ġ + Ġ [ 3 , 6 , 7 ] Ġ , Ġ A = [ ] Ġ , Ġ C = 0 Ġ ,"),
            (1, "Ġ 8 + 7 + 0 = 1 5 Ġ , Ġ A - > 5 Ġ , Ġ C - > 1 Ċ"),
            (1, "[ 1 , 2 ] Ġ + Ġ [ 3 , 6 ] Ġ , Ġ A = [ 5 ] Ġ , Ġ C = 1 Ġ ,"),
            (1, "Ġ 2 + 6 + 1 = 9 Ġ , Ġ A - > 9 Ġ , Ġ C - > 0 Ċ"),
            (1, "[ 1 ] Ġ + Ġ [ 3 ] Ġ , Ġ A = [ 9 , 5 ] Ġ , Ġ C = 0 Ġ ,"),
            (1, "Ġ 1 + 3 + 0 = 4 Ġ , Ġ A - > 4 Ġ , Ġ C - > 0 Ċ"),
            (1, "[ ] Ġ + Ġ [ ] Ġ , Ġ A = [ 4 , 9 , 5 ] Ġ C = 0 Ġ , Ġ E N D Ċ"),
            (1, "< / s c r at c h > Ċ"),
            (1, "4 Ġ 9 Ġ 5"),
        ],
    ),
    (
        "detailed_scratchpad",
        7,
        8,
        [
            (0, "I n p u t : Ċ"),
            (0, "7 + 8 Ċ"),
            (0, "T a r g et : Ċ"),
            (1, "< s c r at c h > Ċ"),
            (1, "[ 7 ] Ġ h a s Ġ 1 Ġ d i g i t s . Ċ"),
            (1, "[ 8 ] Ġ h a s Ġ 1 Ġ d i g i t s . Ċ"),
            (1, "[ 7 ] Ġ + Ġ [ 8 ] Ġ , Ġ A = [ ] Ġ , Ġ C = 0 Ġ , Ġ 7 + 8 + 0 = 1 5 Ġ , Ġ A - > 5 Ġ , Ġ C - > 1 Ċ"),
            (1, "[ ] Ġ + Ġ [ ] Ġ , Ġ A = [ 5 ] Ġ C = 1 Ġ , Ġ E N D Ċ"),
            (1, "< / s c r at c h > Ċ"),
            (1, "1 Ġ 5"),
        ],
    ),
    (
        "detailed_scratchpad",
        0,
        10,
        [
            (0, "I n p u t : Ċ"),
            (0, "0 + 1 0 Ċ"),
            (0, "T a r g et : Ċ"),
            (1, "< s c r at c h > Ċ"),
            (1, "[ 0 ] Ġ h a s Ġ 1 Ġ d i g i t s . Ċ"),
            (1, "[ 1 , 0 ] Ġ h a s Ġ 2 Ġ d i g i t s . Ċ"),
            (1, "[ 0 ] Ġ + Ġ [ 1 , 0 ] Ġ , Ġ A = [ ] Ġ , Ġ C = 0 Ġ , Ġ 0 + 0 + 0 = 0 Ġ , Ġ A - > 0 Ġ , Ġ C - > 0 Ċ"),
            (1, "[ ] Ġ + Ġ [ 1 ] Ġ , Ġ A = [ 0 ] Ġ , Ġ C = 0 Ġ , Ġ 0 + 1 + 0 = 1 Ġ , Ġ A - > 1 Ġ , Ġ C - > 0 Ċ"),
            (1, "[ ] Ġ + Ġ [ ] Ġ , Ġ A = [ 1 , 0 ] Ġ C = 0 Ġ , Ġ E N D Ċ"),
            (1, "< / s c r at c h > Ċ"),
            (1, "1 Ġ 0"),
        ],
    ),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(small.tokenizer_file(tmp_path_factory.mktemp("arithmetic")))


def tokenized(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> pa.RecordBatch:
    columns = [pa.array(range(len(batch)), pa.int64()), *batch.columns]
    numbered = pa.RecordBatch.from_arrays(columns, schema=pa.schema([ROW, *batch.schema]))
    return tokenize_batch(with_info(numbered, BatchInfo("add", "additions-00000", 0, True, 1, 1, 1)), tokenizer)


@pytest.mark.parametrize(("style", "left", "right", "lines"), EXAMPLES)
def test_ten_additions_token_by_token(
    style: str,
    left: int,
    right: int,
    lines: list[tuple[int, str]],
    tokenizer: TextTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = iter([np.array([left]), np.array([right])])
    monkeypatch.setattr(arithmetic, "operands", lambda numbers, settings: next(given))
    found = tokenized(make_documents(0, 1, Arithmetic(style=style)), tokenizer)
    names = {number: name for name, number in tokenizer.vocabulary.items()}
    tokens = [name for _, line in lines for name in line.split()]
    mask = [counts for counts, line in lines for _ in line.split()]
    assert [names[token] for token in found["tokens"][0].as_py()] == tokens
    masked = [border for pair in ranges_of(at for at, counts in enumerate(mask) if not counts) for border in pair]
    assert found["masked"][0].as_py() == masked


def test_ids_of_one(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([np.array([128]), np.array([367])])
    monkeypatch.setattr(arithmetic, "operands", lambda numbers, settings: next(given))
    found = tokenized(make_documents(0, 1, Arithmetic(style="plain")), tokenizer).to_pylist()
    #                              12   8   +   3   6   7   =   4   9   5
    assert found[0]["tokens"] == [294, 25, 12, 20, 23, 24, 30, 21, 26, 22]
    assert found[0]["masked"] == [0, 7]
    assert found[0]["num_bytes"] == 11


def test_several_in_a_document_with_the_line_end_trained() -> None:
    found = make_documents(0, 7, Arithmetic(per_document=3)).to_pylist()
    assert [row["url"] for row in found] == [row["special_spans"] for row in found] == [None] * 3
    texts = [row["text"] for row in found]
    assert [text.count("\n") for text in texts] == [2, 2, 0]
    assert not any(text.endswith("\n") for text in texts)
    for row in found:
        spans = row["loss_spans"]
        trained = "".join(row["text"][low:high] for low, high in zip(spans[::2], spans[1::2], strict=True))
        assert trained == "\n".join(line.partition("=")[2] for line in row["text"].split("\n"))


numbers = st.one_of(st.integers(0, 12), st.integers(0, 10**18 - 1), st.integers(0, 18).map(lambda size: 10**size - 1))


@given(st.lists(st.tuples(numbers, numbers), max_size=5), st.sampled_from(list(ArithmeticStyle)))
@examples(150)
def test_styles_are_those_of_the_reference(pairs: list[tuple[int, int]], style: ArithmeticStyle) -> None:
    left, right = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    found = zip(*(column.to_pylist() for column in STYLES[style](left, right)), strict=True)
    assert list(found) == [reference.addition(style.value, *pair) for pair in pairs]


@pytest.mark.parametrize("digits", [1, 3, 17, 18])
def test_operands_are_those_of_the_reference(digits: int) -> None:
    made = Arithmetic(digits=digits, seed=5)
    found = operands(np.arange(300, dtype=np.uint64), made).tolist()
    assert found == [reference.operand(number, made) for number in range(300)]
    assert max(found) < 10**digits
    assert found != operands(np.arange(300, dtype=np.uint64), Arithmetic(digits=digits, seed=6)).tolist()


def test_operands_of_one_digit_come_equally_often() -> None:
    counts = Counter(operands(np.arange(100_000, dtype=np.uint64), Arithmetic(digits=1)).tolist())
    assert sorted(counts) == list(range(10))
    assert all(9_600 < count < 10_400 for count in counts.values())


@pytest.mark.parametrize("style", list(ArithmeticStyle))
def test_documents_are_those_of_the_reference(style: ArithmeticStyle, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (arithmetic, reference):
        monkeypatch.setattr(module, "ADDITIONS_PER_FILE", 10)
    made = Arithmetic(style=style, examples=25, per_document=3, digits=4, seed=2)
    files = list_additions("add", made)
    assert [(file.path, file.size) for file in files] == [
        ("additions-00000", 9), ("additions-00001", 9), ("additions-00002", 7),
    ]  # fmt: skip
    source = reference.Source(format="arithmetic", arithmetic=made)
    for file in files:
        found = [row for block in additions(file, made) for row in block.batch.to_pylist()]
        expected = [reference.formatted(raw, source) for raw in reference.made_documents("add", file.path, made)]
        assert [(row["text"], row["loss_spans"], row["special_spans"]) for row in found] == expected


def test_a_document_of_one_addition_has_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([np.array([128, 7]), np.array([367, 0])] * 5)
    monkeypatch.setattr(arithmetic, "operands", lambda numbers, settings: next(given))
    for style in ArithmeticStyle:
        assert make_documents(0, 2, Arithmetic(style=style))["problem"].to_pylist() == ["128+367", "7+0"]
    assert "problem" not in make_documents(0, 2, Arithmetic(per_document=2)).schema.names


def test_problems_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (arithmetic, reference):
        monkeypatch.setattr(module, "ADDITIONS_PER_FILE", 10)
    made = Arithmetic(examples=25, digits=4, seed=2)
    for file in list_additions("add", made):
        found = [problem for block in additions(file, made) for problem in block.batch["problem"].to_pylist()]
        raws = reference.made_documents("add", file.path, made)
        assert found == [reference.problem_of(raw, made) for raw in raws]


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 12))
@examples(60)
def test_nothing_depends_on_blocks(examples: int, per_document: int, block_rows: int) -> None:
    made = Arithmetic(examples=examples, per_document=per_document)
    (file,) = list_additions("add", made)

    def rows(size: int) -> list[dict]:
        return [
            row for block in additions(file, made, size) if not block.malformed.any() for row in block.batch.to_pylist()
        ]

    assert rows(block_rows) == rows(1000)
    assert len(rows(1000)) == -(-examples // per_document)


def test_a_document_longer_than_a_file() -> None:
    per_document = 2 * arithmetic.ADDITIONS_PER_FILE
    files = list_additions("add", Arithmetic(examples=per_document + 5, per_document=per_document))
    assert [file.size for file in files] == [per_document, 5]


def test_a_file_is_known_by_its_name(tmp_path: Path) -> None:
    made = Arithmetic(examples=arithmetic.ADDITIONS_PER_FILE + 2)
    first, second = list_additions("add", made)
    batch = next(additions(second, made)).batch
    number = 2 * arithmetic.ADDITIONS_PER_FILE
    left, right = operands(np.array([number, number + 1], np.uint64), made).tolist()
    assert batch["text"][0].as_py() == f"{left}+{right}={left + right}"
    assert (first.size, second.size, len(batch)) == (arithmetic.ADDITIONS_PER_FILE, 2, 2)
