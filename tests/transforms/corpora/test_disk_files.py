"""Files on a disk: links, loops, what is no file, and names that no document can have."""

import json
import os
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.transforms.corpora import disk_files
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.matching import Names, whole_regex
from byline.transforms.corpora.reading import read_batches
from tests.support.thorough import examples


def listed(pattern):
    return list_inputs("mine", Source(format="jsonl", path=str(pattern)))


def paths(pattern):
    return [file.path for file in listed(pattern)]


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": name}) + "\n")


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def mistake(pattern):
    with pytest.raises(BylineError) as error:
        listed(pattern)
    message = str(error.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


# --- loops


def test_a_loop_to_a_folder_above(tmp_path):
    write(tmp_path, "in/sub/a.jsonl")
    link(tmp_path / "in" / "sub" / "loop", "..")
    assert paths(f"{tmp_path}/in/**/*.jsonl") == ["sub/a.jsonl"]
    assert paths(f"{tmp_path}/in/**") == ["sub/a.jsonl"]
    assert paths(f"{tmp_path}/in/sub/loop/*/*.jsonl") == ["sub/a.jsonl"]


def test_a_loop_to_itself_or_to_its_own_folder(tmp_path):
    write(tmp_path, "in/a.jsonl")
    link(tmp_path / "in" / "here", ".")
    link(tmp_path / "in" / "self", "self")
    link(tmp_path / "in" / "root", "/")
    (tmp_path / "in" / "root").unlink()
    assert paths(f"{tmp_path}/in/**/*.jsonl") == ["a.jsonl"]
    assert "self: is a link to self, which leads back to itself" in mistake(f"{tmp_path}/in/*/*.jsonl")
    assert "self: is a link to self, which leads back to itself" in mistake(f"{tmp_path}/in/self")


def test_folders_that_lead_to_each_other(tmp_path):
    names = [f"f{number}" for number in range(12)]
    for name in names:
        write(tmp_path, f"in/{name}/a.jsonl")
        for other in names:
            link(tmp_path / "in" / name / other, f"../{other}")
    assert paths(f"{tmp_path}/in/**/*.jsonl") == sorted(f"{name}/a.jsonl" for name in names)


def test_a_chain_of_links(tmp_path):
    write(tmp_path, "data/a.jsonl")
    link(tmp_path / "one", "data")
    link(tmp_path / "two", "one")
    link(tmp_path / "in" / "three", "../two")
    assert paths(f"{tmp_path}/in/**/*.jsonl") == ["three/a.jsonl"]
    assert paths(f"{tmp_path}/*/*.jsonl") == ["data/a.jsonl"]


# --- each file once


def test_a_link_to_a_file_beside_it(tmp_path):
    write(tmp_path, "b.jsonl")
    link(tmp_path / "a.jsonl", "b.jsonl")
    link(tmp_path / "c.jsonl", tmp_path / "b.jsonl")
    os.link(tmp_path / "b.jsonl", tmp_path / "d.jsonl")
    assert paths(f"{tmp_path}/*.jsonl") == ["b.jsonl"]
    assert paths(f"{tmp_path}/[ac].jsonl") == ["a.jsonl"]
    assert paths(f"{tmp_path}/a.jsonl") == ["a.jsonl"]


def test_one_file_by_two_patterns(tmp_path):
    write(tmp_path, "x/a.jsonl")
    link(tmp_path / "y", "x")
    source = Source(format="jsonl", path=[f"{tmp_path}/y/*.jsonl", f"{tmp_path}/x/*.jsonl"])
    assert [file.path for file in list_inputs("mine", source)] == ["x/a.jsonl"]


def test_a_folder_of_links_as_a_cache_has_it(tmp_path):
    """As Hugging Face's: files are named by links, and kept elsewhere under other names."""
    write(tmp_path, "blobs/1f2e", "blobs/9a8b")
    for name, blob in (("0.jsonl", "1f2e"), ("1.jsonl", "9a8b")):
        link(tmp_path / "snapshots" / "rev" / "data" / name, f"../../../blobs/{blob}")
    (file, other) = listed(f"{tmp_path}/snapshots/*/**/*.jsonl")
    assert (file.path, other.path) == ("rev/data/0.jsonl", "rev/data/1.jsonl")
    assert file.size == (tmp_path / "blobs" / "1f2e").stat().st_size
    (batch,) = read_batches(file, Source(format="jsonl", path="x"))
    assert batch["text"].to_pylist() == ["blobs/1f2e"]
    assert paths(f"{tmp_path}/**") == ["blobs/1f2e", "blobs/9a8b"]


# --- links that lead nowhere


@pytest.mark.parametrize("target", ["../blobs/2", "gone.jsonl", "/no/such/file", "a.jsonl/below"])
def test_a_link_that_leads_nowhere(tmp_path, target):
    write(tmp_path, "in/a.jsonl")
    link(tmp_path / "in" / "2.jsonl", target)
    for pattern in ("in/*.jsonl", "**/*.jsonl", "in/2.jsonl", "{in,out}/*.jsonl"):
        message = mistake(f"{tmp_path}/{pattern}")
        assert f"{tmp_path}/in/2.jsonl: is a link to {target}, which is not there; mend it or remove it" in message
    assert paths(f"{tmp_path}/in/a*.jsonl") == ["a.jsonl"]


def test_a_folder_that_leads_nowhere(tmp_path):
    write(tmp_path, "in/x/a.jsonl")
    link(tmp_path / "in" / "y", "../gone")
    assert "in/y: is a link to ../gone, which is not there" in mistake(f"{tmp_path}/in/*/*.jsonl")
    # Below `**` anything may be a folder.
    assert paths(f"{tmp_path}/in/**/*.jsonl") == ["x/a.jsonl"]


# --- what is no file


@pytest.mark.parametrize("pattern", ["in/*", "in/**", "in/b.jsonl", "in/[b]*"])
def test_what_is_no_file(tmp_path, pattern):
    write(tmp_path, "in/a.jsonl")
    other = tmp_path / "in" / "b.jsonl"
    os.mkfifo(other)
    advice = "; remove it, or write a pattern that does not match it"
    assert mistake(f"{tmp_path}/{pattern}") == f"{other}: is a named pipe, not a file{advice}"
    other.unlink()
    link(other, "/dev/zero")
    assert mistake(f"{tmp_path}/{pattern}") == f"{other}: is a device, not a file{advice}"
    other.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path / "in", os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/b.jsonl")
        os.close(folder)
        assert mistake(f"{tmp_path}/{pattern}") == f"{other}: is a socket, not a file{advice}"
    assert paths(f"{tmp_path}/in/a*") == ["a.jsonl"]


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path, "in/a.jsonl", "in/b.jsonl")
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("b.jsonl"))
    for pattern in ("in/*.jsonl", "in/b.jsonl"):
        assert f"{tmp_path}/in/b.jsonl: cannot be read (Permission denied)" in mistake(f"{tmp_path}/{pattern}")
    assert paths(f"{tmp_path}/in/a*") == ["a.jsonl"]


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    write(tmp_path, "in/a/1.jsonl", "in/b/1.jsonl")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"{tmp_path}/in/b: cannot be listed (Permission denied)" in mistake(f"{tmp_path}/in/**/*.jsonl")
    assert paths(f"{tmp_path}/in/a*/*.jsonl") == ["a/1.jsonl"]


