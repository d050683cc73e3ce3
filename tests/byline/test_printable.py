"""What a terminal would act on is shown as an escape, and no message is without end."""

import pickle

import pytest

from byline.errors import BylineError
from byline.printable import LONGEST, printable, shortened, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ü 中 👍 [red]", "plain ü 中 👍 [red]"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\0\x07\x7f", r"\x00\x07\x7f"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("a\u2028b\ufeff\u200b", r"a\u2028b\ufeff\u200b"),
        (b"\xff.jsonl".decode("utf-8", "surrogateescape"), r"\udcff.jsonl"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_what_is_kept() -> None:
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = BylineError("allow: a\n\x1b[2J.txt: no such file")
    assert str(error) == r"allow: a\n\x1b[2J.txt: no such file"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_text_keeps_its_ends() -> None:
    assert shortened("x" * LONGEST) == "x" * LONGEST
    text = shortened("begin" + "x" * 10_000 + "end")
    assert (len(text), text[:5], text[-3:]) == (LONGEST, "begin", "end")
    assert shortened("abcdefghijklmnop", 9) == "ab ... op"


def test_a_value_in_a_message() -> None:
    assert shown("a\x1b") == r"'a\x1b'"
    assert len(shown(list(range(10_000)))) == 200
