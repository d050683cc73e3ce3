"""`byline doctor`: the lines of its table, and its exit status."""

import io
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from byline.pipelines.console.doctor_lines import State, show_checks
from byline.pipelines.doctor import installation
from byline.pipelines.doctor.installation import PACKAGES, check_all, check_package
from byline.pipelines.doctor.recipe import FASTTEXT_MAGIC, check_model, check_recipe
from byline.pipelines.doctor.runners import check_engine, check_reach, check_settings, java_version
from byline.schemas.config_file import parse_config
from tests.pipelines.console.test_prompt_lines import byte_tokenizer
from tests.support.corpora import write_model

RECIPE = """
sources:
  mine: {format: jsonl, path: "DIR/data/*.jsonl", fields: {text: body}}
classifiers:
  quality: {model: DIR/quality.bin, label: __label__hq}
tokenizer: {file: DIR/tokenizer.json, bos: "<s>", eos: "</s>"}
phases:
  - {name: all, share: 1}
store: DIR/store/deep
output: DIR/out
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of which everything is there."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").write_text('{"body": "a"}\n')
    (tmp_path / "data/b.jsonl").write_text('{"body": "b"}\n' * 99)
    write_model(tmp_path / "quality.bin")
    byte_tokenizer(tmp_path / "tokenizer.json")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("DIR", str(tmp_path)))
    return path


def states(path: Path) -> dict[str, tuple[State, str, str]]:
    return {check.name: (check.state, check.found, check.mend) for check in check_recipe(str(path))}


def test_a_recipe_of_which_all_is_there(recipe, tmp_path):
    found = states(recipe)
    assert {state for state, _, _ in found.values()} == {State.OK}
    tried = [f"mine {what}" for what in ("records", "url", "host", "registered_domain", "quality")]
    assert list(found) == ["configuration", "source mine", "model quality", "tokenizer", *tried, "store", "output"]
    assert found["source mine"][1] == "2 files, 1.4 kB"
    assert found["tokenizer"][1] == f"{tmp_path}/tokenizer.json, 259 ids, BOS 257, EOS 258"
    assert re.fullmatch(rf"{tmp_path}/store/deep, [0-9.,]+ [MGT]B free", found["store"][1])


def test_everything_missing_is_named_with_what_mends_it(recipe, tmp_path):
    for file in ("data/a.jsonl", "data/b.jsonl", "quality.bin", "tokenizer.json"):
        (tmp_path / file).unlink()
    found = states(recipe)
    assert {name for name, (state, _, _) in found.items() if state is State.FAILED} == {
        "source mine",
        "model quality",
        "tokenizer",
    }
    assert found["source mine"][2] == f"correct sources.mine.path in {recipe}"
    assert found["model quality"][1:] == (
        f"{tmp_path}/quality.bin: cannot be opened (No such file or directory)",
        f"correct classifiers.quality.model in {recipe}",
    )
    assert "tokenizer.json" in found["tokenizer"][1]


@pytest.mark.parametrize(
    ("old", "new", "name", "message"),
    [
        ('eos: "</s>"', 'eos: "<end>"', "tokenizer", "has no token '<end>'"),
        ("sources:", "source:", "configuration", "sources"),
        ("tokenizer.json", "quality.bin", "tokenizer", "not a Hugging Face tokenizer.json"),
    ],
)
def test_a_mistake_in_the_recipe(recipe, old, new, name, message):
    recipe.write_text(recipe.read_text().replace(old, new))
    state, found, mend = states(recipe)[name]
    assert state is State.FAILED
    assert message in found
    assert "\n" not in found
    assert str(recipe) in mend


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "m.bin").write_bytes(b"PK\3\4")
    check = check_model("q", str(tmp_path / "m.bin"), "r.yaml")
    assert (check.state, check.found) == (State.FAILED, f"{tmp_path}/m.bin: not a fastText model (.bin)")
    assert FASTTEXT_MAGIC == b"\xba\x16\x4f\x2f"


def test_packages(tmp_path, monkeypatch):
    assert check_package("numpy", "numpy").state is State.OK
    missing = check_package("no-such-distribution", "numpy")
    assert (missing.state, missing.found, missing.mend) == (
        State.FAILED,
        "not installed",
        'pip install ".[build]" in a clone',
    )
    (tmp_path / "broken_module.py").write_text("raise ImportError('libgomp.so.1: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = check_package("numpy", "broken_module")
    assert broken.state is State.FAILED
    assert broken.found.endswith("but cannot be imported: libgomp.so.1: no such file")
    assert broken.mend == "pip install --force-reinstall numpy"


def test_the_packages_are_those_of_the_project():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    base = re.search(r"^dependencies = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)[1]
    build = re.search(r"^build = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)[1]
    assert set(PACKAGES) == set(re.findall(r'"([A-Za-z0-9-]+)[><=]', base + build))


def test_java(tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    assert java_version(str(java)) == "17.0.15"
    java.write_text("#!/bin/sh\nexit 1\n")
    assert java_version(str(java)) is None
    assert java_version(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("java", "state", "found"),
    [
        (None, State.ABSENT, "needs Java for a job server on this machine"),
        ("1.8.0_292", State.ABSENT, "Java 1.8.0_292; its job server needs 11 or 17"),
        ("21.0.2", State.ABSENT, "Java 21.0.2; its job server needs 11 or 17"),
        ("11", State.OK, "Java 11; no jars yet: make spark-up fetches them"),
        ("17.0.15", State.OK, "Java 17.0.15; no jars yet: make spark-up fetches them"),
    ],
)
def test_engines(java, state, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check = check_engine("Spark", "spark", java)
    assert (check.state, check.found) == (state, found)
    assert check.mend == ("" if state is State.OK else "apt-get install openjdk-17-jre-headless")


def test_the_jars_of_an_engine_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jar", "b.jar", "b.txt"):
        path = tmp_path / "out/clusters/flink/jars" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert check_engine("Flink", "flink", "17").found == "Java 17; 2 jars in out/clusters/flink"


POOL = "on each worker's machine: python -m byline.pipelines.runners.worker_pool --port=1"


def settings_lines(name, *options):
    return [(check.name, check.state, check.found, check.mend) for check in check_settings(name, options)]


def test_a_cluster_that_is_not_there():
    found = settings_lines("spark", "--job_endpoint=localhost:1", "--environment_config=localhost:1")
    assert found == [
        (
            "job server",
            State.FAILED,
            "no answer at localhost:1, from this machine",
            "make spark-up, or correct --option job_endpoint",
        ),
        ("worker pool", State.FAILED, "no answer at localhost:1, from this machine", POOL),
    ]


def test_a_cluster_that_answers():
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        found = settings_lines("flink", f"--job_endpoint={address}", f"--environment_config={address}")
    assert found == [
        ("job server", State.OK, f"answers at {address}", ""),
        ("worker pool", State.OK, f"answers at {address}", ""),
    ]


def test_a_job_server_that_beam_would_download(tmp_path, monkeypatch):
    monkeypatch.setattr("apache_beam.utils.subprocess_server.JavaJarServer.JAR_CACHE", str(tmp_path))
    workers = ("Python workers", State.OK, "in the process of the build itself", "")
    found = f"no job_endpoint: Beam will download its own to {tmp_path}"
    assert settings_lines("flink") == [
        ("job server", State.ABSENT, found, "make flink-up starts one from here"),
        workers,
    ]
    (tmp_path / "beam-runners-flink-2.2-job-server-2.77.0.jar").touch()
    own = "Beam starts its own, beam-runners-flink-2.2-job-server-2.77.0.jar"
    assert settings_lines("flink") == [("job server", State.OK, own, ""), workers]


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        (
            "spak",
            (),
            (
                "runner",
                "runner 'spak': expected one of local, spark, flink, portable, dataflow",
                "correct --runner or --option",
            ),
        ),
        (
            "flink",
            ("--parallelism=x",),
            (
                "runner",
                "--option parallelism: invalid int value: 'x'",
                "correct --runner or --option",
            ),
        ),
        (
            "local",
            ("--job_endpont=x",),
            (
                "runner",
                "local: unknown --option job_endpont; expected a NAME=VALUE of Beam's; did you mean job_endpoint?",
                "correct --runner or --option",
            ),
        ),
        ("portable", (), ("job server", "not given", "--option job_endpoint=HOST:PORT")),
        (
            "spark",
            ("--environment_type=DOCKER",),
            (
                "worker image",
                "none: Beam's own image has no Byline",
                "docker build --tag IMAGE . and --option environment_config=IMAGE",
            ),
        ),
    ],
)
def test_a_runners_options_are_looked_at(name, options, line):
    failed = [check for check in check_settings(name, options) if check.state is State.FAILED]
    assert (failed[0].name, failed[0].found, failed[0].mend) == line


def test_what_dataflow_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    found = {name: (state, text, mend) for name, state, text, mend in settings_lines("dataflow", "--project=p")}
    assert found["project"] == (State.OK, "p", "")
    assert found["region"] == (State.FAILED, "not given", "--option region=REGION")
    assert found["worker image"][0] is State.FAILED
    path = tmp_path / ".config/gcloud/application_default_credentials.json"
    assert found["credentials"] == (
        State.FAILED,
        f"{path}: no such file",
        "gcloud auth application-default login",
    )
    path.parent.mkdir(parents=True)
    path.touch()
    assert ("credentials", State.OK, str(path), "") in settings_lines("dataflow")


def test_a_wrong_location_is_named_whatever_else_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for option, message in (
        ("--temp_location=gs://B/t", "dataflow: temp_location 'gs://B/t': expected gs://BUCKET/FOLDER, "),
        ("--template_location=gs://bucket/t", "dataflow: no template_location: "),
    ):
        failed = {name: text for name, state, text, _ in settings_lines("dataflow", option) if state is State.FAILED}
        assert failed["options"].startswith(message)
        assert "credentials" in failed


def test_locations_out_of_dataflows_reach(recipe, tmp_path):
    text = recipe.read_text().replace(f"{tmp_path}/store/deep", "s3://no-bucket-of-ours/store")
    config = parse_config(yaml.safe_load(text), "r.yaml")
    found = [(check.state, check.found, check.mend) for check in check_reach("DataflowRunner", config, "r.yaml")]
    locations = {
        "sources.mine.path": f"{tmp_path}/data/*.jsonl",
        "classifiers.quality.model": f"{tmp_path}/quality.bin",
        "tokenizer.file": f"{tmp_path}/tokenizer.json",
        "output": f"{tmp_path}/out",
    }
    assert found == [
        *(
            (
                State.FAILED,
                f"{key} {location}: out of reach of Dataflow's workers",
                f"a gs:// address for {key} in r.yaml",
            )
            for key, location in locations.items()
        ),
        (
            State.ABSENT,
            "s3://: Dataflow's workers need AWS credentials in their environment",
            "give them to the workers (docs/dataflow.md), or use gs://",
        ),
    ]
    assert list(check_reach("spark", config, "r.yaml")) == []


def run(path: str | None, width: int = 300, **how: Any) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=width)
    return show_checks(check_all(path, **how), console), console.file.getvalue()


def test_off_a_terminal_nothing_is_broken(recipe):
    _, text = run(str(recipe), width=40)
    assert re.search(rf"^ok +tokenizer +{recipe.parent}/tokenizer.json, 259 ids, BOS 257, EOS 258 *$", text, re.M)


def test_one_thing(recipe, monkeypatch):
    monkeypatch.setattr(installation, "check_python", lambda: [])
    recipe.with_name("quality.bin").unlink()
    assert run(str(recipe))[1].endswith("\n1 thing is missing\n")


def test_an_option_without_a_runner(monkeypatch):
    monkeypatch.setattr(installation, "check_python", lambda: [])
    code, text = run(None, options=("--job_endpoint=a:1",))
    assert code == 1
    assert re.search(r"^no +options +--option without --runner: not checked +give --runner, too", text, re.M)


def test_exit_status_and_table(recipe, monkeypatch):
    monkeypatch.setattr(installation, "check_python", lambda: [])
    code, text = run(str(recipe))
    assert code == 0
    assert re.search(r"^ok +source mine +2 files, 1.4 kB *$", text, re.MULTILINE)
    assert text.endswith("all that is needed is there\n")
    recipe.with_name("quality.bin").unlink()
    code, text = run(str(recipe))
    assert code == 1
    assert re.search(r"^no +model quality +.*No such file or directory\) +correct classifiers", text, re.MULTILINE)


def test_a_missing_package_is_told_before_the_recipe_is_read(recipe, monkeypatch):
    monkeypatch.setitem(PACKAGES, "no-such-distribution", "numpy")
    code, text = run(str(recipe))
    assert code == 1
    assert re.search(r"^no +configuration +not checked while a package is missing", text, re.MULTILINE)
    assert "source mine" not in text


def test_optional_runners_do_not_fail(monkeypatch):
    monkeypatch.setattr(installation, "check_python", lambda: [])
    monkeypatch.setattr("byline.pipelines.doctor.runners.java_version", lambda: None)
    code, text = run(None)
    assert code == 0
    assert re.search(r"^- +Spark +needs Java", text, re.MULTILINE)


# ------------------------------------------------------------------------------------------------------- some records


def found_of(path: Path, *settings: str) -> dict[str, tuple[State, str, str]]:
    return {check.name: (check.state, check.found, check.mend) for check in check_recipe(str(path), None, settings)}


def test_some_records_are_tried(recipe, tmp_path):
    records = [
        {"body": "a\x1b[2Jb", "url": "http://a.org/\x1b", "stars": 3},
        {"body": "", "url": None},
        {"body": "c", "url": "mailto:a@b.org"},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records) + "no JSON\n" + '{"body": "d"}\n' * 200
    (tmp_path / "data/a.jsonl").write_text(lines)
    settings = [
        "sources.mine.malformed=drop",
        "sources.mine.keep={stars: int}",
        'phases.all.condition={template: "{url} {quality}", bins: {quality: 3}}',
        "filter=[{words: {at_least: 1}}]",
    ]
    found = found_of(recipe, *settings)
    assert found["mine records"] == (
        State.OK,
        f"100 of {tmp_path}/data/a.jsonl: 98 kept, 2 dropped (empty_text 1, malformed 1); the first has 6 tokens: "
        r"'a\x1b[2Jb'",
        "",
    )
    assert found["mine url"][:2] == (State.ABSENT, r"2 known, 96 null; 'http://a.org/\x1b'")
    assert found["mine url"][2].startswith("name where it stands in a record in sources.mine.fields.url, or lower ")
    assert found["mine host"][:2] == (State.OK, "1 known, 96 null, 1 unknown; 'a.org'")
    assert found["mine stars"][:2] == (State.OK, "1 known, 97 null; '3'")
    assert found["mine quality"][1].startswith("98 known; '0.")
    assert re.fullmatch(r"\d+ tokens: 'http://a\.org/\\x1b 0\.\d+'", found["mine phases.all.condition"][1])
    assert not list((tmp_path / "store").rglob("*.arrow"))


def test_what_attributes_say_is_unknown_before_there_are_runs(recipe):
    columns = "{topic: string, long: bool, size: float, whole: int}"
    found = found_of(
        recipe,
        f"attributes={{own: {{kind: function, function: 'a.b:c', columns: {columns}}}}}",
        'phases.all.condition={template: "{topic} {long} {size} {whole}"}',
        "phases.all.select=[{allow: {topic: [bread]}}, {drop: [long]}]",
    )
    assert found["mine phases.all.condition"][0] is State.OK
    assert found["mine phases.all.condition"][1].endswith("'unknown unknown unknown unknown'")


@pytest.mark.parametrize(
    ("setting", "name", "message"),
    [
        ("sources.mine.fields.url=link", "mine records", "none of the first records has the field 'link'"),
        ("sources.mine.score={hq: score}", "mine records", "none of the first records has the field 'score'"),
        ("filter=[{words: {at_least: 5}}]", "mine records", "1 of .*: 0 kept, 1 dropped .filter_words 1."),
        ("sources.mine.formatter=re:compile", "mine records", "^TypeError: "),
        ("sequence.length=many", "configuration", "sequence.length"),
        ("classifiers.quality.label=__label__no", "models", "has no label '__label__no'"),
    ],
)
def test_records_that_do_not_work(recipe, setting, name, message):
    failed = {label: found for label, (state, found, _) in found_of(recipe, setting).items() if state is State.FAILED}
    assert len(failed) == 1
    (label, found), *_ = failed.items()
    assert re.fullmatch(name, label)
    assert re.search(message, found), found


def test_a_label_that_the_model_does_not_have(recipe, tmp_path):
    settings = ["classifiers.quality.label=null", "phases.all.select={allow: {quality: [hq, news]}}"]
    found = found_of(recipe, *settings)
    assert found["label quality"][:2] == (
        State.FAILED,
        "phases.all.select: classifier quality has no label 'news'",
    )
    assert found["mine quality"][1] in ("1 known; 'hq'", "1 known; 'lq'")
