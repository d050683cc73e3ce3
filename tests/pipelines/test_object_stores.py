"""The commands and the reader, with raw corpora, models, token store and output on an object store with faults."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byline.errors import BylineError
from byline.pipelines import cli
from tests.support.builds import ARROW_SUFFIXES, digests
from tests.support.corpora import Corpus, recipe, write_recipe
from tests.support.google_server import GoogleServer, google_server
from tests.support.object_server import BUCKET, ObjectServer, object_server, put_folder, quick_retries, some_faults

Server = ObjectServer | GoogleServer


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectServer]:
    with quick_retries(), object_server() as running:
        yield running


@pytest.fixture(scope="module")
def gs() -> Iterator[GoogleServer]:
    with quick_retries(), google_server() as running:
        yield running


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def moved(values: dict[str, Any], corpus: Corpus, root: str) -> dict[str, Any]:
    """The recipe with all its files on the store."""
    changed = json.loads(json.dumps(values).replace(str(corpus.root), f"{root}/raw"))
    return {**changed, "store": f"{root}/store", "output": f"{root}/out"}


def copy_of(server: Server, prefix: str, folder: Path) -> Path:
    """A copy of what is below a prefix."""
    for key in server.list_keys(prefix):
        if key.endswith(ARROW_SUFFIXES):
            path = folder / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(server.content(key))
    return folder


# ------------------------------------------------------------------------------------------------------- the commands


@pytest.fixture(scope="module")
def on_s3(s3: ObjectServer, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `byline build` said of the tests' recipe, on a disk and on the store, and where they are."""
    return build_twice(s3, "s3", corpus, tmp_path_factory.mktemp("s3"))


