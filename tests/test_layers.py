"""What import-linter cannot be told of the layers (pyproject.toml has the rest), and that it finds what is forbidden.

`byline/` without its links is what a trainer installs, so it gets by with pyarrow, numpy and the standard library; an
adapter may import its trainer. A DoFn in an entry module would be pickled with that module, so `pipelines/` has none.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
BUILD_SIDE = ("byline.lab", "byline.pipelines", "byline.schemas", "byline.transforms")


def classes_of(source: str, base: str) -> list[str]:
    """Names of the classes that name `base` (`DoFn`, `beam.DoFn`) among their bases."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if any(ast.unparse(item).split(".")[-1] == base for item in node.bases)]


@pytest.fixture(scope="module")
def graph():
    """Every import of every module, those inside functions included."""
    return grimp.build_graph("byline", include_external_packages=True, cache_dir=None)


def test_all_five_folders_are_seen(graph):
    files = [
        path for name in ("byline", "lab", "pipelines", "schemas", "transforms") for path in (ROOT / name).rglob("*.py")
    ]
    modules = [module for module in graph.modules if not graph.is_module_squashed(module)]
    assert len(modules) == len(files)


def test_a_trainer_needs_numpy_and_pyarrow_alone(graph):
    needed = {
        name: [
            imported
            for imported in graph.find_modules_directly_imported_by(name)
            if graph.is_module_squashed(imported) and imported not in sys.stdlib_module_names
        ]
        for name in graph.modules
        if name.split(".")[0] == "byline" and not name.startswith(BUILD_SIDE)
    }
    # An adapter may import its trainer.
    adapters = {name: needed.pop(name) for name in list(needed) if name.startswith("byline.adapters.")}
    assert set(adapters["byline.adapters.torch"]) == {"numpy", "torch"}
    assert {imported for names in needed.values() for imported in names} == {"numpy", "pyarrow"}


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").rglob("*.py")), ids=lambda path: path.name)
def test_an_entry_module_holds_no_dofn(path):
    assert classes_of(path.read_text(encoding="utf-8"), "DoFn") == []


def imported_at_once(source: str) -> set[str]:
    """What a module imports when it is imported, less what only a type checker sees."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_beam_is_imported_by_what_only_a_pipeline_needs():
    """So that a command with nothing to run goes without (tests/pipelines/test_start_up.py)."""
    allowed = {f"transforms/documents/{name}.py" for name in ("beam_counters", "coder", "work_lists")}
    found = set()
    for folder in ("transforms", "pipelines"):
        for path in (ROOT / folder).rglob("*.py"):
            imported = imported_at_once(path.read_text(encoding="utf-8"))
            if any(name.split(".")[0] in ("apache_beam", "grpc") or "_transform" in name for name in imported):
                found.add(path.relative_to(ROOT).as_posix())
    assert allowed <= found
    others = {path for path in found - allowed if not path.endswith("_transform.py")}
    assert {path.rpartition("/")[0] for path in others} == {"pipelines/runners", "pipelines/wiring"}, others


def test_wiring_is_imported_where_there_is_something_to_run():
    for path in (ROOT / "pipelines").rglob("*.py"):
        if path.parent.name != "wiring":
            imported = imported_at_once(path.read_text(encoding="utf-8"))
            assert not any(name.startswith("byline.pipelines.wiring") for name in imported), path


def test_a_dofn_is_found_under_either_name():
    source = "class A(beam.DoFn): ...\nclass B(DoFn): ...\nclass C(beam.PTransform): ..."
    assert classes_of(source, "DoFn") == ["A", "B"]


PLANTED = {
    "byline/__init__.py": "from byline import transforms",
    "byline/reader.py": "def late():\n    import byline.schemas.config",
    "schemas/plan.py": "from byline.transforms.files import storage\nfrom tests.support import small",
    "transforms/shards/filling.py": "import byline.pipelines.cli",
    "transforms/store/store_index.py": "from byline.transforms.plans import planning",
    "transforms/unlisted/__init__.py": "",
    "lab/study.py": "import byline.lab.running",
    "pipelines/commands/lab.py": "import byline.lab.study",
}


def test_what_is_forbidden_is_found(tmp_path):
    for name in ("byline", "lab", "pipelines", "schemas", "transforms"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, lines in PLANTED.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        with open(tmp_path / path, "a", encoding="utf-8") as file:
            file.write(f"\n{lines}\n")
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "0 kept, 5 broken" in done.stdout
    for line in (
        "byline is not allowed to import byline.transforms:",
        "byline.reader -> byline.schemas.config",
        "byline.schemas.plan -> byline.transforms.files.storage",
        "byline.schemas.plan -> tests",
        "byline.transforms.shards.filling -> byline.pipelines.cli",
        "byline.transforms.store.store_index -> byline.transforms.plans.planning",
        "- byline.transforms.unlisted",
        "byline.lab.study -> byline.lab.running",
        "byline.pipelines.commands.lab -> byline.lab.study",
    ):
        assert line in done.stdout
