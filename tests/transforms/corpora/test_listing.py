"""Listing: which files a pattern takes, under which root and in which order."""

import fnmatch
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.transforms.corpora import listing, matching
from byline.transforms.files import storage

TREE = [
    "top.json",
    "a/0.json",
    "a/1.json.gz",
    "a/10.json",
    "a/b/2.json",
    "a/b/c/3.json",
    "a/b/.hidden.json",
    "a/b/_SUCCESS",
    "a/.cache/4.json",
    "a/_temporary/5.json",
    "a/b/.tmp-7-6.json",
    "d/x y?%.json",
    "d/é.json",
    "d/z.json",
    "d/Z.json",
]


@pytest.fixture
def tree(tmp_path):
    for number, name in enumerate(TREE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    (tmp_path / "a" / "empty.json").mkdir()
    return tmp_path


def paths(root, *patterns):
    files = listing.list_inputs("mine", Source(format="jsonl", path=[f"{root}/{pattern}" for pattern in patterns]))
    return [file.path for file in files]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["a/0.json"], ["0.json"]),
        (["a/*.json"], ["0.json", "10.json"]),
        (["a/?.json*"], ["0.json", "1.json.gz"]),
        (["a/[0-9].json"], ["0.json"]),
        (["a/[!0]*.json"], ["10.json"]),
        (["a/*/*.json"], ["b/2.json"]),
        (["a/**/*.json"], ["0.json", "10.json", "b/2.json", "b/c/3.json"]),
        (["a/**"], ["0.json", "1.json.gz", "10.json", "b/2.json", "b/c/3.json"]),
        (["a/**/c/**"], ["b/c/3.json"]),
        (["*/b/*.json"], ["a/b/2.json"]),
        (["a//./b/*.json"], ["2.json"]),
        (["*.json"], ["top.json"]),
        (["a*/**/[2-3].json"], ["a/b/2.json", "a/b/c/3.json"]),
        # the root is the common folder of the patterns' roots; a file is there once
        (["a/*.json", "a/b/**/*.json"], ["0.json", "10.json", "b/2.json", "b/c/3.json"]),
        (["a/*.json", "a/0.json", "a/[0]*"], ["0.json", "10.json"]),
        (["d/z.json", "a/b/2.json"], ["a/b/2.json", "d/z.json"]),
        # braces: a wildcard of the root, of which one has to match
        (["a/{0,10}.json"], ["0.json", "10.json"]),
        (["a/{b,gone}/*.json"], ["b/2.json"]),
        (["{a,d}/*.json", "a/0.json"], ["a/0.json", "a/10.json", "d/Z.json", "d/x y?%.json", "d/z.json", "d/é.json"]),
        (["a/{0,b/{2,c/3}}.json"], ["0.json", "b/2.json", "b/c/3.json"]),
        (["a/b/{.h*,_*}"], [".hidden.json", "_SUCCESS"]),
        (["a/b/{c,../../d}/{3,z}.json"], ["a/b/c/3.json", "d/z.json"]),
        # hidden only if named
        (["a/.cache/*.json"], ["4.json"]),
        (["a/b/.h*"], [".hidden.json"]),
        (["a/b/_*"], ["_SUCCESS"]),
        (["a/_*/*.json"], ["_temporary/5.json"]),
        (["a/b/.tmp-7-6.json"], [".tmp-7-6.json"]),
        # order of bytes
        (["d/*"], ["Z.json", "x y?%.json", "z.json", "é.json"]),
    ],
)
def test_patterns(tree, patterns, expected):
    assert paths(tree, *patterns) == expected


def test_a_path_may_begin_with_two_slashes(tree):
    assert paths(f"/{tree}", "a/*.json", "a/b/*.json") == ["0.json", "10.json", "b/2.json"]


def test_input_files(tree):
    (file,) = listing.list_inputs("mine", Source(format="jsonl", path=f"{tree}/a/b/*.json"))
    modified = (tree / "a/b/2.json").stat().st_mtime_ns
    assert file == InputFile("mine", "2.json", str(tree / "a/b/2.json"), 4, modified=modified)


