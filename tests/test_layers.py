"""The arrows between the folders point one way: pipelines -> transforms -> schemas -> byline.

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
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Top-level names of all that a source imports, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        # A relative import stays in its own layer.
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def forbidden(path: Path, source: str) -> set[str]:
    """What a file at `path` (relative to the root) imports against the rules."""
    layer, names = path.parts[0], set(imported(source))
    if layer != "byline":
        return names & {*LAYERS[LAYERS.index(layer) + 1 :], "tests", "benchmarks"}
    trainers = {"torch"} if path.parts[1] == "adapters" else set()
    return names - set(sys.stdlib_module_names) - {"byline", "numpy", "pyarrow"} - trainers


def classes_of(source: str, base: str) -> list[str]:
    """Names of the classes that name `base` (`DoFn`, `beam.DoFn`) among their bases."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if any(ast.unparse(item).split(".")[-1] == base for item in node.bases)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_its_own_layer_and_those_below(path):
    assert forbidden(path.relative_to(ROOT), path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").rglob("*.py")), ids=lambda path: path.name)
def test_an_entry_module_holds_no_dofn(path):
    assert classes_of(path.read_text(encoding="utf-8"), "DoFn") == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("byline/reader.py", "import numpy as np\nimport pyarrow.ipc\nimport json\nfrom byline.shards import X", set()),
        ("byline/reader.py", "import torch", {"torch"}),
        ("byline/adapters/pytorch.py", "import torch.utils.data", set()),
        ("byline/adapters/pytorch.py", "from schemas.config import Config", {"schemas"}),
        ("schemas/config.py", "import pydantic\nfrom byline.errors import BylineError", set()),
        ("schemas/config.py", "def late():\n    from transforms import storage", {"transforms"}),
        ("transforms/packing.py", "import pipelines.cli", {"pipelines"}),
        ("transforms/packing.py", "from tests.shards import rows\nfrom . import storage", {"tests"}),
        ("pipelines/cli.py", "from transforms import storage\nfrom schemas import config", set()),
    ],
)
def test_the_rules_find_what_is_forbidden(path, source, found):
    assert forbidden(Path(path), source) == found


def test_a_dofn_is_found_under_either_name():
    source = "class A(beam.DoFn): ...\nclass B(DoFn): ...\nclass C(beam.PTransform): ..."
    assert classes_of(source, "DoFn") == ["A", "B"]
