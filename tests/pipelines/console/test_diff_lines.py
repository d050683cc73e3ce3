"""`byline diff`: literal pairs of configurations to the keys that differ and what the change costs."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers

from byline.errors import BylineError
from byline.pipelines.console.diff_lines import show_diff
from byline.pipelines.recipes import load_recipe
from tests.support.fasttext_models import train

BASE = """
sources:
  c4: {format: c4, path: "data/c4/*.json.gz"}
  dclm: {format: dclm, path: "data/dclm/*.zst", score: {quality: raw}}
classifiers: {quality: {model: quality.bin, label: __label__0}}
tokenizer: {file: tokenizer.json, eos: "</s>"}
tokens: 3M
mixture: {c4: 0.25, dclm: 0.75}
phases:
  - {name: main, share: 0.9, select: {top: 0.7, by: quality}, condition: {template: "URL: {host}\\n\\n"}}
  - {name: cooldown, share: 0.1}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models and two tokenizers, each with a copy of the first one under another name."""
    folder = tmp_path_factory.mktemp("files")
    shutil.move(train(folder, "first"), folder / "quality.bin")
    shutil.move(train(folder, "second", lines=60), folder / "other.bin")
    shutil.copy(folder / "quality.bin", folder / "copy.bin")
    for name, size in (("tokenizer", 3), ("other", 4), ("large", 2**16)):
        vocabulary = {"</s>": 0, **{f"w{number}": number for number in range(1, size)}}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(folder / f"{name}.json"))
    (folder / "moved").mkdir()
    shutil.copy(folder / "tokenizer.json", folder / "moved" / "tokenizer.json")
    shutil.copy(folder / "tokenizer.json", folder / "renamed.json")
    return folder


@pytest.fixture
def compare(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes BASE and a file that extends it by some YAML, and gives the lines of `byline diff`."""
    monkeypatch.chdir(files)
    (tmp_path / "a.yaml").write_text(BASE)

    def lines(change: str, base: str = "a.yaml", before: str | None = None) -> list[str]:
        if before is not None:
            (tmp_path / base).write_text(f"extends: a.yaml\n{before}")
        (tmp_path / "b.yaml").write_text(f"extends: a.yaml\n{change}")
        console = Console(file=io.StringIO(), width=80, soft_wrap=True)
        show_diff(load_recipe(tmp_path / base), load_recipe(tmp_path / "b.yaml"), console)
        return console.file.getvalue().splitlines()

    return lines


OVERWRITE = "note both write to out/shards; --overwrite replaces a finished build there"
ASSEMBLE = [OVERWRITE, "cost: planning and assembling"]
MAYBE = "then planning, and assembling if the plan comes out different"


def key(name: str, values: str, effect: str) -> str:
    return f"  {name}  {values}  {effect}"


def test_the_same_configuration_written_otherwise(compare: Any) -> None:
    # Defaults, short forms and units are resolved.
    same = """
seed: 0
tokens: 3000000
mixture: {method: weights, weights: {dclm: 3/4, c4: 1/4}}
sequence: {length: 8192}
"""
    assert compare(same) == ["no key differs", "cost: nothing"]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("tokenizer: {library: tokenizers}", ["fastest -> tokenizers", "nothing: the ids are the same"]),
        (
            "tokenizer: {file: moved/tokenizer.json}",
            ["tokenizer.json -> moved/tokenizer.json", "nothing: the same file"],
        ),
        (
            "classifiers: {quality: {model: copy.bin}}",
            ["quality.bin -> copy.bin", "nothing: it gives the same scores, or no source needs it"],
        ),
    ],
)
def test_what_costs_nothing(compare: Any, change: str, lines: list[str]) -> None:
    half, line, *cost = compare(change)
    assert half == "token store"
    assert line.endswith("  ".join(lines))
    assert cost == ["cost: nothing"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("seed: 3", "seed  0 -> 3"),
        ("sequence: {length: 512}", "sequence.length  8192 -> 512"),
        ("sequence: {packing: concat}", "sequence.packing  document_start -> concat"),
        ("shard: {ids: uint16}", "shard.ids  int32 -> uint16"),
        ("tokens: all", "tokens  3000000 -> all"),
        ("loss_weight: {c4: 0.5}", "loss_weight  none -> {c4: 0.5}"),
        ("shard: {loss_weight: float16}", "shard.loss_weight  float32 -> float16"),
        ("tokenizer: {bos: </s>}", "tokenizer.bos  none -> </s>"),
        ("tokenizer: {add: [<a>]}", "tokenizer.add  [] -> [<a>]"),
    ],
)
def test_what_the_recipe_changes(compare: Any, change: str, line: str) -> None:
    assert compare(change) == ["recipe", f"  {line}  plans and assembles", *ASSEMBLE]


