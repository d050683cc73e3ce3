"""Parquet that ends a process: it is told in a line, and this process and the next files go on."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byline.errors import BylineError
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import InputFile, info_of
from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora import parquet_footer, parquet_rows, parquet_trial
from byline.transforms.corpora.parquet_footer import Tail, read_tail
from byline.transforms.corpora.parquet_trial import try_tail
from byline.transforms.corpora.reading import read_batches

SOURCE = {"format": "parquet", "path": "a.parquet", "fields": {"text": "text", "url": "url"}}
# Of the column `text` in a footer: repetition (1, optional), and name.
OPTIONAL, REQUIRED = b"\x25\x02\x18\x04text", b"\x25\x00\x18\x04text"


def write(path, content):
    path.write_bytes(content)
    return InputFile("mine", path.name, str(path), len(content))


def parquet(texts, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts}), sink, **options)
    return sink.getvalue().to_pybytes()


def fatal():
    """A file whose lists of levels are too long for what its schema says; one that uses it ends."""
    content = parquet(["a", None])
    assert content.count(OPTIONAL) == 1
    return content.replace(OPTIONAL, REQUIRED)


def texts_of(file, **settings):
    return [text for batch in read_batches(file, Source(**SOURCE, **settings)) for text in batch["text"].to_pylist()]


def test_a_footer_that_ends_the_process(tmp_path):
    file, whole = write(tmp_path / "a.parquet", fatal()), write(tmp_path / "b.parquet", parquet(["b"]))
    with pytest.raises(
        FaultyFileError,
        match=r"^\S+a\.parquet: cannot be read as Parquet from row 0 on \(its footer ends a process by SIGABRT: "
        r"Definition level histogram size mismatch, size: 2, expected: 1\); fetch the file again and compare its ",
    ) as error:
        texts_of(file)
    assert error.value.is_damage
    assert "\n" not in str(error.value)
    assert texts_of(whole) == ["b"]


def test_what_can_be_read_of_it_is_nothing(tmp_path):
    (batch,) = read_batches(write(tmp_path / "a.parquet", fatal()), Source(**SOURCE, damaged="use_readable"))
    assert len(batch) == 0
    assert "SIGABRT" in info_of(batch).damage


def test_names_of_its_columns_do_not_end_the_process(tmp_path):
    names = parquet_rows.read_names(write(tmp_path / "a.parquet", parquet(["a", None])))
    assert names == {"text": "a"}
    with pytest.raises(FaultyFileError, match="cannot be read as Parquet from row 0"):
        parquet_rows.read_names(write(tmp_path / "a.parquet", parquet(["a"])[:-9] + b"\xff" * 9 + b"PAR1"))


def test_a_tail_has_all_of_a_large_footer(tmp_path):
    content = parquet(["a"] * 2000, row_group_size=1)
    metadata = pq.read_metadata(pa.BufferReader(content))
    assert metadata.serialized_size > 1 << 16
    tail = read_tail(pa.BufferReader(content))
    assert (len(tail.content), tail.file_bytes) == (metadata.serialized_size + 8, len(content))
    assert parquet_footer.parse_tail(tail).equals(metadata)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"\xff\xff\xff\x7fPAR1", b"x" * 70_000])
def test_a_tail_without_a_footer(content):
    tail = read_tail(pa.BufferReader(content))
    assert tail == Tail(content[-(1 << 16) :], len(content))
    with pytest.raises((pa.ArrowInvalid, OSError)):
        parquet_footer.parse_tail(tail)
    try_tail(tail, False)


# --- the process


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program in the place of the one that tries footers: it starts, and at a trial does what is given."""

    def put(does, starts="print('tried', flush=True)"):
        path = tmp_path / "program.py"
        path.write_text(f"import os, sys\n{starts}\nsys.stdin.readline()\n{does}\n")
        monkeypatch.setattr(parquet_footer, "__file__", str(path))
        trials = parquet_trial._Trials()
        monkeypatch.setattr(parquet_trial, "_trials", trials)
        made.append(trials)

    made = []
    yield put
    for trials in made:
        trials.close()


