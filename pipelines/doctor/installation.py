"""What is installed and what the machine has, and all the checks of `byline doctor` in order.

What needs the packages is imported late, as `byline doctor` has to start without them.
"""

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.filesize import decimal

from byline.pipelines.console.doctor_lines import BROKEN, INSTALL, Check, State
from byline.pipelines.doctor.recipe import check_recipe
from byline.pipelines.doctor.runners import check_runners, check_settings
from byline.printable import one_line

OLDEST_PYTHON = (3, 10)
# Distribution -> the module to import.
PACKAGES = {
    "apache-beam": "apache_beam",
    "awkward": "awkward",
    "fasttext-community": "fasttext",
    "gigatoken": "gigatoken",
    "grpcio": "grpc",
    "idna": "idna",
    "mmh3": "mmh3",
    "numba": "numba",
    "numpy": "numpy",
    "orjson": "orjson",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "rich": "rich",
    "tldextract": "tldextract",
    "tokenizers": "tokenizers",
    "typer": "typer",
    "zstandard": "zstandard",
}


def check_all(
    config_path: Path | None,
    runner: str | None = None,
    options: tuple[str, ...] = (),
    settings: Sequence[str] = (),
) -> list[Check]:
    """Every check, in the order of the table.

    Args:
        config_path: a recipe to check as well, or None.
        runner: one whose job server, workers, image and credentials are checked as well, or None.
        options: of Beam, for that runner.
        settings: values of `--set`, for the recipe.
    """
    checks = [*check_python(), *(check_package(name, module) for name, module in PACKAGES.items())]
    is_whole = all(check.state is State.OK for check in checks)
    checks += [*_check_machine(), *check_runners(check_package("apache-beam", "apache_beam"))]
    if runner is not None and is_whole:
        checks += check_settings(runner, options)
    elif options and runner is None:
        checks.append(Check("options", State.FAILED, "--option without --runner: not checked", "give --runner, too"))
    if config_path is not None and is_whole:
        checks += check_recipe(str(config_path), runner, settings)
    elif config_path is not None:
        checks.append(Check("configuration", State.FAILED, "not checked while a package is missing", INSTALL))
    return checks


def check_python() -> Iterator[Check]:
    """Whether this Python is recent enough, and Byline installed."""
    version = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info >= OLDEST_PYTHON:
        yield Check("Python", State.OK, version)
    else:
        yield Check("Python", State.FAILED, version, f"make an environment with Python {oldest} or later")
    try:
        yield Check("byline", State.OK, importlib.metadata.version("byline"))
    except importlib.metadata.PackageNotFoundError:
        yield Check("byline", State.FAILED, "not installed", 'pip install -e ".[build]" in its folder')


def check_package(distribution: str, module: str) -> Check:
    """Whether a needed package is installed and can be imported."""
    try:
        version = importlib.metadata.version(distribution)
        importlib.import_module(module)
    except importlib.metadata.PackageNotFoundError:
        return Check(distribution, State.FAILED, "not installed", INSTALL)
    except BROKEN as error:
        return Check(
            distribution,
            State.FAILED,
            f"{version}, but cannot be imported: {one_line(error)}",
            f"pip install --force-reinstall {distribution}",
        )
    return Check(distribution, State.OK, version)


def _check_machine() -> Iterator[Check]:
    yield Check("cores", State.OK, str(_cores()))
    memory = Path("/proc/meminfo")
    if memory.exists():
        lines = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", memory.read_text(), re.MULTILINE))
        total, available = (1024 * int(lines[key]) for key in ("MemTotal", "MemAvailable"))
        yield Check("memory", State.OK, f"{decimal(available)} free of {decimal(total)}")


def _cores() -> int:
    """Cores that this process may use; a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
