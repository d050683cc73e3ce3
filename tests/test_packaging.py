"""What is built and installed: every package, through the links in `byline/`, and a type error in none of them."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKS = ("lab", "pipelines", "schemas", "transforms")
FOLDERS = ("byline", *LINKS)
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def packages_on_disk() -> set[str]:
    """Dotted names of all folders that hold modules, as they are imported."""
    folders = {path.parent.relative_to(ROOT) for name in FOLDERS for path in (ROOT / name).rglob("*.py")}
    return {".".join(folder.parts if folder.parts[0] == "byline" else ("byline", *folder.parts)) for folder in folders}


def test_pyproject_lists_every_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)
    assert set(listed) == packages_on_disk(), "correct [tool.setuptools] packages in pyproject.toml"


def test_the_links_are_links():
    for name in LINKS:
        assert (ROOT / "byline" / name).is_symlink(), f"byline/{name}: no link; git config core.symlinks true"
        assert (ROOT / "byline" / name).resolve() == ROOT / name


def test_the_image_has_what_the_links_lead_to():
    copied = [line.split()[1:] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in FOLDERS:
        assert [name, name] in copied
        assert name not in ignored


def test_a_planted_type_error_is_found_in_each_folder(tmp_path):
    """mypy by this configuration, over the five folders with nothing else in them, which takes it seconds."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "planted.py").write_text('COUNT: int = "one"\n')
    for name in LINKS:
        (tmp_path / "byline" / name).symlink_to(f"../{name}")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True, check=False)
    *lines, summary = done.stdout.splitlines()
    assert summary.startswith("Found 5 errors in 5 files")
    assert sorted(line.split(": ")[0] for line in lines) == [
        "byline/lab/planted.py:1",
        "byline/pipelines/planted.py:1",
        "byline/planted.py:1",
        "byline/schemas/planted.py:1",
        "byline/transforms/planted.py:1",
    ]