@pytest.mark.parametrize(
    ("does", "kind", "message"),
    [
        (f"os.kill(os.getpid(), {int(signal.SIGSEGV)})", pa.ArrowInvalid, r"^its footer ends a process by SIGSEGV$"),
        (f"os.kill(os.getpid(), {int(signal.SIGALRM)})", pa.ArrowInvalid, r"^its footer takes more than 120 s$"),
        ("sys.exit('no more')", pa.ArrowInvalid, r"^its footer ends a process with exit status 1: no more$"),
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", BylineError, r"^the process that tries .* make memory free$"),
    ],
)
def test_how_it_ends(program, does, kind, message):
    program(does)
    with pytest.raises(kind, match=message):
        try_tail(Tail(b"", 0), False)


def test_it_does_not_start(program, monkeypatch):
    program("", starts="sys.exit('no pyarrow')")
    message = r"^a process that tries Parquet files cannot be started \(its start ends .* status 1: no pyarrow\)$"
    with pytest.raises(BylineError, match=message):
        try_tail(Tail(b"", 0), False)
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(BylineError, match=r"cannot be started \(No such file or directory\)$"):
        try_tail(Tail(b"", 0), False)


def test_one_that_somebody_killed_is_replaced(tmp_path):
    file = write(tmp_path / "a.parquet", parquet(["a"]))
    assert texts_of(file) == ["a"]
    before = parquet_trial._trials._process
    before._popen.kill()
    before._popen.wait()
    assert texts_of(file) == ["a"]
    assert parquet_trial._trials._process not in (None, before)


def test_a_copy_of_a_process_starts_its_own(tmp_path):
    file = write(tmp_path / "a.parquet", parquet(["a"]))
    assert texts_of(file) == ["a"]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert parquet_trial._trials._process is None
            try_tail(read_tail(pa.OSFile(file.uri)), False)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert texts_of(file) == ["a"]


def test_it_ends_with_the_process_that_started_it():
    script = (
        "from byline.transforms.corpora import parquet_trial as trial\n"
        "import os, signal\n"
        "trial.try_tail(trial.Tail(b'', 0), False)\n"
        "print(trial._trials._process._popen.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    process = Path(f"/proc/{int(ended.stdout)}/stat")
    for _ in range(200):
        # Nobody may be there to wait for it.
        if not process.exists() or process.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"process {ended.stdout.strip()} has not ended in 10 s")


# --- files that are cut


@pytest.mark.parametrize(("left", "reason"), [(100, r"row group 1 has 0 rows, .* says 2,000"), (3_000_000, r"\S.*")])
def test_a_file_that_is_cut_while_it_is_read(tmp_path, left, reason):
    path = tmp_path / "a.parquet"
    texts = [f"{number:07}" + "x" * 1000 for number in range(4000)]
    file = write(path, parquet(texts, row_group_size=2000, compression="none", use_dictionary=False))
    schema = pa.schema([("text", pa.large_string())])
    records = parquet_rows.read_parquet(file, schema, {"text": "text"}, Malformed.DROP, batch_bytes=1 << 20)
    read = next(records).batch["text"].to_pylist()
    assert str(path) not in Path("/proc/self/maps").read_text()
    os.truncate(path, left)
    blocks = iter(lambda: next(records).batch["text"].to_pylist(), None)
    message = rf"a\.parquet: cannot be read as Parquet from row 2000 on \({reason}\); fetch"
    with pytest.raises(FaultyFileError, match=message):
        read += itertools.chain.from_iterable(blocks)
    assert read == texts[: len(read)]


def test_a_row_group_with_fewer_rows_than_its_footer_says(tmp_path):
    content = parquet(["a"] * 11, use_dictionary=False, compression="none")
    # Every count: 11 as zigzag behind the key of a 64-bit number.
    metadata = pq.read_metadata(pa.BufferReader(content))
    footer = content[-metadata.serialized_size - 8 :]
    changed = footer.replace(b"\x16\x16", b"\x16\x18")
    assert changed != footer
    file = write(tmp_path / "a.parquet", content[: -len(footer)] + changed)
    with pytest.raises(FaultyFileError, match=r"\(row group 0 has 11 rows, and its metadata says 12\); fetch"):
        texts_of(file)
