"""The tokenizers of studies: what they cut, and that a file is made again byte for byte."""

import json

import pytest
from tokenizers import Tokenizer

from byline.lab.corpora.tokenizers import SPECIAL_TOKEN, train_bpe, write_byte_tokenizer

TEXTS = ["Ada was born in Lund.\n", "Bo was born in Bergen in 1815.\n", "naïve ☃\n"] * 50


def test_a_byte_is_a_token(tmp_path):
    write_byte_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 257
    assert tokenizer.token_to_id(SPECIAL_TOKEN) == 0
    encoding = tokenizer.encode("12+34=46\n☃")
    assert encoding.tokens == [*"12+34=46", "Ċ", "â", "ĺ", "ĥ"]
    assert tokenizer.decode(encoding.ids) == "12+34=46\n☃"


def test_frequent_words_become_tokens(tmp_path):
    train_bpe(tmp_path / "tokenizer.json", iter(TEXTS), 290)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 290
    assert tokenizer.token_to_id(SPECIAL_TOKEN) == 0
    assert tokenizer.encode(" was born in Lund").tokens[:3] == ["Ġwas", "Ġborn", "Ġin"]
    text = "Any text, \0 and 雪, comes back."
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_fewer_tokens_where_the_texts_have_no_more(tmp_path):
    train_bpe(tmp_path / "tokenizer.json", ["ab ab ab"], 2048)
    # The special token, 256 bytes, `ab` and ` ab`.
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size() == 259


@pytest.mark.parametrize("write", [write_byte_tokenizer, lambda path: train_bpe(path, iter(TEXTS), 400)])
def test_the_same_bytes_again(tmp_path, write):
    for name in ("one", "two"):
        write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_text())["added_tokens"][0]["content"] == SPECIAL_TOKEN
