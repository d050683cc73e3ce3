"""A build does not care what the user's own folder holds: names of Byline's folders, and of libraries that it imports.

```
mine/schemas.py  mine/schemas/  mine/pipelines/__init__.py  mine/transforms/  mine/tokenizers.py  mine/utils/
```
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builds import digests
from tests.support.corpora import Corpus, recipe, write_recipe

NAMES = ["schemas.py", "tokenizers.py", "numpy.py", "pipelines/__init__.py", "transforms/__init__.py"]
NAMES += ["schemas/__init__.py", "utils/__init__.py", "tests/__init__.py", "pyarrow/__init__.py"]
BYLINE = Path(sys.executable).with_name("byline")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which every import of a name that Byline uses would fail."""
    for name in NAMES:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise AssertionError(f'{__name__} is the user\\'s own')\n")
    return tmp_path / "mine"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_in_a_folder_of_the_users_own_modules(
    corpus: Corpus, built: Path, folder: Path, tmp_path: Path, workers: int
) -> None:
    path = write_recipe(tmp_path / "recipe.yaml", recipe(corpus, tmp_path / "out"))
    words = [BYLINE, "build", path, "--workers", str(workers)]
    unset = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=folder, env=unset, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert digests(tmp_path / "out/shards") == digests(built)


def test_the_folders_of_a_checkout_are_imported_under_one_name() -> None:
    root = Path(__file__).parents[2]
    for name in ("schemas", "transforms", "pipelines"):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=root, capture_output=True, text=True)
        assert f"ImportError: {name}: import byline.{name} instead" in done.stderr