def test_the_same_tokenizer_under_another_name(compare: Any) -> None:
    assert compare("tokenizer: {file: renamed.json}") == [
        "token store",
        key(
            "tokenizer.file", "tokenizer.json -> renamed.json", "the same file, but shards name it: plans and assembles"
        ),
        *ASSEMBLE,
    ]


def test_a_mixture_that_is_replaced(compare: Any) -> None:
    assert compare("mixture: {c4: 0.5, dclm: 0.5}") == [
        "recipe",
        key("mixture.weights.c4  ", "0.25 -> 0.5", "plans and assembles"),
        key("mixture.weights.dclm", "0.75 -> 0.5", "plans and assembles"),
        *ASSEMBLE,
    ]


def test_a_mixture_that_no_phase_uses(compare: Any) -> None:
    phases = "phases: [{name: main, share: 1, mixture: natural}]\n"
    found = compare(f"{phases}mixture: {{c4: 1, dclm: 0}}", "own.yaml", phases)
    assert {line.split("  ")[-1].strip() for line in found[1:-1]} == {"nothing: every phase has a mixture of its own"}
    assert found[-1] == "cost: nothing"


def test_phases_are_matched_by_name(compare: Any) -> None:
    change = """
phases:
  - {name: cooldown, share: 0.2}
  - {name: main, share: 0.7, select: {top: 0.7, by: quality}, condition: {template: "{host}\\n", dropout: 0.1}}
  - {name: last, share: 0.1}
branches: [{name: early, at: [0.25, 0.5]}]
"""
    assert compare(change) == [
        "recipe",
        key("phases.main.condition.template", '"URL: {host}\\n\\n" -> "{host}\\n"       ', "plans and assembles"),
        key("phases.main.condition.dropout ", "0.0 -> 0.1                            ", "plans and assembles"),
        key("phases.main.share             ", "0.9 -> 0.7                            ", "plans and assembles"),
        key("phases.cooldown.share         ", "0.1 -> 0.2                            ", "plans and assembles"),
        key("phases.last                   ", "none -> {name: last, share: 0.1}      ", "plans and assembles"),
        key("branches.early                ", "none -> {name: early, at: [0.25, 0.5]}", "plans and assembles"),
        key("phases                        ", "[main, cooldown] -> [cooldown, main]  ", "plans and assembles"),
        *ASSEMBLE,
    ]


def test_a_change_that_matters_only_in_a_shortage(compare: Any) -> None:
    assert compare("shortage: repeat") == [
        "recipe",
        key("shortage", "error -> repeat", "plans; assembles only if a source is short"),
        "cost: planning, and assembling if the plan comes out different",
    ]


def test_another_output(compare: Any) -> None:
    assert compare("output: out/b") == [
        "folders",
        key("output", "out/shards -> out/b", "assembles into out/b"),
        "cost: planning and assembling into out/b",
    ]
    assert compare("output: out/b\nseed: 1")[-2:] == [
        key("output", "out/shards -> out/b", "assembles into out/b"),
        "cost: planning and assembling into out/b",
    ]


def test_another_store(compare: Any) -> None:
    assert compare("store: out/b") == [
        "folders",
        key("store", "out/store -> out/b", "prepares everything that out/b does not hold"),
        f"cost: preparing c4, dclm in out/b, as far as it does not hold them, {MAYBE}",
    ]


def test_what_a_source_tolerates(compare: Any) -> None:
    lines = compare("sources: {c4: {max_rejected: 0.5, damaged: use_readable}}")
    assert [" ".join(line.split()) for line in lines] == [
        "token store",
        "sources.c4.max_rejected 0.01 -> 0.5 nothing: it says what is an error",
        "sources.c4.damaged error -> use_readable reads the damaged files of c4",
        f"cost: reading what is new of c4, {MAYBE}",
    ]


def test_other_files_of_a_source(compare: Any) -> None:
    assert compare("sources: {c4: {path: [x/*.gz, y/*.gz]}}") == [
        "token store",
        key("sources.c4.path", "data/c4/*.json.gz -> [x/*.gz, y/*.gz]", "reads what is new of c4"),
        f"cost: reading what is new of c4, {MAYBE}",
    ]


@pytest.mark.parametrize(
    ("change", "line", "again"),
    [
        ("sources: {c4: {keep: [license]}}", "sources.c4.keep.license  none -> string", "c4"),
        ("sources: {dclm: {malformed: drop}}", "sources.dclm.malformed  error -> drop", "dclm"),
        # dclm brings its own scores of that name.
        ("classifiers: {quality: {model: other.bin}}", "classifiers.quality.model  quality.bin -> other.bin", "c4"),
        ("classifiers: {quality: {label: __label__1}}", "classifiers.quality.label  __label__0 -> __label__1", "c4"),
        ("classifiers: {topic: {model: copy.bin}}", "classifiers.topic  none -> {model: copy.bin}", "c4, dclm"),
        ("tokenizer: {file: other.json}", "tokenizer.file  tokenizer.json -> other.json", "c4, dclm"),
    ],
)
def test_what_is_prepared_again(compare: Any, change: str, line: str, again: str) -> None:
    assert compare(change) == [
        "token store",
        f"  {line}  prepares {again} again",
        OVERWRITE,
        f"cost: preparing {again} again, then planning and assembling",
    ]


