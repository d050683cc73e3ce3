"""Token ids by gigatoken against tokenizers, special-looking text, and what is done where the two differ."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors

from byline.errors import BylineError
from byline.schemas import corpora
from byline.schemas.documents import BatchInfo, info_of, with_info
from byline.transforms.tokens import fast_tokenizer, text_tokenizer, tokenizing
from byline.transforms.tokens.text_tokenizer import TextTokenizer, tokenizer_info
from byline.transforms.tokens.tokenizing import tokenize_batch
from byline.transforms.tokens.tokenizing_transform import Tokenize
from tests.support import small
from tests.support.thorough import examples

WORDS = ["[UNK]", "[PAD]", "the", "fox", "##es", "jump", "##s", "a", "b", "##b", "."]


def byte_level() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(small.tokenizer_json())


def normalized() -> tokenizers.Tokenizer:
    """As GPT-NeoX: NFC, and a post-processor and settings that must have no effect."""
    made = byte_level()
    made.normalizer = normalizers.NFC()
    made.post_processor = processors.TemplateProcessing(single=f"{small.BOS} $0", special_tokens=[(small.BOS, 0)])
    made.enable_truncation(3)
    made.enable_padding(pad_id=1, pad_token=small.PAD, length=10)
    return made


def split_by_expression() -> tokenizers.Tokenizer:
    """As Llama 3 and Qwen: a regular expression of its own, then bytes."""
    made = byte_level()
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    expression = words + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made


def word_piece() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[UNK]", "[PAD]"])
    return made


def unigram() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), *((word, -2.0) for word in WORDS[2:])], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(["<unk>"])
    return made


def byte_fallback() -> tokenizers.Tokenizer:
    """As Llama 2: BPE of characters, a missing one becomes its bytes."""
    vocabulary = {"<unk>": 0, "<s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)}
    vocabulary |= {char: 258 + at for at, char in enumerate(["▁", "a", "b", "c", "▁a", "ab"])}
    model = models.BPE(vocabulary, [("▁", "a"), ("a", "b")], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    made = tokenizers.Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.add_special_tokens(["<unk>", "<s>"])
    return made


def load(made: tokenizers.Tokenizer, folder: Path, name: str = "t", library: str = "fastest") -> TextTokenizer:
    made.save(str(folder / f"{name}.json"))
    return TextTokenizer(str(folder / f"{name}.json"), library)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizing")


FAST = [byte_level, normalized, split_by_expression]
SLOW = [word_piece, unigram]
ALL = [*FAST, *SLOW, byte_fallback]


@pytest.fixture(scope="module", params=ALL, ids=lambda make: make.__name__)
def tokenizer(request: pytest.FixtureRequest, folder: Path) -> TextTokenizer:
    return load(request.param(), folder, request.param.__name__)


@pytest.fixture(scope="module")
def fast(folder: Path) -> TextTokenizer:
    return load(byte_level(), folder)


def encoded(tokenizer: TextTokenizer, texts: list[str] | pa.Array) -> list[list[int]]:
    """The ids of each text, which are the same whether the batch is taken for a small or for a large one."""
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    ids = []
    for size in (0, 1 << 40):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_tokenizer, "_FEW_BYTES", size)
            values, offsets = tokenizer.encode(array)
        assert values.dtype == tokenizer.id_dtype
        assert offsets.dtype == np.int64
        assert (offsets[0], offsets[-1]) == (0, len(values))
        ids.append([values[low:high].tolist() for low, high in pairwise(offsets)])
    assert ids[0] == ids[1]
    return ids[0]


PIECES = (
    *("the", " fox", "12345", "'s", "'S", " ", "   ", "    ", "\n", "\r\n", "\t", "\0"),
    *(small.BOS, small.PAD, "<|endof", "text|>", "[UNK]", "<s>", "<0x41>", "▁", "Ġ"),
    *("e\u0301", "é", "ﬁ", "\u00a0", "\u2003", "\ufeff", "中文", "👨\u200d👩", "\u0e01\u0e33"),
)
pieces = st.sampled_from(PIECES)
# The libraries' tables may be of different versions of Unicode, so characters that Python does not know are left out.
characters = st.characters(exclude_categories=("Cs", "Cn"))
texts = st.text(characters, max_size=30) | st.lists(pieces | characters, max_size=12).map("".join)


@examples(150)
@given(st.lists(texts, max_size=5))
@example(["", " ", "a    b     c", f"{small.BOS}{small.BOS} {small.PAD}", "\n\n\n x", "e\u0301\u0301"])
def test_ids_are_those_of_tokenizers(tokenizer: TextTokenizer, given_texts: list[str]) -> None:
    assert encoded(tokenizer, given_texts) == [tokenizer.encode_by_reference(text) for text in given_texts]


@pytest.mark.parametrize("make", FAST, ids=lambda make: make.__name__)
def test_byte_level_tokenizers_are_fast(make: Callable[[], tokenizers.Tokenizer], folder: Path) -> None:
    assert load(make(), folder).fast is not None


@pytest.mark.parametrize("make", SLOW, ids=lambda make: make.__name__)
def test_others_are_left_to_tokenizers(make: Callable[[], tokenizers.Tokenizer], folder: Path) -> None:
    tokenizer = load(make(), folder)
    assert tokenizer.fast is None
    assert encoded(tokenizer, ["the foxes", "ab."]) == [
        make().encode(text, add_special_tokens=False).ids for text in ("the foxes", "ab.")
    ]


def test_the_slow_library_on_demand_gives_the_same(
    fast: TextTokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = load(byte_level(), folder, library="tokenizers")
    assert slow.fast is None
    monkeypatch.setattr(text_tokenizer, "_SLOW_SLICE", 2)
    spellings = ["the fox", "", "jumps", "over", small.BOS]
    assert encoded(slow, spellings) == encoded(fast, spellings)
    assert encoded(slow, []) == encoded(fast, []) == []


def test_a_slice_of_texts_of_which_others_are_null(fast: TextTokenizer) -> None:
    texts = [None, *(f"the fox {number} jumps" for number in range(30))]
    array = pa.array(texts, pa.large_string())
    for start in (1, 9, 10, 17, 30):
        assert encoded(fast, array.slice(start)) == fast.encode_all_by_reference(array.slice(start))


class Disagreeing:
    """In place of gigatoken's tokenizer."""

    @staticmethod
    def from_json(content: str) -> "Disagreeing":
        return Disagreeing()

    def encode_batch_list(self, given_texts: list[str], parallel: bool) -> list[list[int]]:
        return [[0] for _ in given_texts]