def build_twice(server: Server, scheme: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
    local = recipe(corpus, folder)
    at = write_recipe(folder / "local.yaml", local)
    said = run("build", at, "--workers", "1")
    put_folder(server, corpus.root, "raw")
    there = write_recipe(folder / f"{scheme}.yaml", moved(local, corpus, f"{scheme}://{BUCKET}"))
    with server.faults(some_faults) as answers:
        said_there = run("build", there, "--workers", "1")
    return {"folder": folder, "local": said, "store": said_there, "answers": answers, "recipes": (at, there)}


def test_a_build_on_s3_has_the_bytes_of_one_on_a_disk(s3: ObjectServer, on_s3: dict[str, Any], tmp_path: Path) -> None:
    check_bytes(s3, on_s3, tmp_path)
    assert min(on_s3["answers"][what] for what in ("busy", "slow", "cut", "lost")) > 5
    assert {key for key in s3.list_keys("out/") if not key.endswith(ARROW_SUFFIXES)} <= {"out/", "out/_manifest.json"}
    # What Arrow leaves where something was deleted (a source's lock is), and no other object that stands for a folder.
    folders = [key for key in s3.list_keys() if key.endswith("/")]
    assert [key for key in folders if not re.fullmatch(r"out/|store/|store/[a-z0-9]+/[0-9a-f]{16}/", key)] == []


def check_bytes(server: Server, builds: dict[str, Any], scratch: Path) -> None:
    assert digests(copy_of(server, "out/", scratch / "out")) == digests(builds["folder"] / "shards")
    assert digests(copy_of(server, "store/", scratch / "store")) == digests(builds["folder"] / "store")


def result_lines(said: str) -> list[str]:
    lines = said.splitlines()
    return lines[[line.startswith("conditioned: ") for line in lines].index(True) :]


def test_the_last_lines_are_those_of_one_on_a_disk(on_s3: dict[str, Any]) -> None:
    assert f"assemble  s3://{BUCKET}/out, " in on_s3["store"]
    assert len(result_lines(on_s3["local"])) == 10
    assert result_lines(on_s3["store"]) == result_lines(on_s3["local"])


def test_a_finished_build_is_left_alone(s3: ObjectServer, on_s3: dict[str, Any]) -> None:
    with s3.faults(some_faults):
        said = run("build", on_s3["recipes"][1], "--workers", "1")
    assert f"nothing to do: s3://{BUCKET}/out is finished" in said
    # The plan is made again, by way of lists of its own; nothing that is there is written again.
    # Checksums are kept of what had not changed for a minute, so not by the first build.
    kept = "store/models/checksums.json"
    assert {key for key in s3.written if "/.tmp-" not in key} <= {"store/", "out/", kept}


def test_verify(s3: ObjectServer, on_s3: dict[str, Any]) -> None:
    with s3.faults(some_faults) as answers:
        there = run("verify", f"s3://{BUCKET}/out/")
    assert answers["cut"] > 1
    assert there.replace(f"s3://{BUCKET}/out/", "OUT") == run("verify", on_s3["folder"] / "shards").replace(
        str(on_s3["folder"] / "shards"), "OUT"
    )
    assert len([line for line in there.splitlines() if line.startswith("ok ")]) == 7


def test_an_export_to_s3_has_the_bytes_of_one_on_a_disk(
    s3: ObjectServer, on_s3: dict[str, Any], tmp_path: Path
) -> None:
    run("export", f"s3://{BUCKET}/out", "--to", "mds", tmp_path, "--workers", "1")
    to = f"s3://{BUCKET}/export"
    with s3.faults(some_faults):
        run("export", f"s3://{BUCKET}/out", "--to", "mds", to, "--workers", "1")
        run("verify", to)
    exported = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # Arrow leaves an empty object where something was deleted.
    keys = [key for key in s3.list_keys("export/") if key != "export/"]
    assert {key.removeprefix("export/"): s3.content(key) for key in keys} == exported
    s3.put(keys[-1], b"other")
    assert "missing or of another size: 1 files" in run("export", f"s3://{BUCKET}/out", "--to", "mds", to)
    assert s3.content(keys[-1]) == exported[keys[-1].removeprefix("export/")]


def test_verify_tells_of_a_shard_that_was_changed(s3: ObjectServer, on_s3: dict[str, Any]) -> None:
    key = next(key for key in s3.list_keys("out/cooldown/") if key.endswith(".arrow"))
    before = s3.content(key)
    s3.put(key, before[:5000] + bytes([before[5000] ^ 1]) + before[5001:])
    try:
        done = CliRunner().invoke(cli.app, ["verify", f"s3://{BUCKET}/out"], env={"COLUMNS": "200"})
    finally:
        s3.put(key, before)
    assert done.exit_code == 1
    assert f"{key.removeprefix('out/')}: sha256 " in done.output


def test_inspect_prompt_and_diff(s3: ObjectServer, on_s3: dict[str, Any]) -> None:
    out, folder, (local, there) = f"s3://{BUCKET}/out", on_s3["folder"], on_s3["recipes"]
    with s3.faults(some_faults):
        for words in (["--row", "5"], ["--row", "-1", "--phase", "cooldown"]):
            assert run("inspect", out, *words) == run("inspect", folder / "shards", *words)
        said = run("prompt", out, "host=example.org", "The cat")
        assert said == run("prompt", folder / "shards", "host=example.org", "The cat")
        told = run("diff", local, there)
    # The models and the tokenizer are the same ones in another shuffle key.
    assert re.search("classifiers.quality.model .*  nothing: it gives the same scores", told)
    assert re.search("tokenizer.file .*  nothing: the same file", told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["verify", f"s3://{BUCKET}/none"], f"s3://{BUCKET}/none: no _manifest.json, so this is not a finished build"),
        (["inspect", "s3://u:secret@bucket/none"], "s3://...@bucket/none: expected s3://bucket/key"),
        (["prompt", f"s3:/{BUCKET}/out", "x"], f"s3:/{BUCKET}/out: an address begins with s3://"),
        (["verify", "s3://no-such-bucket/none"], "s3://no-such-bucket/none"),
        (["build", f"s3://{BUCKET}/recipe.yaml"], "recipe.yaml"),
    ],
)
def test_mistakes_are_one_line(s3: ObjectServer, words: list[str], told: str) -> None:
    with pytest.raises(BylineError) as error:
        CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_build_on_gs_has_the_bytes_of_one_on_a_disk(gs: GoogleServer, corpus: Corpus, tmp_path: Path) -> None:
    builds = build_twice(gs, "gs", corpus, tmp_path)
    check_bytes(gs, builds, tmp_path / "copy")
    assert min(builds["answers"][what] for what in ("busy", "slow", "cut", "lost")) > 1
    out = f"gs://{BUCKET}/out"
    assert "verified" in run("verify", out)
    assert run("inspect", out, "--row", "3") == run("inspect", tmp_path / "shards", "--row", "3")
