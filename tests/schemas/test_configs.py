"""Every recipe in `configs/` and every example in the documentation is valid, and says what its name promises."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from byline.schemas.config import Config
from byline.schemas.config_file import load_config, merge, parse_config
from byline.schemas.kinds import classes_below, fields_of
from byline.schemas.mixture_file import inline_files
from byline.schemas.mixtures import METHODS
from byline.schemas.mixtures.reading import read_mixture
from byline.transforms.store.fingerprint import fingerprint, source_settings
from tests.support.corpora import write_model, write_tokenizer

ROOT = Path(__file__).parents[2]
CONFIGS, DOCS = ROOT / "configs", ROOT / "docs"
MIXTURES = sorted(path.name for path in (CONFIGS / "mixtures").glob("*.yaml"))
RECIPES = sorted(
    path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml") if path.parent.name != "mixtures"
)
ABLATION = [name for name in RECIPES if name.startswith("ablation/")]
REAL = ["c4.yaml", "meco.yaml", "quality_top70.yaml", "refinedweb.yaml", "standard.yaml"]


@pytest.fixture(autouse=True)
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a configuration are relative to the folder that a command runs in."""
    monkeypatch.chdir(ROOT)


def recipe(name: str) -> Config:
    return load_config(CONFIGS / name)


def ablation(name: str) -> Config:
    return recipe(f"ablation/{name}.yaml")


