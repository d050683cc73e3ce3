"""Field paths: their parts, and in which order they are read."""

import pytest

from byline.schemas.field_paths import as_path, readings_of, ways_of


def names(path: str) -> list[list[str]]:
    return [list(way) for way in ways_of(path)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("url", [["url"]]),
        ("", [[""]]),
        ("a.b", [["a.b"], ["a", "b"]]),
        ("a.b.c", [["a.b.c"], ["a.b", "c"], ["a", "b.c"], ["a", "b", "c"]]),
        (".a", [[".a"], ["", "a"]]),
        ("a.", [["a."], ["a", ""]]),
        ('"a.b"', [["a.b"]]),
        ('"a.b".c.d', [["a.b", "c.d"], ["a.b", "c", "d"]]),
        ('a."b.c"', [["a", "b.c"]]),
        ('"a""b"', [['a"b']]),
        ('say "a.b"', [['say "a.b"'], ['say "a', 'b"']]),
        ("urls.0", [["urls.0"], ["urls", "0"]]),
        ("urls[0]", [["urls[0]"], ["urls", "0"]]),
        ("a[0][12].b", [["a[0][12].b"], ["a", "0", "12", "b"]]),
        ('"a.b"[2]', [["a.b", "2"]]),
        ("a[b]", [["a[b]"]]),
        ("a[0]b", [["a[0]b"]]),
        ("WARC-Target-URI", [["WARC-Target-URI"]]),
        ("a\nb.c", [["a\nb.c"], ["a\nb", "c"]]),
    ],
)
def test_readings(path: str, expected: list[list[str]]) -> None:
    assert names(path) == expected


@pytest.mark.parametrize("path", ['"a', '"a"b', 'a."b', '"', 'a[0]."b'])
def test_a_quote_without_an_end(path: str) -> None:
    with pytest.raises(ValueError, match=r"the quote at character .* has no end before a dot"):
        readings_of(path)


def test_paths_are_not_endless() -> None:
    assert len(readings_of(".".join("a" * 64))[0]) == 64
    with pytest.raises(ValueError, match="a path of more than 64 names"):
        readings_of(".".join("a" * 65))


@pytest.mark.parametrize("path", ["url", "a.b", '"a.b".c', 'a."""b"', 'a."b[0]".c'])
def test_a_path_of_names(path: str) -> None:
    way = names(path)[-1]
    assert as_path(*way) == path
    assert names(as_path(*way))[-1] == way