def test_a_file_that_vanishes(tmp_path, monkeypatch):
    write(tmp_path, "in/a.jsonl", "in/b.jsonl")
    opened = disk_files._opened

    def vanish(folder):
        kept = opened(folder)
        (tmp_path / "in" / "b.jsonl").unlink(missing_ok=True)
        return kept

    monkeypatch.setattr(disk_files, "_opened", vanish)
    assert f"{tmp_path}/in/b.jsonl: is gone since its folder was listed" in mistake(f"{tmp_path}/in/*.jsonl")


def test_a_folder_that_vanishes(tmp_path, monkeypatch):
    write(tmp_path, "in/a/1.jsonl", "in/b/1.jsonl")
    opened = disk_files._opened

    def vanish(folder):
        if folder.endswith("/a"):
            (tmp_path / "in" / "b").rename(tmp_path / "gone")
        return opened(folder)

    monkeypatch.setattr(disk_files, "_opened", vanish)
    assert f"{tmp_path}/in/b: cannot be listed (No such file or directory)" in mistake(f"{tmp_path}/in/*/*.jsonl")


# --- names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xff.jsonl", "\\xff.jsonl"),
        (b"caf\xe9\x1b[2J.jsonl", "caf\\xe9\\x1b[2J.jsonl"),
        (b"\xed\xa0\x80.jsonl", "\\xed\\xa0\\x80.jsonl"),
    ],
)
def test_a_name_that_is_not_utf8(tmp_path, name, shown):
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/" + name, "wb"):
        pass
    message = mistake(f"{tmp_path}/in/*")
    assert message.startswith(f"{tmp_path}/in/{shown}: the name is not UTF-8")
    write(tmp_path, "in/a.jsonl")
    assert paths(f"{tmp_path}/in/a*") == ["a.jsonl"]


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path / "in") + b"/\xff"
    os.makedirs(folder)
    assert "no file matches" in mistake(f"{tmp_path}/in/**/*.jsonl")
    with open(folder + b"/a.jsonl", "wb"):
        pass
    assert "in/\\xff/a.jsonl: the name is not UTF-8" in mistake(f"{tmp_path}/in/**/*.jsonl")


def test_odd_names(tmp_path):
    names = ["a\nb.jsonl", "\x1b[31m.jsonl", " .jsonl", "a\\b.jsonl", "%41.jsonl", "\u202e.jsonl", "'\".jsonl"]
    write(tmp_path, *(f"in/{name}" for name in names))
    files = listed(f"{tmp_path}/in/*")
    assert [file.path for file in files] == sorted(names, key=str.encode)
    for file in files:
        (batch,) = read_batches(file, Source(format="jsonl", path="x"))
        assert len(batch) == 1


# --- matching name by name is as matching whole paths


parts = st.sampled_from(["**", "*", "a*", "[ab]", "b", ".*", "_x", "?"])
names = st.sampled_from(["a", "b", "ab", ".a", "_x", "c"])


@given(
    st.lists(st.lists(parts, min_size=1, max_size=4), min_size=1, max_size=2), st.lists(names, min_size=1, max_size=5)
)
@examples(300)
def test_names_match_as_whole_paths_do(tails, path):
    texts = ["/".join(tail) for tail in tails]
    matcher = Names(texts)
    states = matcher.start
    for name in path:
        states = matcher.after(states, name)
    whole = any(re.fullmatch(whole_regex(text), "/".join(path)) for text in texts)
    assert matcher.is_match(states) == whole
