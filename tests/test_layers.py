"""The arrows between the folders point one way: pipelines -> transforms -> schemas -> byline.

Inside `transforms/`, too: a package imports only those that stand before it in `PACKAGES`.

`byline/` is what a trainer installs, so it gets by with pyarrow, numpy and the standard library; an adapter may import
its trainer. A DoFn in an entry module would be pickled with that module, so `pipelines/` has none.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["byline", "schemas", "transforms", "pipelines"]
PACKAGES = ["files", "documents", "corpora", "scores", "filters", "formatters", "tokens", "store", "fields", "scans"]
PACKAGES += ["shards", "plans", "weights", "checks"]
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def layer_of(module: str) -> str:
    """`byline.schemas.config` -> `schemas`, `byline.reader` -> `byline`, `numpy.typing` -> `numpy`."""
    top, *below = module.split(".")
    return below[0] if top == "byline" and below and below[0] in LAYERS else top


def imported(source: str) -> Iterator[str]:
    """Layers and top-level names of all that a source imports, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (layer_of(alias.name) for alias in node.names)
        # A relative import stays in its own layer.
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "byline":
            yield from (layer_of(f"byline.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield layer_of(node.module)


def forbidden(path: Path, source: str) -> set[str]:
    """What a file at `path` (relative to the root) imports against the rules."""
    layer, names = path.parts[0], set(imported(source))
    if layer != "byline":
        return names & {*LAYERS[LAYERS.index(layer) + 1 :], "tests", "benchmarks"}
    trainers = {"torch"} if path.parts[1] == "adapters" else set()
    return names - set(sys.stdlib_module_names) - {"byline", "numpy", "pyarrow"} - trainers


def later_packages(package: str, source: str) -> set[str]:
    """Packages of `transforms/` that a module of one of them imports though they stand behind it."""
    modules = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    modules += [a.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for a in node.names]
    imported_packages = {name.split(".")[2] for name in modules if name.startswith("byline.transforms.")}
    return imported_packages & set(PACKAGES[PACKAGES.index(package) + 1 :])


def classes_of(source: str, base: str) -> list[str]:
    """Names of the classes that name `base` (`DoFn`, `beam.DoFn`) among their bases."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if any(ast.unparse(item).split(".")[-1] == base for item in node.bases)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_its_own_layer_and_those_below(path):
    assert forbidden(path.relative_to(ROOT), path.read_text(encoding="utf-8")) == set()


def test_every_package_of_transforms_has_its_place():
    assert sorted(path.parent.name for path in (ROOT / "transforms").glob("*/__init__.py")) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_none_behind_it(package):
    files = sorted((ROOT / "transforms" / package).glob("*.py"))
    found = {path.name: later_packages(package, path.read_text(encoding="utf-8")) for path in files}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    ("package", "source", "found"),
    [
        ("store", "from byline.transforms.files.storage import join\nimport byline.transforms.documents.coder", set()),
        (
            "store",
            "from byline.transforms.plans import planning\nfrom byline.transforms.shards.packing import pack",
            {"plans", "shards"},
        ),
        ("files", "def late():\n    import byline.transforms.documents.coder", {"documents"}),
    ],
)
def test_the_rule_for_packages_finds_what_is_forbidden(package, source, found):
    assert later_packages(package, source) == found


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").rglob("*.py")), ids=lambda path: path.name)
def test_an_entry_module_holds_no_dofn(path):
    assert classes_of(path.read_text(encoding="utf-8"), "DoFn") == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("byline/reader.py", "import numpy as np\nimport pyarrow.ipc\nimport json\nfrom byline.shards import X", set()),
        ("byline/reader.py", "import torch", {"torch"}),
        ("byline/adapters/pytorch.py", "import torch.utils.data", set()),
        ("byline/adapters/pytorch.py", "from byline.schemas.config import Config", {"schemas"}),
        ("schemas/config.py", "import pydantic\nfrom byline.errors import BylineError", set()),
        ("schemas/config.py", "def late():\n    from byline.transforms.files import storage", {"transforms"}),
        ("transforms/shards/packing.py", "import byline.pipelines.cli", {"pipelines"}),
        ("transforms/shards/packing.py", "from tests.support.shards import rows\nfrom . import storage", {"tests"}),
        ("pipelines/cli.py", "from byline.transforms.files import storage\nfrom byline.schemas import config", set()),
    ],
)
def test_the_rules_find_what_is_forbidden(path, source, found):
    assert forbidden(Path(path), source) == found


def test_a_dofn_is_found_under_either_name():
    source = "class A(beam.DoFn): ...\nclass B(DoFn): ...\nclass C(beam.PTransform): ..."
    assert classes_of(source, "DoFn") == ["A", "B"]
