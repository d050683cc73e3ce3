"""A user's mistake is one line on standard error that says what, where and what to do, and exit status 1."""

import gzip
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from byline.pipelines.cli import main
from byline.pipelines.runners import interrupts
from tests.support.builds import copy_build, manifest_of, write_manifest
from tests.support.corpora import Corpus, make_records, recipe, write_c4, write_jsonl, write_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def byline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Any]]:
    """Runs a command in this process; gives exit status, standard output, standard error."""
    level = logging.getLogger().level
    monkeypatch.setattr(interrupts, "watch", lambda: None)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["byline", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    yield run
    logging.getLogger().setLevel(level)


@pytest.fixture
def data(corpus: Corpus, tmp_path: Path) -> Path:
    """A folder with one good file of JSON lines."""
    write_jsonl(tmp_path / "data/a.jsonl", make_records(5, 120))
    return tmp_path / "data"


@pytest.fixture
def values(corpus: Corpus, data: Path, tmp_path: Path) -> dict[str, Any]:
    """A recipe over it that works."""
    values = recipe(corpus, tmp_path, mixture="natural", tokens=2048)
    return {**values, "sources": {"mine": {**values["sources"]["mine"], "path": f"{data}/*.jsonl"}}}


def mistake(result: tuple[int, str, str], pattern: str) -> None:
    """Asserts exit status 1 and one line on standard error that matches."""
    status, out, err = result
    assert status == 1, out
    assert err.count("\n") == 1, err
    assert "Traceback" not in out + err
    assert re.search(pattern, err.strip()), err


def set_at(values: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed; `where` as in `sources.mine.path`."""
    copied = json.loads(json.dumps(values))
    *way, last = where.split(".")
    below = copied
    for key in way:
        below = below[int(key)] if isinstance(below, list) else below.setdefault(key, {})
    below[last] = value
    return copied


def test_the_recipe_itself_works(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    status, _, err = byline("build", path, "--workers", "1")
    assert (status, err) == (0, ""), err
    assert byline("verify", tmp_path / "shards")[0] == 0
    mistake(byline("build", path, "--set", "seed=1"), r"shards: holds a finished build of another plan; .*--overwrite")


# --------------------------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize("command", ["build", "prepare", "plan", "assemble"])
def test_no_configuration(byline, tmp_path, command) -> None:
    message = r"gone\.yaml: the configuration cannot be read \(No such file or directory\)"
    mistake(byline(command, tmp_path / "gone.yaml"), message)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("sorces", {}, r"sorces: unknown key 'sorces'; did you mean 'sources'\?"),
        ("sources.mine.pth", "x", r"sources\.mine\.pth: unknown key 'pth'; did you mean 'path'\?"),
        (
            "phases.0.condition.tempate",
            "x",
            r"phases\.0\.condition\.tempate: unknown key 'tempate'; did you mean 'template'",
        ),
        ("sources.mine.format", "jsnl", r"sources\.mine\.format: expected dclm, .*, found 'jsnl'"),
        ("tokens", "many", r"tokens: expected a number of tokens such as 160B, .*; found 'many'"),
        ("tokens", 10, r"tokens: 10 is less than one sequence of 64"),
        ("phases.1.share", 0.2, r"phases: the shares sum to 1\.1, not to 1; change one by -0\.1"),
        ("phases.1.name", "conditioned", r"phases: two phases are called 'conditioned'"),
        ("mixture", {"mine": 0.5, "other": 0.5}, r"mixture: there is no source 'other'; the sources are mine"),
        ("mixture", {"mine": 0.9}, r"mixture: the weights sum to 0\.9, not to 1; change one by \+0\.1"),
        ("phases.0.condition.template", "{hots}", r"source 'mine' has no field 'hots'; it has: url, host, "),
        ("phases.0.condition.template", "{host", r"a lone '\{' at character 0; write '\{\{' for the brace itself"),
        (
            "phases.0.select.by",
            "topic",
            r"phases\.conditioned\.select\.by: source 'mine' has no number 'topic' \(it has: quality, ",
        ),
        (
            "sources.mine.keep",
            ["tokens"],
            r"sources\.mine\.keep: 'tokens' is the name of a column or template field of ",
        ),
        ("sequence.length", 4, r"sequence\.length: input should be greater than or equal to 8; found 4"),
    ],
)
def test_a_wrong_key_or_value(byline, values, tmp_path, where, value, message) -> None:
    path = write_recipe(tmp_path / "r.yaml", set_at(values, where, value))
    mistake(byline("build", path), rf"^error {re.escape(str(path))}: {message}|^error .*{message}")
    assert not (tmp_path / "store").exists()


def test_yaml_that_is_none(byline, tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("sources: {a: [\nphases:\n")
    mistake(byline("plan", path), r"r\.yaml, line 3, column 1: not valid YAML: ")
    path.write_text("seed: 1\nseed: 2\n")
    mistake(byline("plan", path), r"r\.yaml, line 2, column 1: not valid YAML: the key 'seed' is given twice")
    path.write_bytes(b"seed: \xff")
    mistake(byline("plan", path), r"r\.yaml: the configuration cannot be read \(not UTF-8 text, byte 6\)")
    path.write_text("- a\n")
    mistake(byline("plan", path), r"r\.yaml: expected keys and values")


@pytest.mark.parametrize("location", ["s3:/corpus/x", "s3://", "S3://corpus/x", "file:///tmp/o", "https://host/x"])
def test_a_location_that_is_no_address(byline, values, tmp_path, monkeypatch, location) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()} | {"r.yaml"}
    path = write_recipe(tmp_path / "r.yaml", values)
    for key in ("output", "store", "sources.mine.path"):
        mistake(byline("plan", path, "--set", f"{key}={location}"), f"^error .*r\\.yaml: {key}: {location}: ")
    prompt = ["prompt", location, "host=a.example", "text"]
    for words in (["verify", location], ["inspect", location], prompt, ["export", location, "exported", "--to", "hf"]):
        mistake(byline(*words), f"^error {location}: ")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_wrong_setting_on_the_command_line(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    mistake(
        byline("plan", path, "--set", "sequence.lenght=8"),
        r"sequence\.lenght: unknown key 'lenght'; did you mean 'length'",
    )
    mistake(byline("plan", path, "--set", "seed"), r"--set seed: expected key=value")
    mistake(byline("plan", path, "--set", "phases.hot.share=1"), r"no 'hot' here; there are conditioned, cooldown")


# ------------------------------------------------------------------------------------------------ tokenizer, model


def test_a_tokenizer_that_cannot_be_used(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "tokenizer.file", str(tmp_path / "t.json")))
    mistake(byline("build", path), r"t\.json: cannot be opened \(No such file or directory\)")
    (tmp_path / "t.json").write_text("{}")
    mistake(byline("build", path), r"t\.json: not a Hugging Face tokenizer\.json \(")
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "tokenizer.bos", "<s>"))
    mistake(
        byline("build", path),
        r"tokenizer\.bos: .*tokenizer\.json has no token '<s>'; its special tokens are: '<\|endoftext\|>'",
    )
    path = write_recipe(tmp_path / "r.yaml", set_at(set_at(values, "tokenizer.bos", None), "tokenizer.eos", None))
    mistake(byline("build", path), r"tokenizer: give one of pad, eos and bos; the rest of a sequence is filled with it")


def test_a_model_that_cannot_be_used(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "classifiers.quality.model", str(tmp_path / "m.bin")))
    mistake(byline("build", path), r"m\.bin: there is no such file; expected a fastText model")
    (tmp_path / "m.bin").write_bytes(b"no model")
    mistake(byline("build", path), r"m\.bin: .*fastText model")
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "classifiers.quality.label", "__label__good"))
    mistake(
        byline("build", path),
        r"classifiers\.quality\.label: .*quality\.bin has no label '__label__good'; it has __label__",
    )


# ------------------------------------------------------------------------------------------------------- the inputs


def test_no_input_matches(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "sources.mine.path", f"{tmp_path}/data/*.json.gz"))
    mistake(
        byline("build", path),
        rf"sources\.mine\.path: no file matches '{tmp_path}/data/\*\.json\.gz'; the nearest folder that exists is",
    )
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "sources.mine.path", f"{tmp_path}/data"))
    mistake(byline("build", path), rf"'{tmp_path}/data' is a folder; write '{tmp_path}/data/\*\*' for all files in it")


LINES = '{"body": "a river"}\n{"body": "a molecule"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINES + '\n{"body": "x}\n', r"b\.jsonl.*row 2.*byte 44"),
        (LINES + "[1]\n", r"b\.jsonl.*row 2.*byte 43.*found an array"),
        (LINES + '{"body": 7}\n', r"b\.jsonl.*row 2.*byte 43.*the text is a number, expected a string"),
        (
            '{"text": "a river"}\n',
            r"b\.jsonl: no record has the text field 'body'; the first has text; .* sources\.mine\.fields\.text",
        ),
    ],
)
def test_a_malformed_record_is_named_by_file_row_and_byte(byline, values, data, tmp_path, content, message) -> None:
    (data / "b.jsonl").write_text(content)
    path = write_recipe(tmp_path / "r.yaml", values)
    mistake(byline("build", path, "--workers", "1"), message)


def test_a_file_that_was_mended(byline, values, data, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    (data / "b.jsonl").write_text(LINES + "[1]\n")
    assert byline("prepare", path)[0] == 1
    (data / "b.jsonl").write_text(LINES)
    assert byline("prepare", path)[0] == 0


def test_a_malformed_record_in_a_worker_process(values, data, tmp_path) -> None:
    """The real command, with processes that only know how to log."""
    (data / "b.jsonl").write_text(LINES + '{"body": 7}\n')
    path = write_recipe(tmp_path / "r.yaml", values)
    command = [sys.executable, "-m", "byline.pipelines.cli", "build", str(path), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    mistake((done.returncode, done.stdout, done.stderr), r"^error .*b\.jsonl.*row 2.*byte 43.*the text is a number")


def test_malformed_records_are_dropped_and_counted_where_the_source_says_so(byline, values, data, tmp_path) -> None:
    (data / "b.jsonl").write_text(LINES + '{"body": 7}\nno json\n')
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "sources.mine.malformed", "drop"))
    assert byline("build", path, "--workers", "1")[0] == 0
    ledger = manifest_of(tmp_path / "shards")["ledger"]["sources"]["mine"]
    assert ledger["dropped"]["malformed"] == 2
    assert ledger["read"]["documents"] == 130 + 4
    assert byline("verify", tmp_path / "shards")[0] == 0


def test_a_damaged_compressed_file(byline, values, tmp_path) -> None:
    c4 = set_at(values, "sources", {"c4": {"format": "c4", "path": f"{tmp_path}/c4/*"}})
    path = write_recipe(tmp_path / "r.yaml", c4)
    write_c4(tmp_path / "c4/a.json.gz", make_records(1, 300))
    content = (tmp_path / "c4/a.json.gz").read_bytes()
    (tmp_path / "c4/a.json.gz").write_bytes(content[: len(content) // 2])
    mistake(
        byline("build", path),
        r"a\.json\.gz: the gzip data is damaged or cut short behind byte \d+ of its decompressed content",
    )
    whole = zstandard.compress(gzip.decompress(content))
    (tmp_path / "c4/a.json.gz").unlink()
    (tmp_path / "c4/a.json.zst").write_bytes(whole[: len(whole) // 2])
    mistake(byline("build", path), r"a\.json\.zst: the zstd data is damaged or cut short behind byte \d+")
    (tmp_path / "c4/a.json.zst").write_bytes(b"PAR1" + b"\0" * 20 + b"PAR1")
    mistake(byline("build", path), r"a\.json\.zst: expected JSON lines, found ")


def test_a_damaged_parquet_file(byline, values, tmp_path) -> None:
    web = set_at(values, "sources", {"web": {"format": "refinedweb", "path": f"{tmp_path}/web/*"}})
    path = write_recipe(tmp_path / "r.yaml", web)
    file = tmp_path / "web/a.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"content": ["a river"] * 50, "url": ["http://example.org"] * 50}), file)
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    mistake(byline("build", path), r"a\.parquet: ")
    file.write_bytes(b"")
    mistake(byline("build", path), r"a\.parquet: ")
    pq.write_table(pa.table({"text": ["a river"]}), file)
    mistake(byline("build", path), r"a\.parquet: .*content")


# --------------------------------------------------------------------------------------------------- plan and output


def test_a_shortage_says_how_much_there_is(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", set_at(values, "tokens", "1M"))
    mistake(
        byline("build", path),
        r"tokens: the selected documents are too few for [\d,]+ tokens "
        r".*Ask for less \(about [\d,]+ tokens fit\), .*`shortage: ",
    )


def test_planning_or_assembling_before_preparing(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    for command in ("plan", "assemble"):
        mistake(
            byline(command, path),
            r"1 of 1 input files are not prepared .*\(first: mine/a\.jsonl\); run `byline prepare` or `byline build`",
        )
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("start", [-40, 700], ids=["footer", "record batch"])
def test_a_damaged_run_of_the_token_store(byline, values, tmp_path, start) -> None:
    path = write_recipe(tmp_path / "recipe.yaml", values)
    assert byline("build", path)[0] == 0
    run = next((tmp_path / "store/mine").rglob("*.arrow"))
    content = bytearray(run.read_bytes())
    at = start if start < 0 else content.index(b"\xff\xff\xff\xff", start)
    content[at : at + 24] = bytes(24)
    run.write_bytes(content)
    pattern = rf"{run}: cannot be read as a run .*; delete it and prepare again"
    mistake(byline("build", path, "--set", f"output={tmp_path / 'again'}"), pattern)
    status, out, _ = byline("verify", values["output"])
    assert (status, bool(re.search(pattern, out))) == (1, True), out
    run.unlink()
    assert byline("build", path, "--set", f"output={tmp_path / 'again'}")[0] == 0


@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["prompt", "OUT", "host=a.org", "text"]])
def test_an_unfinished_build(byline, built, tmp_path, command) -> None:
    out = copy_build(built, tmp_path / "shards")
    (out / "_manifest.json").unlink()
    words = [str(out) if word == "OUT" else word for word in command]
    mistake(
        byline(*words, *([out] if len(command) == 1 else [])),
        r"no _manifest\.json, so this is not a finished build; run `byline build`",
    )


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_folder_that_is_not_there(byline, tmp_path, command) -> None:
    mistake(byline(command, tmp_path / "nothing"), r"nothing: no _manifest\.json, so this is not a finished build")


@pytest.mark.parametrize(
    ("directory", "pattern"),
    [
        ("s3://bucket/sample", "s3://bucket/sample: a sample is written to a folder of this machine; give its path"),
        ("s3:/bucket/sample", "s3:/bucket/sample: an address begins with s3://"),
    ],
)
def test_a_sample_is_written_to_a_folder(byline, tmp_path, monkeypatch, directory, pattern) -> None:
    monkeypatch.chdir(tmp_path)
    mistake(byline("sample", directory), pattern)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_manifest_of_another_version(byline, built, tmp_path, command) -> None:
    out = copy_build(built, tmp_path / "shards")
    write_manifest(out, {**manifest_of(out), "version": 99})
    mistake(byline(command, out), r"_manifest\.json: not a manifest of version 4 \(found 99\); a newer Byline wrote it")


def test_a_false_build_is_told_on_standard_output_with_exit_status_1(byline, built, tmp_path) -> None:
    out = copy_build(built, tmp_path / "shards")
    (out / "cooldown/00000-of-00001.arrow").unlink()
    status, text, err = byline("verify", out)
    assert (status, err) == (1, "")
    assert "cooldown/00000-of-00001.arrow: missing" in text
    assert re.search(r"^not verified: [0-9]+ problems in ", text, re.MULTILINE)


def test_verbose_shows_where_a_mistake_was_found(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "argv", ["byline", "plan", str(tmp_path / "gone.yaml"), "--verbose"])
    with pytest.raises(ValueError, match=r"gone\.yaml: the configuration cannot be read"):
        main()


def test_a_wrong_runner_is_told_before_anything_is_done(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    commands = [("build", path), ("prepare", path), ("plan", path), ("assemble", path), ("compact", path)]
    for command in [*commands, ("verify", tmp_path / "nowhere")]:
        mistake(byline(*command, "--runner", "nope"), "error runner 'nope': expected one of local, spark")
        mistake(byline(*command, "--option", "job_endpoint=a:1"), "--option job_endpoint means nothing on this machine")
    assert not (tmp_path / "store").exists()


def test_a_recipe_on_this_machine_is_no_job_for_dataflow(byline, values, tmp_path) -> None:
    path = write_recipe(tmp_path / "r.yaml", values)
    options = {"project": "p", "region": "r", "sdk_container_image": "i", "temp_location": "gs://bucket/t"}
    words = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    locations = {"build": "sources.mine.path", "prepare": "sources.mine.path", "plan": "store", "compact": "store"}
    for command, key in {**locations, "assemble": "tokenizer.file"}.items():
        mistake(
            byline(command, path, "--runner", "dataflow", *words), rf"workers cannot open {key} /.*; expected gs://"
        )
    mistake(byline("verify", tmp_path, "--runner", "dataflow", *words), r"workers cannot open OUT /.*; expected gs://")
    assert not (tmp_path / "store").exists()