class GivingUp(Disagreeing):
    """A text is too much for it."""

    @staticmethod
    def from_json(content: str) -> "GivingUp":
        return GivingUp()

    def encode_batch_list(self, given_texts: list[str], parallel: bool) -> list[list[int]]:
        raise pyo3_panic("called `Option::unwrap()`\non a `None` value")


class pyo3_panic(BaseException):  # noqa: N801
    """As Rust's panics reach Python: no Exception."""


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        (Disagreeing, "the libraries differ about "),
        (GivingUp, "a library gives up on a text of the comparison: called `Option::unwrap()` on a `None` value"),
    ],
)
def test_a_library_that_is_of_no_use_is_not_used(
    library: type, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_tokenizer.gigatoken, "Tokenizer", library)
    made = byte_level()
    made.add_tokens([f"<{library.__name__}>"])
    tokenizer = load(made, folder, library.__name__)
    assert tokenizer.fast is None
    assert str(tokenizer.differences.whole).startswith(reason)
    assert encoded(tokenizer, ["the fox"]) == [byte_level().encode("the fox").ids]


def test_a_slice_of_texts(fast: TextTokenizer) -> None:
    whole = pa.array(["the", "fox jumps", "over", ""], pa.large_string())
    assert encoded(fast, whole.slice(1, 2)) == encoded(fast, ["fox jumps", "over"])


def test_special_looking_text_stays_text(fast: TextTokenizer) -> None:
    specials = {fast.vocabulary[small.BOS], fast.vocabulary[small.PAD]}
    token_lists = encoded(fast, [f"a {small.BOS} b", small.PAD, f"{small.BOS}{small.BOS}"])
    assert not specials & {token for ids in token_lists for token in ids}
    decoder = byte_level()
    assert [decoder.decode(ids) for ids in token_lists] == [f"a {small.BOS} b", small.PAD, f"{small.BOS}{small.BOS}"]


def test_added_tokens_that_are_not_special_are_used(fast: TextTokenizer) -> None:
    assert encoded(fast, ["a    b"])[0][1] == fast.vocabulary["    "]


def slow_count(text: str, names: list[str]) -> int:
    """Occurrences from left to right, the longest at each shuffle key, none within another."""
    count, at = 0, 0
    while at < len(text):
        longest = max((name for name in names if text.startswith(name, at)), key=len, default="")
        count, at = count + bool(longest), at + max(len(longest), 1)
    return count


@given(st.lists(st.lists(pieces | st.just("<|x|>") | st.just("<|x|>+"), max_size=6).map("".join), max_size=4))
def test_special_text_is_counted(fast: TextTokenizer, given_texts: list[str]) -> None:
    names = [small.BOS, small.PAD, "<|x|>", "<|x|>+"]
    tokenizer = TextTokenizer(fast.file)
    tokenizer.special_names = names
    expected = sum(slow_count(text, names) for text in given_texts)
    assert tokenizer.count_special_text(pa.array(given_texts, pa.large_string())) == expected


