"""`byline attribute`: columns beside the runs, and recipes that name them, held against the texts themselves."""

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs.attribute import make_named
from byline.pipelines.jobs.attribute_list import remove_attributes, show_attributes
from byline.pipelines.jobs.compact import compact
from byline.pipelines.jobs.plan import plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.transforms.attributes import aligning
from tests.reference import compare_build
from tests.support import small as small_store
from tests.support.builds import build, digests, manifest_of, segments_of, verify
from tests.support.corpora import Corpus, make_records, read_raw, recipe, write_jsonl

ALONE = RunnerSettings(workers=1)
FUNCTION = "tests.support.attribute_functions:sizes"
SIZES = {
    "kind": "function",
    "function": FUNCTION,
    "columns": {"characters": "int", "is_long": "bool", "size": "string"},
}
PHASES = [
    {
        "name": "main",
        "share": 1,
        "select": [{"drop": ["is_long"]}, {"top": 0.5, "by": "characters"}],
        "condition": {"template": "{size}\n\n"},
    }
]


def quiet() -> Console:
    return Console(file=io.StringIO())


def run(values: dict[str, Any], *names: str, settings: RunnerSettings = ALONE) -> str:
    """What `byline attribute` says."""
    text = io.StringIO()
    make_named(parse_config(values, "test"), names, settings, Console(file=text, width=200))
    return text.getvalue()


def small(folder: Path, corpus: Corpus, **changes: Any) -> dict[str, Any]:
    """A recipe of two sources, which conditions on an attribute, selects by it and drops for it."""
    values = recipe(corpus, folder, classifiers=None, mixture="natural", tokens="all", phases=PHASES)
    values["sources"] = {name: values["sources"][name] for name in ("mine", "c4")}
    return {**values, "attributes": {"sizes": SIZES}, "sequence": {"length": 64, "packing": "best_fit"}, **changes}