def test_relative_to_the_working_folder(tree, monkeypatch):
    monkeypatch.chdir(tree / "a")
    for pattern, expected in [
        ("b/*.json", "2.json"),
        ("*0.json", "0.json"),
        ("../d/z.json", "z.json"),
        ("0.json", "0.json"),
    ]:
        files = listing.list_inputs("mine", Source(format="jsonl", path=pattern))
        assert files[0].path == expected
        assert storage.exists(files[0].uri)


def test_home_and_variables(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    monkeypatch.setenv("LANGUAGE_FOLDER", "b")
    for pattern in ("~/a/$LANGUAGE_FOLDER/*.json", "~/a/${LANGUAGE_FOLDER}/2.json"):
        source = Source(format="jsonl", path=pattern)
        assert source.path == pattern
        assert [(file.path, file.uri) for file in listing.list_inputs("mine", source)] == [
            ("2.json", f"{tree}/a/b/2.json")
        ]


def test_a_variable_that_is_not_set_is_named(tree, monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(BylineError, match=r"no file matches '.*/\$NO_SUCH/\*'; \$NO_SUCH is not set; the nearest"):
        paths(tree, "$NO_SUCH/*")
    (tree / "$NO_SUCH").mkdir()
    (tree / "$NO_SUCH" / "0.json").touch()
    assert paths(tree, "$NO_SUCH/*") == ["0.json"]


def test_names_with_braces_that_are_none(tree):
    for name in ("{a}.json", "{a,b.json", "a},.json"):
        (tree / "d" / name).touch()
        assert paths(tree, f"d/{name}") == [name]


def test_a_folder_is_listed_once_for_all_braces(tree, monkeypatch):
    listed = []
    monkeypatch.setattr(listing, "matching_files", lambda folder, names: listed.append(folder) or [])
    with pytest.raises(BylineError):
        paths(tree, "a/**/*.{json,json.gz}")
    assert listed == [f"{tree}/a"]


def test_links_are_followed(tree):
    (tree / "links").mkdir()
    (tree / "links" / "file.json").symlink_to(tree / "a" / "0.json")
    (tree / "links" / "folder").symlink_to(tree / "d")
    (tree / "links" / "broken.json").symlink_to(tree / "gone")
    assert paths(tree, "links/**/[fz]*.json") == ["file.json", "folder/z.json"]


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("a/*.parquet", "a"),
        ("gone/deep/*.json", ""),
        ("a/b/gone.json", "a/b"),
        ("a/b/z/**/*.json", "a/b"),
        ("a/0.json/*", "a"),
    ],
)
def test_nothing_found(tree, pattern, nearest):
    folder = f"{tree}/{nearest}".rstrip("/")
    message = f"sources.mine.path: no file matches '{tree}/{pattern}'; the nearest folder that exists is '{folder}'"
    with pytest.raises(BylineError, match=re.escape(message)):
        paths(tree, "top.json", pattern)


def test_folder(tree):
    for pattern in ("a", "a/"):
        with pytest.raises(BylineError, match=rf"is a folder; write '{tree}/a/\*\*' for all files in it"):
            paths(tree, pattern)


def test_not_a_pattern(tree):
    with pytest.raises(BylineError, match=r"'.*\[z-a\]' is not a pattern \(bad character range z-a\)"):
        paths(tree, "[z-a]")


@given(st.text("ab*?[]!^&|~", min_size=1, max_size=8), st.text("ab[]!^&|~", min_size=1, max_size=6))
@example("[!]a]b", "bb")
@example("[]a]", "]")
@example("[a", "[a")
@example("[!]", "[!]")
def test_parts_match_as_the_shell_has_it(part, name):
    if part != "**":
        assert bool(re.fullmatch(matching.part_regex(part), name)) == fnmatch.fnmatchcase(name, part)


def test_a_bracket_never_matches_a_slash():
    assert not re.fullmatch(matching.whole_regex("a[+-9]b"), "a/b")
    assert not re.fullmatch(matching.whole_regex("a[!x]b"), "a/b")


def test_a_source_that_is_made_has_stretches_for_files():
    source = Source(format="arithmetic", arithmetic={"examples": 3 * 2**20 + 5})
    files = listing.list_inputs("add", source)
    assert [(file.source, file.path, file.size) for file in files] == [
        ("add", f"additions-0000{number}", size) for number, size in enumerate([2**20, 2**20, 2**20, 5])
    ]
    assert listing.list_inputs("add", Source(format="arithmetic"))[0].size == 10_000