def test_added_tokens_that_widen_the_ids(compare: Any) -> None:
    large = "tokenizer: {file: large.json}"
    assert compare("tokenizer: {file: large.json, add: [<a>]}", "large.yaml", large) == [
        "recipe",
        key("tokenizer.add", "[] -> [<a>]", "prepares c4, dclm again"),
        OVERWRITE,
        "cost: preparing c4, dclm again, then planning and assembling",
    ]


def test_sources_that_come_and_go(compare: Any) -> None:
    change = """
sources: {dclm: null, web: {format: jsonl, path: web.jsonl}, c4: {path: new/*.gz}}
classifiers: {quality: {label: __label__1}}
mixture: null
"""
    found = compare(change)
    assert [line.split("  ")[-1].strip() for line in found[1:5]] == [
        "reads what is new of c4",
        "plans and assembles without dclm",
        "prepares web",
        "prepares c4 again",
    ]
    assert found[-1] == "cost: preparing c4 again and preparing web, then planning and assembling"


def test_halves_come_one_after_the_other(compare: Any) -> None:
    found = compare("seed: 1\nstore: s\nsources: {c4: {keep: [license]}}")
    assert [line for line in found if not line.startswith("  ")] == [
        "token store",
        "recipe",
        "folders",
        OVERWRITE,
        "cost: preparing c4, dclm in s, as far as it does not hold them, then planning and assembling",
    ]


def test_files_that_are_gone_are_compared_by_path(compare: Any) -> None:
    assert compare("classifiers: {quality: {model: gone.bin}}") == [
        "token store",
        key("classifiers.quality.model", "quality.bin -> gone.bin", "prepares c4 again"),
        "note gone.bin: there is no such file; expected a fastText model; so models and tokenizers are compared by "
        "their paths",
        OVERWRITE,
        "cost: preparing c4 again, then planning and assembling",
    ]
    # Neither half says that anything is stale where the paths are the same.
    gone = "tokenizer: {file: gone.json}"
    assert compare(f"{gone}\nseed: 4", "gone.yaml", gone)[-1] == "cost: planning and assembling"


def test_long_lists_are_shortened(compare: Any, tmp_path: Path) -> None:
    hosts = [f"host-{number}.example" for number in range(1000)]
    before, after = (
        f"phases: [{{name: main, share: 1, select: {{deny: {{host: {json.dumps(listed)}}}}}}}]"
        for listed in (hosts, [*hosts[4:], "new.example"])
    )
    assert compare(after, "long.yaml", before)[1] == key(
        "phases.main.select.0.deny.host",
        "1,000 values -> 997 values, with new.example and without host-0.example, host-1.example, host-2.example "
        "and 1 more",
        "plans and assembles",
    )
    turned = f"phases: [{{name: main, share: 1, select: {{deny: {{host: {json.dumps(hosts[::-1])}}}}}}}]"
    assert "1,000 values -> 1,000 values, in another order" in compare(turned, "long.yaml", before)[1]


def test_long_texts_are_shown_around_what_differs(compare: Any) -> None:
    text = "A long template, of which only one word is another: {host}, and then it goes on and on and on."
    before, after = (
        f'phases: [{{name: main, share: 1, condition: {{template: "{shown}"}}}}]'
        for shown in (text, text.replace("{host}", "{url}"))
    )
    assert compare(after, "text.yaml", before)[1] == key(
        "phases.main.condition.template",
        "...e word is another: {host}, and then it goes on and on and on... -> "
        "...e word is another: {url}, and then it goes on and on and on....",
        "plans and assembles",
    )


def test_a_mistake_in_one_of_the_files(compare: Any) -> None:
    with pytest.raises(BylineError, match=r"b\.yaml"):
        compare("nonsense: 1")


def test_attributes_are_made_where_the_recipe_names_them(compare: Any) -> None:
    before = "attributes: {twins: {kind: duplicates}}"
    change = "attributes: {twins: {kind: duplicates, near: nemo}}"
    effect = "nothing: the recipe names no column of it"
    assert key("attributes.twins.near", "fineweb -> nemo", effect) in compare(change, "c.yaml", before)
    used = "phases: [{name: all, share: 1, select: {drop: [twins]}}]"
    effect = "makes the attribute twins, plans and assembles"
    lines = compare(f"{change}\n{used}", "c.yaml", f"{before}\n{used}")
    assert key("attributes.twins.near", "fineweb -> nemo", effect) in lines