@pytest.fixture(scope="module")
def own(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A copy of the corpus whose sources have several files."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(corpus.root, folder / "data")
    for number in range(3, 6):
        write_jsonl(folder / f"data/mine/part-{number}.jsonl", make_records(number, 30))
    return Corpus(folder / "data")


@pytest.fixture(scope="module")
def base(own: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished build, and its recipe."""
    values = small(tmp_path_factory.mktemp("base"), own)
    return build(values), values


def files_of(values: dict[str, Any]) -> dict[str, str]:
    """Path -> sha256 of the files of attributes."""
    store = Path(values["store"])
    return {name: sha for name, sha in digests(store).items() if "/attributes/" in name}


def test_a_build_takes_the_documents_that_their_texts_say(own: Corpus, base: tuple[Path, dict[str, Any]]) -> None:
    out, _ = base
    taken = {(segment.source, segment.path, segment.document) for segment in segments_of(out)}
    lengths = {}
    for path in sorted((own.root / "mine").glob("*.jsonl")):
        for row, record in enumerate(read_raw(path)):
            if record.text is not None and record.text.strip():
                lengths[path.name, row] = len(record.text)
    short = sorted(length for length in lengths.values() if length <= 300)
    mine = {(path, row) for source, path, row in taken if source == "mine"}
    # Half of those that are not long; of equally long ones at the border any may be among them.
    assert len(mine) == len(short) // 2
    border = short[-len(mine)]
    assert all(border <= lengths[key] <= 300 for key in mine)
    ledger = manifest_of(out)["ledger"]["sources"]["mine"]["unused"]
    assert ledger["dropped_is_long"]["documents"] == len(lengths) - len(short)
    assert ledger["selection"]["documents"] == len(short) - len(mine)


def test_the_slow_reference_makes_the_same(base: tuple[Path, dict[str, Any]]) -> None:
    compare_build.main(base[0])


def test_verify_recounts_it(base: tuple[Path, dict[str, Any]]) -> None:
    status, text = verify(base[0], allow_missing=False)
    assert status == 0, text
    assert "raw corpus" in text


def test_verify_finds_a_changed_value(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, values = base
    shutil.copytree(values["store"], tmp_path / "store")
    moved = {**values, "store": str(tmp_path / "store"), "output": str(tmp_path / "shards")}
    build(moved)
    for path in Path(moved["store"]).glob("mine/*/attributes/sizes/*/*.arrow"):
        change_labels(path)
    status, text = verify(tmp_path / "shards")
    assert status == 1, text
    assert "token store" in text


def test_verify_finds_a_damaged_or_missing_file(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, values = base
    shutil.copytree(values["store"], tmp_path / "store")
    moved = {**values, "store": str(tmp_path / "store"), "output": str(tmp_path / "shards")}
    build(moved)
    path = sorted(Path(moved["store"]).glob("mine/*/attributes/sizes/*/*.arrow"))[0]
    content = path.read_bytes()
    # Whatever it is part of: each byte is in the checksum of the seal.
    path.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    status, text = verify(tmp_path / "shards")
    assert status == 1, text
    assert re.search(r"attributes/.*cannot be read as an attribute .*; delete it and run `byline attribute`", text)
    path.unlink()
    status, text = verify(tmp_path / "shards", allow_missing=False)
    assert status == 1, text
    assert "not compared: 1 files of attributes are gone" in text


def change_labels(path: Path) -> None:
    with pa.ipc.open_file(path) as reader:
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        schema = reader.schema
    with aligning.write_sealed(str(path), schema) as writer:
        for batch in batches:
            column = schema.get_field_index("size")
            wrong = pa.array(["wrong"] * batch.num_rows)
            writer.write_batch(
                batch.set_column(column, schema.field(column), wrong).replace_schema_metadata(schema.metadata)
            )


def test_one_worker_and_two_write_the_same(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, values = base
    other = {**values, "store": str(tmp_path / "store"), "output": str(tmp_path / "shards")}
    prepare(parse_config(other, "test"), ALONE, quiet())
    run(other, settings=RunnerSettings(workers=2))
    assert files_of(other) == files_of(values)
    assert {name: sha for name, sha in digests(build(other, workers=2)).items() if name.startswith("main")} == {
        name: sha for name, sha in digests(out).items() if name.startswith("main")
    }


def test_nothing_is_done_twice(base: tuple[Path, dict[str, Any]]) -> None:
    assert "nothing to do" in run(base[1])


def test_a_plan_needs_what_the_recipe_names(own: Corpus, tmp_path: Path) -> None:
    values = small(tmp_path, own)
    config = parse_config(values, "test")
    prepare(config, ALONE, quiet())
    with pytest.raises(BylineError, match=r"attributes\.sizes: not made for .* run `byline attribute`"):
        plan(config, ALONE, quiet())
    # A recipe that does not name it does not know it.
    plan(parse_config({**values, "phases": [{"name": "main", "share": 1}]}, "test"), ALONE, quiet())


def test_another_option_is_another_attribute(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, values = base
    shutil.copytree(values["store"], tmp_path / "store")
    longer = {**SIZES, "options": {"long": 500}}
    other = {**values, "store": str(tmp_path / "store"), "attributes": {"sizes": longer}}
    assert "CallFunction" in run(other)
    assert len(list((tmp_path / "store").glob("mine/*/attributes/sizes/*"))) == 2
    # Both are there, and neither is made again.
    assert "nothing to do" in run({**other, "attributes": {"sizes": SIZES}})


def test_files_that_are_added_are_made_alone(own: Corpus, tmp_path: Path) -> None:
    shutil.copytree(own.root, tmp_path / "data")
    values = small(tmp_path, Corpus(tmp_path / "data"))
    prepare(parse_config(values, "test"), ALONE, quiet())
    run(values)
    before = files_of(values)
    write_jsonl(tmp_path / "data/mine/part-9.jsonl", make_records(9, 30))
    prepare(parse_config(values, "test"), ALONE, quiet())
    said = run(values)
    assert "CallFunction, 1 lines" in said
    after = files_of(values)
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


@pytest.mark.parametrize("merges", [False, True])
def test_a_file_that_has_changed_is_made_anew(tmp_path: Path, merges: bool) -> None:
    attributes = {"sizes": SIZES, "twins": {"kind": "duplicates", "near": None, "max_removed": 1}}
    config = small_store.small_config(tmp_path, attributes=attributes)
    small_store.tokenizer_file(tmp_path)
    fresh = config.model_copy(update={"store": str(tmp_path / "fresh")})
    write_texts(tmp_path / "a/y.jsonl", "two of a kind", "short")
    write_texts(tmp_path / "b/z.jsonl", "three")
    # The second one is as long as the first, so that only times and checksums tell the files apart.
    for text in ("two of a mind", "two of a kind", "longer"):
        write_texts(tmp_path / "a/x.jsonl", text, "alone")
        shutil.rmtree(fresh.store, ignore_errors=True)
        for changed in (config, fresh):
            prepare(changed, ALONE, quiet())
            if merges:
                compact(changed, 1 << 30, ALONE, quiet())
            make_named(changed, [], ALONE, quiet())
        assert stored(fresh).items() <= stored(config).items(), text


def write_texts(file: Path, *texts: str) -> None:
    small_store.write_jsonl(file, [small_store.with_kept_fields({"text": text}) for text in texts])


def stored(config: Config) -> dict[str, str]:
    return files_of({"store": config.store})


def test_merged_runs_have_it_without_reading_texts(own: Corpus, tmp_path: Path) -> None:
    shutil.copytree(own.root, tmp_path / "data")
    values = small(tmp_path, Corpus(tmp_path / "data"))
    expected = digests(build(values))
    config = parse_config(values, "test")
    compact(config, 1 << 30, ALONE, quiet())
    with pytest.raises(BylineError, match="not made for"):
        plan(config, ALONE, quiet())
    said = run(values)
    assert "Align" in said
    assert "CallFunction" not in said
    shutil.rmtree(values["output"])
    assert digests(build(values)) == expected
    # Of the runs that were merged nothing is left.
    assert len(list((tmp_path / "store").glob("mine/*/attributes/sizes/*/*.arrow"))) == 1


def test_a_merged_run_is_made_as_its_chunks_are(own: Corpus, tmp_path: Path) -> None:
    shutil.copytree(own.root, tmp_path / "data")
    values = small(tmp_path, Corpus(tmp_path / "data"))
    config = parse_config(values, "test")
    prepare(config, ALONE, quiet())
    run(values)
    compact(config, 1 << 30, ALONE, quiet())
    run(values)
    aligned = files_of(values)
    remove_attributes(config, ["sizes"], quiet())
    assert "CallFunction" in run(values)
    assert files_of(values) == aligned


def test_a_killed_command_goes_on(own: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = small(tmp_path, own)
    prepare(parse_config(values, "test"), ALONE, quiet())
    real, count = aligning.Align.__call__, [0]

    def dies(self: aligning.Align, line: str) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        real(self, line)

    monkeypatch.setattr(aligning.Align, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        run(values)
    monkeypatch.setattr(aligning.Align, "__call__", real)
    half = files_of(values)
    assert len(half) == 2
    run(values)
    assert half.items() <= files_of(values).items()
    assert list((tmp_path / "store").glob(".attributes/*")) == []


def test_they_are_listed_and_removed(base: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, values = base
    shutil.copytree(values["store"], tmp_path / "store")
    config = parse_config({**values, "store": str(tmp_path / "store")}, "test")
    text = io.StringIO()
    show_attributes(config, [], Console(file=text, width=200))
    assert text.getvalue().count("of this configuration") == 2
    remove_attributes(config, ["sizes"], quiet())
    assert list((tmp_path / "store").glob("*/*/attributes/sizes/*/*.arrow")) == []
    with pytest.raises(BylineError, match="has no attribute of this name"):
        remove_attributes(config, ["sizes"], quiet())
    with pytest.raises(BylineError, match="name the attributes to delete"):
        remove_attributes(config, [], quiet())


def test_what_was_made_is_written_down(base: tuple[Path, dict[str, Any]]) -> None:
    store = Path(base[1]["store"])
    (path,) = store.glob("mine/*/attributes/sizes/*/attribute.json")
    written = json.loads(path.read_bytes())
    assert written["name"] == "sizes"
    assert written["fingerprint"].startswith(path.parent.name)
    assert written["fields"]["characters"]["null"] == 0
    assert written["fields"]["size"]["null"] > 0


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (
            {**SIZES, "function": "tests.support.attribute_functions:fails"},
            r"expected a mapping with characters, is_long",
        ),
        ({**SIZES, "function": "tests.support.attribute_functions:first_tokens"}, r"characters: \d+ values for"),
        ({**SIZES, "function": "tests.support.attribute_functions:none"}, "has no function"),
        ({**SIZES, "options": {"longer": 1}}, "cannot be called with these options"),
        ({**SIZES, "columns": {"characters": "bool", "is_long": "bool", "size": "float"}}, "size: expected float"),
        ({"kind": "classifier", "model": "no-such-model.bin"}, "no-such-model"),
    ],
)
def test_mistakes_are_one_line(own: Corpus, tmp_path: Path, attribute: dict[str, Any], message: str) -> None:
    values = small(tmp_path, own, attributes={"sizes": attribute}, phases=[{"name": "main", "share": 1}])
    prepare(parse_config(values, "test"), ALONE, quiet())
    with pytest.raises(BylineError, match=message):
        run(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": {"sizes": {"kind": "magic"}}}, "there is no 'magic'; the kinds are"),
        ({"attributes": {"sizes": {**SIZES, "sources": ["web"]}}}, "there is no source 'web'"),
        (
            {"attributes": {"sizes": {**SIZES, "columns": {"host": "string"}}}},
            "attributes.sizes: 'host' is the name of a column",
        ),
        ({"attributes": {"sizes": {**SIZES, "sources": []}}}, "sources: .* at least 1 item"),
        ({"attributes": {"sizes": SIZES, "more": SIZES}}, "two columns are called 'characters'"),
        (
            {"phases": [{"name": "main", "share": 1, "select": {"drop": ["size"]}}]},
            "'size' is no column of an attribute",
        ),
        ({"phases": [{"name": "main", "share": 1, "mask": ["sizes"]}]}, "'sizes' is no attribute that marks tokens"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(
    own: Corpus, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BylineError, match=message):
        parse_config(small(tmp_path, own, **changes), "test")


def test_an_unknown_name_is_told(base: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(BylineError, match="other: no attribute of the configuration; its `attributes` are: sizes"):
        run(base[1], "other")


def test_a_classifier_scores_what_is_prepared(corpus: Corpus, tmp_path: Path) -> None:
    whole = recipe(corpus, tmp_path / "whole")
    later = recipe(corpus, tmp_path / "later", classifiers=None)
    # Of a score that the corpus has itself, the classifier's is another column.
    classifier = {"kind": "classifier", **whole["classifiers"]["quality"], "sources": ["c4", "mine", "refinedweb"]}
    later["attributes"] = {"quality": classifier}
    out, other = build(whole), build(later)
    assert {name: sha for name, sha in digests(out).items() if name.endswith(".arrow")}.keys() == {
        name: sha for name, sha in digests(other).items() if name.endswith(".arrow")
    }.keys()
    assert rows_of(out) == rows_of(other)


def rows_of(out: Path) -> list[Any]:
    return [(s.phase, s.row, s.source, s.path, s.document) for s in segments_of(out)]
