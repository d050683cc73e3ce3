"""docs/formats.md names the version of each kind of file, and where it stands in the code."""

import re
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| (?P<file>[\w ]+) \| (?P<version>\d+) \| `(?P<name>[A-Z_]+)` in `(?P<path>[\w/]+)\.py`", re.MULTILINE
)


def test_the_table_of_versions_is_the_code() -> None:
    rows = ROW.findall((ROOT / "docs/formats.md").read_text(encoding="utf-8"))
    assert [file for file, *_ in rows] == [
        "shard",
        "manifest",
        "run of the token store",
        "plan",
        "manifest of an export",
    ]
    for file, version, name, path in rows:
        module = import_module("byline." + path.removeprefix("byline/").replace("/", "."))
        assert getattr(module, name) == int(version), file
