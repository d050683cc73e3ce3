"""Blocks of lines: every compression gives the same content and offsets, and what cannot be read says where."""

import bz2
import gzip
import lzma
import struct
import tarfile

import mmh3
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora import decompressing
from byline.transforms.corpora.returning import Returning
from tests.support.thorough import examples

BOM = b"\xef\xbb\xbf"
LINES = b"\n".join(b"line %d" % number for number in range(5000))
SKIPPED = struct.pack("<II", 0x184D2A53, 5) + b"12345"


def lz4(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as compressed:
        compressed.write(data)
    return sink.getvalue().to_pybytes()


CODECS = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4,
}


def write(folder, content, name="a.jsonl"):
    (folder / name).write_bytes(content)
    return str(folder / name)


def blocks_of(uri, block_bytes=1 << 24):
    return list(decompressing.read_blocks(uri, block_bytes))


def content_of(uri, block_bytes=1 << 24):
    """The content, when it ends without a newline."""
    return b"".join(block for _, block in blocks_of(uri, block_bytes)).removesuffix(b"\n")


# --- blocks


def test_blocks_and_their_offsets(tmp_path):
    uri = write(tmp_path, gzip.compress(BOM + b"ab\r\n\nc\nde"))
    assert blocks_of(uri, 8) == [(3, b"ab\r\n\n"), (8, b"c\nde\n")]
    assert blocks_of(uri) == [(3, b"ab\r\n\nc\nde\n")]


@given(
    lines=st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    bom=st.sampled_from([b"", BOM]),
    end=st.sampled_from([b"", b"\n"]),
    block_bytes=st.integers(1, 40),
)
@examples(200)
def test_blocks_are_the_content_cut_behind_newlines(tmp_path_factory, lines, bom, end, block_bytes):
    content = bom + b"-" + b"\n".join(lines) + end
    blocks = blocks_of(write(tmp_path_factory.mktemp("blocks"), content), block_bytes)
    text = content.removeprefix(BOM)
    assert b"".join(block for _, block in blocks) in (text, text + b"\n")
    for offset, block in blocks:
        assert block.endswith(b"\n")
        assert (content + b"\n")[offset:].startswith(block)


def test_line_longer_than_a_block(tmp_path):
    long = b"x" * (5 << 20)
    uri = write(tmp_path, b"a\n" + long + b"\nb")
    assert [line for _, block in blocks_of(uri, 1 << 20) for line in block.splitlines()] == [b"a", long, b"b"]


def test_line_without_end(tmp_path):
    uri = write(tmp_path, b'{"text": "a"}\n' + b"x" * 200)
    with pytest.raises(BylineError, match=r"a line of more than 100 bytes behind byte 14; expected one JSON object"):
        list(decompressing.read_blocks(uri, 14, 100))


def test_lines_that_are_too_long_are_not_held(tmp_path):
    long_lines = {}
    content = b"ab\n" + b"x" * 500 + b"\ncd\n" + b"y" * 600 + b"\nz\n" + b"w" * 999
    blocks = list(decompressing.read_blocks(write(tmp_path, content), 8, 300, long_lines))
    assert blocks == [
        (0, b"ab\n"), (3, b"x" * 200 + b"\n"), (504, b"cd\n"),
        (507, b"y" * 200 + b"\n"), (1108, b"z\n"), (1110, b"w" * 200 + b"\n"),
    ]  # fmt: skip
    assert long_lines == {3: 500, 507: 600, 1110: 999}


def test_a_block_has_so_many_lines_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(decompressing, "_BLOCK_LINES", 10)
    monkeypatch.setattr(decompressing, "_PIECE_BYTES", 6)
    blocks = blocks_of(write(tmp_path, b"{}\n" * 35))
    assert [block.count(b"{}") for _, block in blocks] == [10, 10, 10, 5]


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_nothing_in_the_file(tmp_path, content):
    assert blocks_of(write(tmp_path, content)) == []


# --- lines


