"""Tokenizer files that no library may see, and tokens that no text becomes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.schemas.config_file import parse_config
from byline.transforms.tokens import trial
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.tokenizer_file import checked_file
from tests.support import small, tokenizers


def with_model(**changes: Any) -> dict[str, Any]:
    settings = tokenizers.gpt_2()
    return {**settings, "model": {**settings["model"], **changes}}


def with_id(number: Any) -> dict[str, Any]:
    return with_model(vocab={**tokenizers.gpt_2()["model"]["vocab"], "T": number})


def with_token(**changes: Any) -> dict[str, Any]:
    settings = tokenizers.gpt_2()
    return {**settings, "added_tokens": [{**settings["added_tokens"][0], **changes}]}


def with_pieces(*pieces: Any, **changes: Any) -> dict[str, Any]:
    return {
        **tokenizers.unigram(),
        "added_tokens": [],
        "model": {"type": "Unigram", "unk_id": 0, "vocab": list(pieces), **changes},
    }


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (with_id(2**31 - 1), "the token 'T' has the id 2147483647, but there are 601 tokens"),
        (with_id(2**32 - 1), "the token 'T' has the id 4294967295, but there are 601 tokens"),
        (with_id(10**30), "the token 'T' has the id 1000000000000000000000000000000, but there are 601 tokens"),
        (with_id(-1), "model.vocab: the id of 'T' is -1, not a whole number"),
        (with_id(1.5), "model.vocab: the id of 'T' is 1.5, not a whole number"),
        (with_id(True), "model.vocab: the id of 'T' is True, not a whole number"),
        (with_id([]), "model.vocab: the id of 'T' is list, not a whole number"),
        (with_id(5), "model.vocab: '&' and 'T' have the same id 5"),
        (with_token(id=2**31), "the token '<|endoftext|>' has the id 2147483648, but there are 601 tokens"),
        (with_token(id=None), "added_tokens.0.id: expected a whole number, found None"),
        (with_token(content=5), "added_tokens.0.content: expected text, found 5"),
        (with_token(lstrip="yes"), "added_tokens.0.lstrip: expected true or false, found str"),
        ({**tokenizers.gpt_2(), "added_tokens": {}}, "added_tokens: expected a list, found dict"),
        (with_model(vocab=[]), "model.vocab: expected a mapping, found list"),
        (with_model(merges=["a"]), "model.merges: entry 0 is not two tokens"),
        (with_model(merges=[["a", 1]]), "model.merges: entry 0 is not two tokens"),
        (with_model(dropout=2), "model.dropout: expected a number from 0 to 1, found 2"),
        (with_model(unk_token=7), "model.unk_token: expected text or null, found 7"),
        (with_model(byte_fallback="no"), "model.byte_fallback: expected true or false, found str"),
        (
            with_model(type="Neural"),
            "model.type: expected one of BPE, WordPiece, WordLevel, Unigram, found 'Neural'",
        ),
        (with_pieces(unk_id=None), "model.vocab: there are no tokens"),
        (with_pieces(["a", 1e300]), "model.vocab: the score of 'a' is 1e+300"),
        (with_pieces(["a"]), "model.vocab: entry 0 is no list of a piece and its score"),
        (with_pieces(["a", 0.0], unk_id=7), "model.unk_id: 7 is no number of a piece; there are 1"),
        (with_pieces(["a", 0.0], unk_id=2**64), "model.unk_id: 18446744073709551616 is no number of a piece"),
        ([], "the file: expected a mapping, found list"),
    ],
)
def test_values_that_a_library_does_not_survive(settings: Any, reason: str, tmp_path: Path) -> None:
    file = tokenizers.write(settings, tmp_path)
    with pytest.raises(BylineError) as error:
        TextTokenizer(file)
    assert str(error.value).startswith(f"{file}: not a Hugging Face tokenizer.json ({reason}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"model": NaN}', "NaN is no number in JSON"),
        (b'{"model": -1e999}', "-1e999 is too large a number"),
        (b"\xff{}", "'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "its lists and mappings are nested too deeply"),
        (b'{"a": ' * 80 + b"1" + b"}" * 80, "its lists and mappings are nested more than 64 deep"),
        (b'{"model": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_json_that_a_library_does_not_survive(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(BylineError) as error:
        TextTokenizer(str(tmp_path / "t.json"))
    assert f"not a Hugging Face tokenizer.json ({reason}" in str(error.value)


def test_ids_may_have_gaps_and_added_tokens_the_ids_of_a_large_vocabulary() -> None:
    settings = with_token(id=128_000)
    assert checked_file("t.json", json.dumps(settings).encode()).added[0]["id"] == 128_000


def encoded(tokenizer: TextTokenizer, text: str) -> list[int]:
    return tokenizer.encode(pa.array([text], pa.large_string()))[0].tolist()


def test_dropout_is_not_used(tmp_path: Path) -> None:
    plain = TextTokenizer(tokenizers.write(tokenizers.gpt_2(), tmp_path, "plain.json"))
    dropped = TextTokenizer(tokenizers.write(with_model(dropout=0.9), tmp_path, "dropped.json"))
    assert (plain.dropout, dropped.dropout) == (0.0, 0.9)
    assert encoded(dropped, "the quick fox") == encoded(plain, "the quick fox")
    assert dropped.encode_by_reference("the quick fox") == encoded(plain, "the quick fox")


NAMES = ("<|fim_middle|>", "<think>")


@pytest.mark.parametrize("library", ["fastest", "tokenizers"])
def test_tokens_that_the_configuration_names_are_text_in_texts(library: str, tmp_path: Path) -> None:
    file = tokenizers.write(tokenizers.qwen_3(), tmp_path)
    tokenizer = TextTokenizer(file, library, (), ("<|fim_middle|>",))
    middle, think = (tokenizer.vocabulary[name] for name in NAMES)
    ids = encoded(tokenizer, "a <|fim_middle|> b <think>")
    assert middle not in ids
    # The others stay as the reference has them.
    assert think in ids
    assert middle in encoded(TextTokenizer(file, library), "a <|fim_middle|> b")
    assert tokenizer.kept_text == ("<|fim_middle|>",)
    assert tokenizer.count_special_text(pa.array(["<|fim_middle|><think>"], pa.large_string())) == 1


@pytest.mark.parametrize("kind", ["unigram", "word_piece"])
def test_a_model_may_have_the_name_as_a_piece(kind: str, tmp_path: Path) -> None:
    settings = tokenizers.KINDS[kind]()
    if kind == "word_piece":
        settings["pre_tokenizer"] = {"type": "WhitespaceSplit"}
        settings["normalizer"] = None
    file, name = tokenizers.write(settings, tmp_path), {"unigram": "</s>", "word_piece": "[SEP]"}[kind]
    number = TextTokenizer(file).vocabulary[name]
    assert number in TextTokenizer(file).encode_by_reference(f"a {name} b")
    tokenizer = TextTokenizer(file, "fastest", (), (name,))
    assert tokenizer.vocabulary[name] == number
    assert number not in encoded(tokenizer, f"a {name} b")
    # So runs are others than without the name in the configuration.
    assert name in tokenizer.kept_text
    assert encoded(tokenizer, "a fox") == encoded(TextTokenizer(file), "a fox")


def test_merges_do_not_make_a_token_that_no_text_becomes(tmp_path: Path) -> None:
    settings = tokenizers.with_added(tokenizers.gpt_2(), tokenizers.added("the"))
    tokenizer = TextTokenizer(tokenizers.write(settings, tmp_path), "fastest", (), ("the",))
    assert tokenizer.vocabulary["the"] not in encoded(tokenizer, "the fox and the dog")
    assert tokenizer.fast is not None


def test_an_ordinary_piece_is_no_sentinel(tmp_path: Path) -> None:
    file = tokenizers.write(tokenizers.gpt_2(), tmp_path)
    with pytest.raises(BylineError) as error:
        TextTokenizer(file, "fastest", (), ("the",))
    assert str(error.value).startswith(f"{file}: 'the', which the configuration names, is an ordinary piece that texts")


def test_names_of_a_configuration(tmp_path: Path) -> None:
    values = small.small_config(tmp_path).model_dump(mode="json")
    values["tokenizer"] |= {"sentinels": ["<|x|>"], "bos": None, "pad": None}
    values["sources"]["a"]["formatter"] = {"name": "fim", "options": {"suffix": "<s>"}}
    values["phases"][0]["condition"] = {"template": "{host}", "begin": "<url>"}
    config = parse_config(values, "test")
    names = ("<s>", "<url>", "<|endoftext|>", "<|fim_middle|>", "<|fim_prefix|>", "<|x|>")
    assert config.tokenizer.text_only == names
    assert config.tokenizer.folder == f"{config.store}/tokenizers"
    assert parse_config(config.model_dump(mode="json"), "again").tokenizer.text_only == names


def split_by(pattern: str) -> dict[str, Any]:
    settings = tokenizers.llama_3()
    steps = settings["pre_tokenizer"]["pretokenizers"]
    split = {**steps[0], "pattern": {"Regex": pattern}}
    return {**settings, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, steps[1]]}}


GROWING = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (split_by("(a+)+$"), "gives up on a short text: Onig: Regex search error: retry-limit-in-match over)"),
        (
            {**tokenizers.gpt_2(), "normalizer": {"type": "Sequence", "normalizers": [GROWING] * 4}},
            "brings tokenizers down, or takes more than 4 GiB, for a few short texts)",
        ),
    ],
)
def test_what_fails_for_short_texts_is_refused(settings: Any, reason: str, tmp_path: Path) -> None:
    file = tokenizers.write(settings, tmp_path)
    with pytest.raises(BylineError) as error:
        TextTokenizer(file)
    assert str(error.value).endswith(f"not a Hugging Face tokenizer.json (its normalizer or pre_tokenizer {reason}")


def test_what_was_tried_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = tokenizers.write(tokenizers.mistral(), tmp_path), tmp_path / "kept"
    monkeypatch.setattr(trial, "_TRIED", set())
    TextTokenizer(file, folder=str(folder))
    assert [path.suffix for path in folder.iterdir()] == [".tried"]
    monkeypatch.setattr(trial, "_TRIED", set())
    monkeypatch.setattr(trial, "_tried", lambda settings: pytest.fail("tried again"))
    TextTokenizer(file, folder=str(folder))
    # There is nothing to try in it.
    TextTokenizer(tokenizers.write(tokenizers.gpt_2(), tmp_path))


def test_a_text_on_which_the_reference_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_tried", lambda settings: None)
    tokenizer = TextTokenizer(tokenizers.write(split_by("(x+)+$"), tmp_path), "tokenizers")
    with pytest.raises(BylineError) as error:
        tokenizer.encode(pa.array(["fine", "x" * 100 + "!"], pa.large_string()))
    assert str(error.value).startswith(
        f"{tokenizer.file}: tokenizers gives up on a text of 101 characters that begins with '{'x' * 40}' (Onig: Regex"
    )
