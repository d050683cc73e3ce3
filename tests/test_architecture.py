"""docs/architecture.md is true: what its tables name is there, and `CONTRIBUTING.md` and the hooks name what runs.

A cell names files and folders, then what is in them: the last file before a bare name has to define it.

```
| another mixture method | `schemas/mixtures/__init__.py` (`METHODS`) |
                            ^ is there                     ^ is defined in schemas/mixtures/__init__.py
```
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
PATH = re.compile(r"[\w./-]+/[\w./-]*")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(table: str) -> list[list[str]]:
    """The cells of the rows of a Markdown table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def defined(source: str) -> set[str]:
    """Names that a module defines, and `Class.name` for what its classes do."""

    def names(body: list[ast.stmt]) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.AnnAssign):
                yield ast.unparse(node.target)
            elif isinstance(node, ast.Assign):
                yield from map(ast.unparse, node.targets)

    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {*names(tree.body), *(f"{one.name}.{name}" for one in classes for name in names(one.body))}


def missing(cell: str, root: Path) -> list[str]:
    """What a cell names and the repository lacks."""
    lacking, names = [], set()
    for name in CODE.findall(cell):
        if PATH.fullmatch(name):
            if not (root / name).exists():
                lacking.append(name)
            elif name.endswith(".py"):
                names = defined((root / name).read_text(encoding="utf-8"))
        elif name not in names:
            lacking.append(name)
    return lacking


@pytest.mark.parametrize("row", rows(section(ARCHITECTURE, "Where to change what")), ids=lambda row: row[0])
def test_what_a_change_touches_is_there(row: list[str]) -> None:
    assert len(row) == 2
    assert CODE.search(row[1]), "names no file"
    assert missing(row[1], ROOT) == []


@pytest.mark.parametrize(
    ("cell", "lacking"),
    [
        ("`one.py` (`f`, `C.x`), `folder/`, and `folder/two.py` (`SIZE`)", ["one.py", "f", "C.x"]),
        ("`folder/one.py` (`f`, `C.x`, `C.y`, `g`)", ["C.y", "g"]),
        ("`folder/three.py` (`f`)", ["folder/three.py", "f"]),
        ("`folder/one.py`, `folder/two.py` (`f`)", ["f"]),
    ],
)
def test_what_is_not_there_is_found(tmp_path: Path, cell: str, lacking: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/one.py").write_text("def f(): ...\nclass C:\n    x: int\n")
    (tmp_path / "folder/two.py").write_text("SIZE = 1\n")
    assert missing(cell, tmp_path) == lacking


def test_the_packages_of_transforms_are_those_on_disk() -> None:
    listed = [cells[0].strip("`/") for cells in rows(section(ARCHITECTURE, "Packages of transforms"))]
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "transforms").glob("*/__init__.py"))
    layers = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split('containers = ["byline.transforms"]')[1]
    assert listed[::-1] == re.findall(r'^    "(\w+)",$', layers.split("layers = [")[1].split("]")[0], re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a Markdown file's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "configs/README.md"],
    ids=lambda path: path.name,
)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file = path.parent / target if target else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_the_hooks_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint: setup\n")[1].split("\n\n")[0]
    commands = [line.strip() for line in recipe.splitlines() if "$(BIN)" in line]
    assert [hook["entry"] for hook in hooks[0]["hooks"]] == [line.replace("$(BIN)", ".venv/bin") for line in commands]


def test_contributing_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(" ".join(re.findall(r"^([a-z -]+):", makefile, re.MULTILINE)).split())
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= known
    paths = re.findall(r"\b(?:tests|docs|configs)/[\w/.]*\w(?![\w*])", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