@pytest.mark.parametrize(
    ("block", "bounds"),
    [
        (b"ab\nc\n", [[0, 2], [3, 4]]),
        (b"ab\r\n\nc\n", [[0, 2], [5, 6]]),
        (b" a \r\n\t\n \r\n\r\n\x0b\n", [[0, 3], [12, 13]]),
        (b"\r\r\n a\r\r\n", [[3, 6]]),
        (b"\n", []),
    ],
)
def test_lines_that_are_not_blank(block, bounds):
    assert decompressing.line_bounds(block).tolist() == bounds


@given(st.lists(st.sampled_from([b"a", b"b c", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x0b"]), max_size=20))
@examples(200)
def test_lines_do_not_depend_on_pieces(parts):
    block = b"".join([*parts, b"\n"])
    lines = [block[begin:end] for begin, end in decompressing.line_bounds(block)]
    assert lines == [line.removesuffix(b"\r") for line in block.split(b"\n") if line.strip(b" \t\r")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompressing, "_PIECE_BYTES", 3)
        assert [block[begin:end] for begin, end in decompressing.line_bounds(block)] == lines


# --- compression


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.zst"])
def test_compression_is_told_by_content(tmp_path, codec, name):
    compress = CODECS[codec]
    assert content_of(write(tmp_path, compress(LINES), name)) == LINES
    many = b"".join(compress(LINES[at : at + 1000]) for at in range(0, len(LINES), 1000))
    assert content_of(write(tmp_path, many, name)) == LINES
    assert content_of(write(tmp_path, compress(BOM + LINES), name), 100) == LINES


def test_plain_file_with_a_compressed_name(tmp_path):
    assert content_of(write(tmp_path, LINES, "a.json.gz")) == LINES


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_skippable_frames(tmp_path, codec):
    compress, half = CODECS[codec], len(LINES) // 2
    frames = [SKIPPED, SKIPPED, compress(LINES[:half]), SKIPPED, compress(LINES[half:]), SKIPPED]
    assert content_of(write(tmp_path, b"".join(frames))) == LINES
    assert blocks_of(write(tmp_path, SKIPPED)) == []


# --- errors


@pytest.mark.parametrize("codec", CODECS)
def test_truncated(tmp_path, codec):
    whole = CODECS[codec](LINES * 5)
    for size in (len(whole) - 1, len(whole) // 2, 12):
        uri = write(tmp_path, whole[:size])
        with pytest.raises(
            BylineError, match=rf"a\.jsonl: the {codec} data is damaged or cut short behind byte \d+ of"
        ):
            blocks_of(uri)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2"])  # lz4 as Arrow writes it has no checksum
def test_damaged(tmp_path, codec):
    data = CODECS[codec](LINES)
    middle = len(data) // 2
    uri = write(tmp_path, data[:middle] + bytes(64) + data[middle + 64 :])
    with pytest.raises(BylineError, match=r"fetch the file again"):
        blocks_of(uri)


def test_offset_of_damage(tmp_path):
    line = np.random.default_rng(0).integers(97, 123, 3 << 20, np.uint8).tobytes() + b"\n"
    whole = gzip.compress(line * 2, 1)
    uri = write(tmp_path, whole[: len(whole) * 3 // 4])
    with pytest.raises(BylineError, match=r"behind byte (\d+) of its decompressed content") as caught:
        blocks_of(uri)
    reached = int(str(caught.value).split("behind byte ")[1].split()[0])
    assert len(line) * 1.5 - (2 << 20) < reached <= len(line) * 1.5 + (1 << 16)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"PAR1", "format: parquet"),
        (b"PK\x03\x04", "zip archive"),
        (b"WARC/1.0\r\nWARC-Type: warcinfo", "a WARC file; extract"),
        (b"\x02\x21\x4c\x18\x10\0\0\0", "lz4's legacy format; recompress it, with `lz4 -dc FILE"),
        (b"\xff\x06\0\0sNaPpY", "snappy"),
        (b"\x25\xb5\x2f\xfd", "zstd before 0.8"),
        (tarfile.TarInfo("a.jsonl").tobuf(), "a tar archive; unpack it"),
    ],
)
def test_other_kinds_of_file(tmp_path, head, message):
    with pytest.raises(BylineError, match=rf"expected JSON lines, found .*{message}"):
        blocks_of(write(tmp_path, head + bytes(600)))
    with pytest.raises(BylineError, match=rf"expected JSON lines, found in the gzip data .*{message}"):
        blocks_of(write(tmp_path, gzip.compress(head + bytes(600))))


def long_window(data, log=31):
    """zstd as `zstd --long=31` writes it, from a pipe: a window of 2 GiB."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(data) + compressor.flush()


def test_zstd_of_the_longest_window(tmp_path):
    assert content_of(write(tmp_path, long_window(LINES)), 4096) == LINES
    plain = CODECS["zstd"](LINES)
    assert content_of(write(tmp_path, plain + SKIPPED + long_window(LINES) + plain)) == LINES * 3
    with pytest.raises(BylineError, match=r"zstd data is damaged .*the file ends at byte \d+, within its data"):
        blocks_of(write(tmp_path, long_window(LINES)[:-3]))


def test_zstd_with_a_dictionary(tmp_path):
    trained = zstandard.train_dictionary(1024, [b"%d some lines of text %d" % (n, n * n) for n in range(1000)])
    assert content_of(write(tmp_path, CODECS["zstd"](LINES))) == LINES
    data = zstandard.ZstdCompressor(dict_data=trained).compress(LINES)
    with pytest.raises(BylineError, match=rf"a dictionary \(number {trained.dict_id()}\), which is not in the file"):
        blocks_of(write(tmp_path, data))
    with pytest.raises(BylineError, match="a dictionary"):
        blocks_of(write(tmp_path, CODECS["zstd"](LINES) + data))


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz", "zstd"])
def test_zeros_behind_and_between_members_are_padding(tmp_path, codec):
    member = CODECS[codec](LINES)
    assert content_of(write(tmp_path, member + bytes(3) + member + bytes(200_000))) == LINES * 2
    with pytest.raises(BylineError, match=rf"{codec} data is damaged .* behind its data, is no more of it"):
        blocks_of(write(tmp_path, member + bytes(3) + b"garbage"))


def test_members_of_a_few_bytes(tmp_path):
    pieces = [LINES[at : at + 2] for at in range(0, 10_000, 2)]
    assert content_of(write(tmp_path, b"".join(map(gzip.compress, pieces)))) == LINES[:10_000]


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz", "zstd"])
def test_a_wrong_checksum_at_the_end_is_damage_and_the_lines_before_it_are_given(tmp_path, codec):
    compressed = {**CODECS, "zstd": zstandard.ZstdCompressor(write_checksum=True).compress}[codec](LINES)
    at = {"gzip": -6, "bz2": -3, "xz": -20, "zstd": -2}[codec]
    broken = bytearray(compressed)
    broken[at] ^= 0x10
    blocks, given = decompressing.read_blocks(write(tmp_path, bytes(broken)), 4096), []
    with pytest.raises(FaultyFileError, match=rf"the {codec} data is damaged or cut short behind byte") as caught:
        given.extend(block for _, block in blocks)
    assert caught.value.is_damage
    assert caught.value.where.startswith("byte ")
    assert LINES.startswith(b"".join(given))
    assert b"".join(given).endswith(b"\n") or not given


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_the_checksum_is_of_the_bytes_of_the_file(tmp_path, codec):
    content = LINES if codec is None else CODECS[codec](LINES)
    content += bytes(10) if codec == "gzip" else b""
    blocks = Returning(decompressing.read_blocks(write(tmp_path, content), 1000))
    assert len(list(blocks)) > 10
    assert blocks.value == mmh3.mmh3_x64_128_digest(content).hex()


def test_no_file(tmp_path):
    with pytest.raises(BylineError, match=r"gone\.jsonl: cannot be opened"):
        blocks_of(str(tmp_path / "gone.jsonl"))
