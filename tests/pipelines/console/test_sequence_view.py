"""`byline inspect`: what is printed, in colour and with marks, and that text stays data."""

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models

import byline
from byline.errors import BylineError
from byline.pipelines.console.sequence_view import (
    HEAD,
    TAIL,
    Vocabulary,
    show_sequence,
    show_tokens,
    visible,
    vocabulary_of,
)
from tests.pipelines.console.test_prompt_lines import byte_tokenizer, settings_of
from tests.support.shards import PackedRow, numbered_build, weighed, write_build

BOS, EOS = 257, 258


def printed(out, **options) -> str:
    stream = io.StringIO()
    colour = options.pop("colour", False)
    console = Console(file=stream, width=40, force_terminal=colour, color_system="standard" if colour else None)
    show_sequence(str(out), console=console, **options)
    return stream.getvalue()


def plain_text(ids, mask, vocabulary, full=False) -> str:
    return show_tokens(np.array(ids), np.array(mask, np.uint8), vocabulary, True, full).plain


@pytest.fixture
def bytes_vocabulary(tmp_path):
    """Vocabulary of the byte-level tokenizer, its encoder, and the settings of a build made with it."""
    file = tmp_path / "tokenizer.json"
    tokenizer = byte_tokenizer(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    settings = settings_of(file)
    numbered_build(tmp_path / "vocabulary", {"conditioned": [1]}, **settings)
    manifest = byline.open(tmp_path / "vocabulary").manifest
    return (
        vocabulary_of(json.loads(file.read_bytes()), manifest),
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        settings,
    )


@pytest.fixture
def out(tmp_path, bytes_vocabulary):
    """One row of two documents, the first conditioned, and padding; then a row of one document in the cooldown."""
    _, encode, settings = bytes_vocabulary
    prefix, first, second = encode("URL: a.org\n\n"), encode("The [bold]cat\x1b[2J\nsat"), encode("é <s>")
    ids = [BOS, *prefix, *first, EOS, BOS, *second, EOS]
    mask = [0] * (1 + len(prefix)) + [1] * (len(ids) - len(prefix) - 1)
    lengths = [len(prefix) + len(first) + 2, len(second) + 2, 64 - len(ids)]
    row = PackedRow(ids + [EOS] * lengths[2], mask + [0] * lengths[2], lengths, [3, (1 << 32) + 17, -1], [0, 5, 0])
    other = PackedRow([BOS, *encode("x" * 62), EOS], [1] * 64, [64], [(1 << 32) + 2], [7])
    write_build(tmp_path / "out", {"conditioned": [[row]], "cooldown": [[other]]}, 64, **settings)
    return tmp_path / "out"


def test_in_a_pipe_marks_tell_all(out):
    assert printed(out).splitlines() == [
        "row 0 of 2, phase conditioned, row 0 of conditioned/00000-of-00001.arrow, L = 64",
        "64 tokens = 29 trained (45.3%) + 13 masked (20.3%) + 22 padding (34.4%)",
        r"⟦masked⟧ trained ⟨special⟩ ⏎ line break, \x1b other bytes",
        "",
        "1  doc id 3, mine, a.jsonl row 3: tokens 0-33 (34), from its token 0, 13 masked",
        "   ⟦⟨<s>⟩URL: a.org⏎⏎⟧The [bold]cat\\x1b[2J⏎",
        "   sat⟨</s>⟩",
        "2  doc id 4294967313, yours, b/c.parquet row 17: tokens 34-41 (8), from its token 5, 0 masked",
        "   ⟨<s>⟩é <s>⟨</s>⟩",
        "3  padding: tokens 42-63 (22)",
    ]


def test_a_segment_has_its_weight(tmp_path):
    """Of a build with weights."""
    row = PackedRow([5, 6, 7, 8, 9, 1, 1, 1], [0, 1, 1, 1, 1, 0, 0, 0], [3, 2, 3], [3, 4, -1], [0, 0, 0])
    weights = [0.5, 0.5, 0.5, 2, 2, 2, 2, 2], [0.5, 0.5, 4, 2, 2, 2, 2, 2]
    rows = [weighed(row, own) for own in weights]
    write_build(tmp_path, {"conditioned": [rows]}, 8, loss_weight="float16")
    lines = [line for line in printed(tmp_path).splitlines() if line[:1].isdigit() and ": tokens " in line]
    assert [line.rpartition("token 0, ")[2] for line in lines] == [
        "1 masked, weight 0.5",
        "0 masked, weight 2",
        "3  padding: tokens 5-7 (3)",
    ]
    lines = [line for line in printed(tmp_path, row=1).splitlines() if line[:1].isdigit() and ": tokens " in line]
    assert lines[0].endswith("1 masked, weights 0.5 to 4")


def test_in_a_terminal_colours_tell_all(out):
    text = printed(out, colour=True)
    assert "\x1b[33mURL: a.org⏎⏎\x1b[0m" in text
    assert "\x1b[32mThe [bold]cat\\x1b[2J⏎\x1b[0m\n\x1b[32m   sat\x1b[0m" in text
    assert "\x1b[1;36m<s>\x1b[0m" in text
    assert "\x1b[2m3  padding: tokens 42-63 (22)\x1b[0m" in text
    assert "⟦" not in text
    # Nothing but rich's own colours: the corpus's code for clearing the screen is not among them.
    assert set(re.findall(r"\x1b[^m]*m", text)) == {f"\x1b[{code}m" for code in ("0", "1", "2", "32", "33", "1;36")}


def test_no_color_is_marks_even_in_a_terminal(out):
    stream = io.StringIO()
    show_sequence(str(out), console=Console(file=stream, force_terminal=True, no_color=True))
    assert "⟦" in stream.getvalue()


def test_rows_and_phases(out):
    assert printed(out, row=1).startswith("row 1 of 2, phase cooldown, row 0 of cooldown/")
    assert printed(out, row=-1).startswith("row 1 of 2, phase cooldown, row 0 of cooldown/")
    assert printed(out, phase="cooldown").startswith("row 0 of 1, phase cooldown, row 0 of cooldown/")
    with pytest.raises(BylineError, match="has 2 rows; there is no row 2"):
        printed(out, row=2)
    with pytest.raises(BylineError, match=r"phase 'cooldown' of .* has 1 rows; there is no row -2"):
        printed(out, row=-2, phase="cooldown")


def test_branches(tmp_path, bytes_vocabulary):
    _, _, settings = bytes_vocabulary
    leaves = {"cooldown-50": ("conditioned", 1), "unseen-0": ("conditioned", 0)}
    shards = {"conditioned": [2, 1], "cooldown-50": [1], "unseen-0": [1]}
    numbered_build(tmp_path / "out", shards, length=16, branches=leaves, **settings)
    assert printed(tmp_path / "out", phase="unseen-0").startswith("row 0 of 1, phase unseen-0 (held out), row 0 of uns")
    assert printed(tmp_path / "out", row=-1).startswith("row 2 of 3, phase conditioned, row 0 of conditioned/00001")
    assert printed(tmp_path / "out", phase="cooldown-50").startswith(
        "row 0 of 1, phase cooldown-50 (a branch behind 2 rows of the timeline), row 0 of cooldown-50/00000-of-00001"
    )
    with pytest.raises(BylineError, match=r"no phase 'cooldown-25'; .* cooldown-50"):
        printed(tmp_path / "out", phase="cooldown-25")


def test_tokens_outside_loss_spans_are_masked_and_tokens_around_prefixes_have_names(tmp_path, bytes_vocabulary):
    _, encode, settings = bytes_vocabulary
    # One stands around prefixes and is a token of text as well; the other is none of the file's.
    marker, added = encode("[")[0], 259
    tokenizer = {**settings["tokenizer"], "vocab_size": 260, "markers": {"[": marker}, "added": {"</meta>": added}}
    ids = [BOS, marker, *encode("a.org"), added, *encode("Why? Yes"), EOS]
    mask = [0] * 13 + [1] * 3 + [1]
    row = PackedRow(ids, mask, [len(ids)], [3], [0])
    write_build(tmp_path / "out", {"conditioned": [[row]]}, len(ids), **{**settings, "tokenizer": tokenizer})
    lines = printed(tmp_path / "out").splitlines()
    assert lines[4].endswith("tokens 0-16 (17), from its token 0, 13 masked")
    assert lines[5] == "   ⟦⟨<s>⟩⟨[⟩a.org⟨</meta>⟩Why? ⟧Yes⟨</s>⟩"
    (tmp_path / "tokenizer.json").unlink()
    assert "⟦⟨bos⟩⟨[⟩ 64 13 78 81 70⟨</meta>⟩ 54" in printed(tmp_path / "out")


def test_without_the_tokenizer(out, tmp_path):
    (tmp_path / "tokenizer.json").unlink()
    lines = printed(out).splitlines()
    note = r"ids alone: .*tokenizer\.json: cannot be opened \(No such file or directory\); .* --tokenizer FILE"
    assert re.match(note, lines[0])
    assert lines[6].startswith("   ⟦⟨bos⟩ 52 49 43")
    assert lines[6].endswith("⟨eos/pad⟩")
    with pytest.raises(BylineError, match="cannot be opened"):
        printed(out, tokenizer=str(tmp_path / "tokenizer.json"))


@given(st.text(st.sampled_from("ab \n\t\x00\x1b\x9b\u202e\u200b\U000e0001[]\\é漢"), max_size=20))
def test_nothing_reaches_a_terminal_but_what_prints(text):
    assert visible(text).isprintable()


def test_visible():
    assert visible("a\tb\r\n\x1b[1m\x9b\u202eé漢[red]") == r"a\tb\r⏎\x1b[1m\x9b\u202eé漢[red]"


def test_characters_of_several_tokens_are_whole(bytes_vocabulary):
    vocabulary, encode, _ = bytes_vocabulary
    ids = encode("漢字")
    assert len(ids) == 6
    assert plain_text(ids, [1] * 6, vocabulary) == "   漢字"
    assert plain_text(ids[:5], [1] * 5, vocabulary) == r"   漢\xe5\xad"


@given(st.integers(0, 3), st.integers(HEAD + TAIL - 10, HEAD + TAIL + 10))
def test_a_long_run_is_cut_between_characters(ascii_letters, characters):
    text = "x" * ascii_letters + "漢" * (characters // 3)
    ids = list(text.encode())
    vocabulary = Vocabulary(lambda token: bytes([token]), lambda token: None)
    assert plain_text(ids, [1] * len(ids), vocabulary, full=True)[3:] == text
    shown = plain_text(ids, [1] * len(ids), vocabulary)[3:]
    gap = re.search(r" \[\.\.\. ([0-9]+) tokens \.\.\.\] ", shown)
    if gap is None:
        assert shown == text
        assert len(ids) < HEAD + TAIL + 6
    else:
        before, after = shown[: gap.start()], shown[gap.end() :]
        assert text.startswith(before)
        assert text.endswith(after)
        assert len(before.encode()) + int(gap[1]) + len(after.encode()) == len(ids)
        assert HEAD <= len(before.encode()) < HEAD + 3
        assert TAIL <= len(after.encode()) < TAIL + 3


def test_tokens_beyond_the_vocabulary(bytes_vocabulary):
    assert plain_text([999, 1000], [0, 1], bytes_vocabulary[0]) == "   ⟦⟨id 999⟩⟧⟨id 1000⟩"
    assert "id 999" in plain_text([999] * 500, [1] * 500, bytes_vocabulary[0])


def test_a_tokenizer_with_byte_fallback(tmp_path):
    vocabulary = {"▁the": 0, "▁": 1, "cat": 2, "<0xC3>": 3, "<0xA9>": 4, "<s>": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.add_tokens([AddedToken("▁▁", normalized=False)])
    numbered_build(tmp_path, {"conditioned": [1]}, tokenizer={"bos_id": 5, "eos_id": None, "pad_id": 5})
    found = vocabulary_of(json.loads(tokenizer.to_str()), byline.open(tmp_path).manifest)
    assert plain_text([5, 0, 1, 2, 3, 4, 6, 3], [0, 1, 1, 1, 1, 1, 1, 1], found) == r"   ⟦⟨<s>⟩⟧ the caté▁▁\xc3"


def test_a_unigram_tokenizer(tmp_path):
    vocabulary = [["<unk>", 0.0], ["▁a", -1.0]]
    settings = {"model": {"vocab": vocabulary}, "decoder": {"type": "Metaspace"}, "added_tokens": []}
    numbered_build(tmp_path, {"conditioned": [1]}, tokenizer={"bos_id": None, "eos_id": 0, "pad_id": 0})
    found = vocabulary_of(settings, byline.open(tmp_path).manifest)
    assert plain_text([1, 1, 0], [1, 1, 1], found) == "    a a⟨<unk>⟩"
