"""Tables of kinds: each name stands for an object of that name, and the user's own come by module path."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.pipelines.recipes import load_recipe
from byline.schemas.config import Config
from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.schemas.fields import FIELDS
from byline.schemas.formatters import FORMATTERS
from byline.schemas.layouts import LAYOUTS, Layout
from byline.schemas.tables import Kinds
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.reading import read_batches
from byline.transforms.fields.template_fields import (
    check_fields,
    columns_of_fields,
    field_values,
    own_field_sha256s,
)
from byline.transforms.store.fingerprint import source_settings
from tests.support.corpora import write_recipe
from tests.support.small import tokenizer_file

OWN = '''
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import InputFile
from byline.schemas.fields import TemplateField
from byline.schemas.formatters import Formatter
from byline.schemas.layouts import Layout


def read(file, source, schema, paths):
    """A document in each line, as a text file has them."""
    lines = open(file.uri, encoding="utf-8").read().splitlines()
    text = pa.array(lines, pa.large_string())
    columns = [text if field.name == "text" else pa.nulls(len(lines), field.type) for field in schema]
    yield pa.RecordBatch.from_arrays(columns, schema=schema), np.array([line == "bad" for line in lines])


LINES = Layout("lines", "a document in each line", read)
MADE = Layout("made", "three letters", read, list_files=lambda name, source: [InputFile(name, "abc", "abc", 3)])
SHOUT = TemplateField("shout", "HOST", ("host",), lambda batch, question: pc.utf8_upper(batch["host"]))
WRONG = TemplateField("wrong", "not one a row", ("host",), lambda batch, question: pa.array(["a"]))
TITLE = TemplateField("title", "needs a column of its own", ("title",), lambda batch, question: batch["title"])
TALK = Formatter("talk", "a message in a line", ("messages",), lambda batch: {"text": ["x"] * len(batch)})
NUMBER = 7
'''


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own in the current folder."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("kinds", [LAYOUTS, FORMATTERS, FIELDS], ids=["layouts", "formatters", "fields"])
def test_a_name_is_that_of_its_object(kinds: Kinds[Any]) -> None:
    assert [kinds.named("here", name).name for name in kinds] == list(kinds)
    assert all(kinds.named("here", name).doc for name in kinds)


def test_which_come_with_byline() -> None:
    assert list(LAYOUTS) == ["dclm", "c4", "refinedweb", "jsonl", "parquet", "arithmetic"]
    assert [name for name in LAYOUTS if LAYOUTS.named("here", name).is_made] == ["arithmetic"]
    assert list(FORMATTERS) == ["chat", "qa", "fim"]
    assert [FORMATTERS.named("here", name).reads for name in FORMATTERS] == [
        ("messages",),
        ("question", "answer"),
        ("text",),
    ]
    assert {name: FIELDS.named("here", name).columns for name in FIELDS} == {
        "url": ("url",),
        "host": ("host",),
        "registered_domain": ("registered_domain",),
        "suffix": ("registered_domain",),
        "path": ("url",),
        "host_hash": ("host",),
        "url_hash": ("url",),
        "source": (),
    }


def test_names_that_may_be_of_a_kind() -> None:
    assert LAYOUTS.check("dclm") == "dclm"
    assert LAYOUTS.check("my.layouts:WIKI") == "my.layouts:WIKI"
    with pytest.raises(ValueError, match=r"^expected dclm, .* or package.module:object, found 'dlcm'$"):
        LAYOUTS.check("dlcm")


def test_an_object_that_is_none_of_the_kind(own: str) -> None:
    expected = rf"^sources.s.format: {own}:NUMBER is int, not a byline.schemas.layouts.Layout$"
    with pytest.raises(BylineError, match=expected):
        LAYOUTS.named("sources.s.format", f"{own}:NUMBER")
    with pytest.raises(BylineError, match=rf"^sources.s.format: .*{own}.py has no object 'OTHER'$"):
        LAYOUTS.named("sources.s.format", f"{own}:OTHER")


# ----------------------------------------------------------------------------------------------------------- layouts


def test_a_layout_of_ones_own_is_read(own: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\nbad\nthree\n")
    source = Source(format=f"{own}:LINES", path="a.txt", keep=["title"])
    assert isinstance(source.layout, Layout)
    (file,) = list_inputs("mine", source)
    modified = (tmp_path / "a.txt").stat().st_mtime_ns
    assert file == InputFile("mine", "a.txt", str(tmp_path / "a.txt"), 14, modified=modified)
    (batch,) = read_batches(file, source)
    assert batch.to_pylist() == [
        {"row": 0, "text": "one", "url": None, "title": None},
        {"row": 2, "text": "three", "url": None, "title": None},
    ]


def test_a_layout_of_ones_own_may_list_its_files(own: str) -> None:
    assert list_inputs("mine", Source(format=f"{own}:MADE")) == [InputFile("mine", "abc", "abc", 3)]


def test_a_layout_of_ones_own_needs_files() -> None:
    with pytest.raises(BylineError, match=r"^sources.mine.path: this key is needed: "):
        list_inputs("mine", Source(format=LAYOUTS.check("byline.transforms.corpora.json_lines:JSONL")))


def config_of(tmp_path: Path, source: dict[str, Any], **condition: Any) -> Config:
    values = {
        "sources": {"mine": source},
        "tokenizer": {"file": tokenizer_file(tmp_path), "eos": "<eos>"},
        "phases": [{"name": "only", "share": 1, "condition": {"template": "{host}", **condition}}],
    }
    return Config.model_validate(values)


def test_the_module_of_a_layout_decides_the_store(own: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, {"format": f"{own}:LINES", "path": "a.txt"})
    before = source_settings(config, "mine")
    with (tmp_path / f"{own}.py").open("a") as file:
        file.write("# changed\n")
    after = source_settings(config, "mine")
    assert [key for key in after if after[key] != before[key]] == ["sources.mine.format.module"]


# ------------------------------------------------------------------------------------------------------------ fields


def test_a_field_of_ones_own(own: str) -> None:
    batch = pa.record_batch({"host": ["a.org", "b.org", None, "a.org"]})
    values = field_values(batch, "mine", f"{own}:SHOUT", "salt")
    assert values.to_pylist() == ["A.ORG", "B.ORG", None, "A.ORG"]
    assert values.dictionary.to_pylist() == ["A.ORG", "B.ORG"]
    assert columns_of_fields([f"{own}:SHOUT", "suffix"]) == {"host", "registered_domain"}
    with pytest.raises(BylineError, match=r"WRONG': gave 1 values for 4 rows; give one for each row, in order$"):
        field_values(batch, "mine", f"{own}:WRONG", "salt")


def test_a_field_of_ones_own_is_asked_for_its_columns(own: str, tmp_path: Path) -> None:
    source = {"format": "jsonl", "path": "x"}
    check_fields(config_of(tmp_path, source, template=f"{{{own}:SHOUT}}"))
    config = config_of(tmp_path, source, template=f"{{{own}:TITLE}}")
    with pytest.raises(BylineError, match=rf"^phases.only: field '{own}:TITLE' needs a column 'title', which"):
        check_fields(config)
    check_fields(config_of(tmp_path, {**source, "keep": ["title"]}, template=f"{{{own}:TITLE}}"))


def test_the_module_of_a_field_decides_the_plan(own: str, tmp_path: Path) -> None:
    source = {"format": "jsonl", "path": "x"}
    config = config_of(tmp_path, source, template=f"{{{own}:SHOUT}} {{host}}")
    digest = hashlib.sha256((tmp_path / f"{own}.py").read_bytes()).hexdigest()
    assert own_field_sha256s(config, config.phases[0]) == {f"{own}:SHOUT": digest}
    plain = config_of(tmp_path, source, template="{host}")
    assert own_field_sha256s(plain, plain.phases[0]) == {}


# ------------------------------------------------------------------------------------------------- as a recipe is read


@pytest.mark.parametrize(
    ("source", "template", "message"),
    [
        ({"format": "no_such:L"}, "x", "sources.mine.format: no_such cannot be imported"),
        (
            {"format": "jsonl", "path": "x", "formatter": "no_such:f"},
            "x",
            "sources.mine.formatter: no_such cannot be im",
        ),
        ({"format": "jsonl", "path": "x"}, "{no_such:F}", "phases.only: no_such cannot be imported"),
        (
            {"format": "jsonl", "path": "x", "formatter": "OWN:TALK"},
            "x",
            "sources.mine.formatter: OWN:TALK needs fields.",
        ),
    ],
)
def test_what_is_wrong_with_ones_own_is_told_at_once(
    own: str, tmp_path: Path, source: dict[str, Any], template: str, message: str
) -> None:
    source = {key: value.replace("OWN", own) for key, value in source.items()}
    values = config_of(tmp_path, source, template=template).model_dump(mode="json")
    path = write_recipe(tmp_path / "recipe.yaml", values)
    with pytest.raises(BylineError) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: {message.replace('OWN', own)}")