def test_the_recipes_are_all_there() -> None:
    assert [name for name in RECIPES if "/" not in name] == sorted(
        [*REAL, "deduplicated.yaml", "filtered.yaml", "quickstart.yaml"]
    )
    assert MIXTURES == ["llama.yaml", "llama_epochs.yaml", "pile.yaml", "pile_epochs.yaml"]
    assert [Path(name).stem for name in ABLATION] == [
        "appended",
        "base",
        "checkpoints",
        "cooldown_10",
        "cooldown_20",
        "cooldown_30",
        "every_segment",
        "full_url",
        "hashed_host",
        "hashed_url",
        "host",
        "markers",
        "mixed",
        "no_cooldown",
        "quality_bins",
        "standard",
        "suffix",
        "top_hosts_0.2",
        "top_hosts_2",
        "topic",
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_has_an_output_of_its_own(name: str) -> None:
    config = recipe(name)
    assert config.output not in [recipe(other).output for other in RECIPES if other != name]


@pytest.mark.parametrize("name", ["meco.yaml", "c4.yaml", "refinedweb.yaml", "quickstart.yaml", "ablation/host.yaml"])
def test_meco_trains_nine_tenths_with_the_host_and_one_without(name: str) -> None:
    conditioned, cooldown = recipe(name).phases
    assert (conditioned.share, cooldown.share) == (Fraction(9, 10), Fraction(1, 10))
    assert conditioned.condition is not None
    assert (conditioned.condition.template, conditioned.condition.position) == ("URL: {host}\n\n", "before")
    assert cooldown.condition is None


@pytest.mark.parametrize("name", REAL)
def test_the_real_recipes_ask_for_160_billion_tokens_in_sequences_of_8192(name: str) -> None:
    config = recipe(name)
    assert (config.tokens, config.sequence.length, config.sequence.packing) == (
        160 * 10**9,
        8192,
        "document_start",
    )


def test_the_baselines_differ_from_meco_in_their_phases_and_output_alone() -> None:
    meco, standard, selected = (recipe(f"{name}.yaml") for name in ("meco", "standard", "quality_top70"))
    assert [(phase.name, phase.share, phase.select) for phase in standard.phases] == [("standard", 1, [])]
    (phase,) = selected.phases
    assert [(step.top, step.by, step.count) for step in phase.select] == [(Fraction(7, 10), "quality", "documents")]
    for baseline in (standard, selected):
        assert baseline.phases[0].condition is None
        assert baseline.model_copy(update={"phases": meco.phases, "output": meco.output}) == meco


# --------------------------------------------------------------------------------------------------------- ablation


@pytest.fixture
def in_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which the files lie that the recipes name."""
    (tmp_path / "out/sample").mkdir(parents=True)
    write_tokenizer(tmp_path / "out/sample/tokenizer.json", ["some text to learn from", "and some more"])
    write_model(tmp_path / "out/sample/quality.bin")
    monkeypatch.chdir(tmp_path)


def test_nothing_of_the_ablation_is_prepared_twice(in_sample: None) -> None:
    base = ablation("base")
    found = {source: fingerprint(source_settings(base, source)) for source in base.sources}
    for name in ABLATION:
        config = recipe(name)
        assert config.store == base.store
        assert {source: fingerprint(source_settings(config, source)) for source in config.sources} == found, name


def test_nor_of_the_curricula(in_sample: None) -> None:
    for base, others in [
        ("quickstart", ["base", "annealing", "annealing_branches", "score_order", "length_order", "temperature"]),
        ("curriculum/text_code_base", ["text_only", "text_code_mixed", "code_then_text", "linear_schedule"]),
    ]:
        first = recipe(f"{base}.yaml")
        for other in others:
            config = recipe(f"curriculum/{other}.yaml")
            assert config.store == first.store
            for source in first.sources:
                assert source_settings(config, source) == source_settings(first, source)


@pytest.mark.parametrize("name", ABLATION)
def test_the_ablation_differs_in_the_recipe_alone(name: str) -> None:
    """One budget, mixture, vocabulary and length, so that a difference between models is one of the recipe."""
    config, base = recipe(name), ablation("base")
    same = {"phases": base.phases, "branches": [], "output": base.output, "sequence": base.sequence}
    # Below what share a field is warned of changes no document.
    same["min_known"] = base.min_known
    assert config.model_copy(update=same) == base
    assert config.sequence.length == base.sequence.length
    assert config.output == f"out/{name.removesuffix('.yaml')}"


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("host", "URL: {host}\n\n"),
        ("full_url", "URL: {url}\n\n"),
        ("suffix", "URL: {suffix}\n\n"),
        ("top_hosts_0.2", "URL: {host}\n\n"),
        ("top_hosts_2", "URL: {host}\n\n"),
        ("hashed_host", "URL: {host_hash}\n\n"),
        ("hashed_url", "URL: {url_hash}\n\n"),
        ("topic", "Topic: {topic}\n\n"),
        ("quality_bins", "Quality: {quality}\n\n"),
    ],
)
def test_the_rows_of_the_table_of_metadata(name: str, template: str) -> None:
    conditioned, cooldown = ablation(name).phases
    assert conditioned.condition is not None
    assert (conditioned.condition.template, cooldown.condition) == (template, None)
    tops: dict[str, Any] = {"top_hosts_0.2": {"host": "0.2%"}, "top_hosts_2": {"host": "2%"}}
    assert conditioned.condition.top == tops.get(name, {})
    assert conditioned.condition.bins == ({"quality": 10} if name == "quality_bins" else {})


def test_the_rows_of_the_tables_of_cooldowns() -> None:
    shares = {
        name: [float(phase.share) for phase in ablation(name).phases]
        for name in ("standard", "no_cooldown", "mixed", "cooldown_10", "cooldown_20", "cooldown_30")
    }
    assert shares == {
        "standard": [1],
        "no_cooldown": [1],
        "mixed": [1],
        "cooldown_10": [0.9, 0.1],
        "cooldown_20": [0.8, 0.2],
        "cooldown_30": [0.7, 0.3],
    }
    mixed = ablation("mixed").phases[0].condition
    assert mixed is not None
    assert mixed.dropout == Fraction(1, 10)
    # Every checkpoint has a cooldown of a tenth of all tokens.
    branches = ablation("checkpoints").branches
    assert [branch.share * branch.at[0] for branch in branches] == [Fraction(1, 10)] * 5


def test_the_variants_of_later_papers() -> None:
    markers, every, appended = (ablation(name).phases[0].condition for name in ("markers", "every_segment", "appended"))
    assert markers is not None
    assert (markers.begin, markers.end, markers.empty, markers.dropout) == ("<boc>", "<eoc>", Fraction(1, 10), 0)
    assert every is not None
    assert (every.position, every.empty, every.dropout) == ("before", 0, Fraction(1, 10))
    assert appended is not None
    assert (appended.position, appended.bins) == ("after", {"quality": 3})
    packings = [ablation(name).sequence.packing for name in ("markers", "every_segment", "appended")]
    assert packings == ["repeat_prefix", "repeat_prefix", "concat"]


# --------------------------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_file_is_a_mixture(name: str) -> None:
    values = yaml.safe_load((CONFIGS / "mixtures" / name).read_text())
    mixture = read_mixture(values)
    assert mixture.method == ("epochs" if "epochs" in name else "weights")
    assert len(mixture.mentioned) == (22 if name.startswith("pile") else 7)
    if mixture.method == "weights":
        assert sum(mixture.weights.values()) == 1
        # The caps are the epochs beside, where these are above one.
        epochs = read_mixture(yaml.safe_load((CONFIGS / "mixtures" / name.replace(".", "_epochs.")).read_text())).epochs
        assert set(epochs) == set(mixture.weights)
        assert mixture.max_epochs == {source: count for source, count in epochs.items() if count > 1}


def test_the_weights_of_the_pile_are_what_its_sizes_and_epochs_give() -> None:
    """Raw sizes in GiB as in the same table; both columns are rounded."""
    sizes = {"pile_cc": 227.12, "pubmed_central": 90.27, "books3": 100.96, "github": 95.16, "wikipedia": 6.38}
    weights = read_mixture(yaml.safe_load((CONFIGS / "mixtures/pile.yaml").read_text())).weights
    epochs = read_mixture(yaml.safe_load((CONFIGS / "mixtures/pile_epochs.yaml").read_text())).epochs
    for name, size in sizes.items():
        assert float(weights[name]) == pytest.approx(size * float(epochs[name]) / 1254.20, abs=1e-4)


# ---------------------------------------------------------------------------------------------------- documentation

EXAMPLE_BASE = {
    "sources": {
        name: {"format": "jsonl", "path": f"{name}/*", "score": {"quality": "score"}}
        for name in ("web", "code", "books")
    },
    "tokenizer": {"file": "tokenizer.json", "bos": "<s>", "eos": "</s>"},
    "phases": [{"name": "all", "share": 1}],
}
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "recipes.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_documentation(text: str) -> None:
    values = merge(EXAMPLE_BASE, yaml.safe_load(text))
    inline_files(values, lambda path: yaml.safe_load(Path(path).read_text()))
    parse_config(values, "docs/recipes.md")


def test_the_documentation_shows_every_method_and_key() -> None:
    text = "\n".join(EXAMPLES)
    for key in (
        "temperature",
        "unimax",
        "epochs",
        "linear",
        "file",
        "names",
        "shortage",
        "select",
        "order",
        "branches",
    ):
        assert key in text, key
    for method in METHODS:
        assert f"`{method}`" in (DOCS / "recipes.md").read_text(), method


Key = tuple[type[BaseModel], str]


def keys_below(model: type[BaseModel], path: str) -> Iterator[tuple[str, Key]]:
    """(path in the documentation, key) of everything that a configuration may hold."""
    for name, field in fields_of(model).items():
        kind = next(kind for kind in classes_below(model) if name in kind.model_fields)
        owner = next(base for base in reversed(kind.__mro__) if name in getattr(base, "model_fields", {}))
        here = f"{path}.{name}" if path else name
        yield here, (owner, name)
        for below, suffix in models_in(field.annotation, ""):
            yield from keys_below(below, here + suffix)


def models_in(annotation: Any, suffix: str) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, suffix
    below = {dict: ".NAME", list: "[]"}.get(getattr(annotation, "__origin__", object), "")
    for argument in get_args(annotation):
        yield from models_in(argument, suffix + below)


def documented() -> list[str]:
    """The keys in the tables of docs/configuration.md."""
    rows = [line for line in (DOCS / "configuration.md").read_text().splitlines() if line.startswith("| `")]
    return [key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_key_is_documented_and_every_documented_key_is_one() -> None:
    """Keys that phases, branches and the recipe share stand in the tables once."""
    keys = dict(keys_below(Config, ""))
    found = documented()
    assert [key for key in found if key not in keys] == []
    assert len(set(found)) == len(found)
    shown = {keys[key] for key in found}
    sections = [path for path in keys if any(key.startswith((f"{path}.", f"{path}[")) for key in found)]
    assert [path for path, key in keys.items() if key not in shown and path not in sections] == []


def test_links_of_the_documentation_lead_somewhere() -> None:
    for file in (DOCS / "recipes.md", DOCS / "configuration.md", CONFIGS / "README.md"):
        for link in re.findall(r"\]\(([^)#]+)", file.read_text()):
            assert link.startswith("http") or (file.parent / link).exists(), f"{file.name}: {link}"