def test_a_tokenizer_without_special_tokens_counts_none(fast: TextTokenizer) -> None:
    tokenizer = TextTokenizer(fast.file)
    tokenizer.special_names = []
    assert tokenizer.count_special_text(pa.array([small.BOS], pa.large_string())) == 0


def test_ids_take_two_bytes_where_they_fit(folder: Path) -> None:
    made = byte_level()
    made.add_tokens([AddedToken(f"<extra {n}>") for n in range(2**16 - made.get_vocab_size())])
    narrow = load(made, folder, "narrow", "tokenizers")
    made.add_tokens([AddedToken("<one more>")])
    wide = load(made, folder, "wide", "tokenizers")
    assert (narrow.vocab_size, narrow.id_type, narrow.id_dtype) == (2**16, pa.uint16(), np.uint16)
    assert (wide.vocab_size, wide.id_type, wide.id_dtype) == (2**16 + 1, pa.int32(), np.int32)
    assert encoded(wide, ["<one more>"]) == [[2**16]]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": {"type": "BPE"}}', "not json", '"text"', "\ud800"])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(BylineError, match=r"t\.json: not a Hugging Face tokenizer\.json \(") as error:
        TextTokenizer(str(tmp_path / "t.json"))
    assert "\n" not in str(error.value)


def batch_of(given_texts: list[str], path: str = "x.jsonl") -> pa.RecordBatch:
    columns = [
        pa.array(range(len(given_texts)), pa.int64()),
        pa.array(given_texts, pa.large_string()),
        pa.array(given_texts, pa.string()),
    ]
    batch = pa.RecordBatch.from_arrays(columns, ["row", "text", "license"])
    return with_info(batch, BatchInfo("a", path, 0, True, 1, len(given_texts), 1, {"malformed": 1}, special_text=2))


def test_a_batch_gets_its_tokens(fast: TextTokenizer) -> None:
    tokenized = tokenize_batch(batch_of(["the fox", "é", f"{small.BOS} {small.PAD}"]), fast)
    assert tokenized.schema.names == ["row", "license", "num_bytes", "num_tokens", "tokens"]
    expected = encoded(fast, ["the fox", "é", f"{small.BOS} {small.PAD}"])
    assert tokenized["tokens"].to_pylist() == expected
    assert tokenized["num_tokens"].to_pylist() == [len(ids) for ids in expected]
    assert tokenized["num_bytes"].to_pylist() == [7, 2, 25]
    assert tokenized["tokens"].type == pa.large_list(pa.field("item", pa.uint16(), nullable=False))
    assert info_of(tokenized).special_text == 4
    tokenized.validate(full=True)


def test_a_document_without_tokens_is_dropped(folder: Path) -> None:
    made = byte_level()
    made.normalizer = normalizers.Replace("x", "")
    tokenized = tokenize_batch(batch_of(["the", "xx", "jump"]), load(made, folder, "nothing"))
    assert tokenized["row"].to_pylist() == [0, 2]
    assert tokenized["tokens"].to_pylist() == [byte_level().encode(text).ids for text in ("the", "jump")]
    assert info_of(tokenized).dropped == {"malformed": 1, "no_tokens": 1}


def test_an_empty_batch(fast: TextTokenizer) -> None:
    tokenized = tokenize_batch(batch_of([]), fast)
    assert tokenized.num_rows == 0
    assert tokenized.schema == tokenize_batch(batch_of(["the"]), fast).schema.with_metadata(tokenized.schema.metadata)


class Sabotaged(TextTokenizer):
    """Gives one wrong id for one document."""

    def __init__(self, file: str, document: int) -> None:
        super().__init__(file)
        self.document = document

    def encode(self, given_texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        values, offsets = super().encode(given_texts)
        if len(given_texts) > self.document:
            values[offsets[self.document] + 1] += 1
        return values, offsets


def test_the_first_document_of_a_batch_is_checked(fast: TextTokenizer) -> None:
    right = encoded(fast, ["the fox"])[0]
    wrong = [right[1] + 1, *right[2:]]
    with pytest.raises(BylineError) as error:
        tokenize_batch(batch_of(["the fox", "jumps"]), Sabotaged(fast.file, 0))
    assert str(error.value).startswith(
        f"x.jsonl of source a, row 0: gigatoken and tokenizers disagree from token 1 on ({wrong[:4]} and {right[1:5]});"
    )
    assert "tokenizer.library: tokenizers" in str(error.value)


def test_a_fixed_share_of_the_others_is_checked(fast: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tokenizing, "WHOLE_SHARE", 4)
    reference = fast.encode_by_reference
    monkeypatch.setattr(fast, "encode_by_reference", lambda text: asked.append(text) or reference(text))
    given_texts = [f"fox {number}" for number in range(200)]
    tokenize_batch(batch_of(given_texts), fast)
    first, asked[:] = list(asked), []
    assert 25 < len(first) < 80
    tokenize_batch(batch_of(given_texts), fast)
    assert asked == first
    document = given_texts.index(first[-1])
    with pytest.raises(BylineError, match=f"row {document}: gigatoken and tokenizers disagree from token 1 on"):
        tokenize_batch(batch_of(given_texts), Sabotaged(fast.file, document))


def test_a_piece_of_more_documents_is_checked(fast: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizing, "PIECE_SHARE", 4)
    monkeypatch.setattr(tokenizing, "PIECE_CHARACTERS", 5)
    asked: list[list[str]] = []
    reference = fast.encode_all_by_reference
    monkeypatch.setattr(
        fast, "encode_all_by_reference", lambda texts: asked.append(texts.to_pylist()) or reference(texts)
    )
    given_texts = [f"{number} é中文 {number}" if number % 3 else "é" for number in range(200)]
    tokenize_batch(batch_of(given_texts), fast)
    (pieces,) = asked
    assert 25 < len(pieces) < 80
    assert {len(piece) for piece in pieces} == {1, 5}
    assert all(any(piece in text for text in given_texts) for piece in pieces)
    assert len({text.index(piece) for piece in pieces for text in given_texts if piece in text}) > 3
    monkeypatch.setattr(fast, "encode_all_by_reference", lambda texts: [*reference(texts)[:-1], [1, 2]])
    with pytest.raises(BylineError, match=r"^x\.jsonl of source a, row \d+: gigatoken and tokenizers disagree"):
        tokenize_batch(batch_of(given_texts), fast)


def test_a_text_of_too_many_or_too_few_tokens_is_found(fast: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fast.encode_by_reference("the fox")
    for given_ids in ([*right, 5], right[:-1]):
        monkeypatch.setattr(fast, "encode_by_reference", lambda text, ids=given_ids: ids)
        with pytest.raises(BylineError, match="disagree from token"):
            tokenize_batch(batch_of(["the fox"]), fast)


def settings_of(tokenizer: TextTokenizer, **names: str) -> corpora.Tokenizer:
    return corpora.Tokenizer.model_validate({"file": tokenizer.file, **names})


def test_special_ids(fast: TextTokenizer) -> None:
    info = tokenizer_info(fast, settings_of(fast, bos=small.BOS, eos=small.BOS, pad=small.PAD))
    assert (info.name, info.sha256, info.vocab_size) == ("t", fast.sha256, fast.vocab_size)
    assert (info.bos_id, info.eos_id, info.pad_id, info.specials) == (0, 0, 1, 2)
    assert json.loads(json.dumps(info.to_json()))["pad_id"] == 1


@pytest.mark.parametrize(
    ("names", "pad", "specials"),
    [({"eos": small.PAD, "bos": small.BOS}, 1, 2), ({"bos": small.BOS}, 0, 1), ({"pad": "    "}, 389, 0)],
)
def test_padding_falls_back_to_eos_then_bos(
    fast: TextTokenizer, names: dict[str, str], pad: int, specials: int
) -> None:
    info = tokenizer_info(fast, settings_of(fast, **names))
    assert (info.pad_id, info.specials) == (pad, specials)


def test_nothing_to_pad_with(fast: TextTokenizer) -> None:
    with pytest.raises(BylineError, match=r"^tokenizer: give one of pad, eos and bos;"):
        tokenizer_info(fast, settings_of(fast))


def test_a_special_token_that_is_not_there(fast: TextTokenizer) -> None:
    with pytest.raises(BylineError) as error:
        tokenizer_info(fast, settings_of(fast, bos="<s>"))
    names = f"'{small.BOS}', '{small.PAD}'"
    assert str(error.value) == (
        f"tokenizer.bos: {fast.file} has no token '<s>'; its special tokens are: {names}. To add it, list it under "
        f"tokenizer.add: its id is then {fast.vocab_size}, for which the model's embedding needs a row"
    )


def test_tokenize_is_a_map_over_batches(fast: TextTokenizer) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        created = pipeline | beam.Create([batch_of(["the fox"])]).with_output_types(pa.RecordBatch)
        batches = created | Tokenize(settings_of(fast))
        assert batches.element_type is pa.RecordBatch
        expected = encoded(fast, ["the fox"])
        assert_that(batches | beam.Map(lambda batch: batch["tokens"].to_pylist()), equal_to([expected]))
