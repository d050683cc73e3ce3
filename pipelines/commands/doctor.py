"""`byline doctor`: what is installed, which runners can start, and whether a recipe's inputs and models can be opened.

```
$ byline doctor configs/meco.yaml
ok  Python         3.11.7
ok  apache-beam    2.77.0
no  fasttext       not installed                        pip install ".[build]" in a clone
-   Dataflow       needs apache_beam's Google packages  pip install "apache-beam[gcp]"
ok  source dclm    12 files, 1.3 GB
no  model quality  quality.bin: no such file            correct classifiers.quality.model in configs/meco.yaml
```

`no` is something that a build needs; `-` is something that only some builds need. What needs the packages is
imported late, as this command has to start without them.
"""

import importlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from byline.errors import BylineError
from byline.pipelines.console.doctor_lines import BROKEN, Check, State, one_line
from byline.pipelines.runners.readiness import check_reach, check_runners, check_settings

if TYPE_CHECKING:
    from byline.schemas.config import Config
    from byline.schemas.corpora import Source

OLDEST_PYTHON = (3, 10)
INSTALL = 'pip install ".[build]" in a clone'
# Distribution -> the module to import.
PACKAGES = {
    "apache-beam": "apache_beam",
    "awkward": "awkward",
    "fasttext-community": "fasttext",
    "gigatoken": "gigatoken",
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
}
# The first four bytes of a fastText model, little-endian (fasttext.cc, FASTTEXT_FILEFORMAT_MAGIC_INT32).
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")

_UNLIMITED = 10_000


def doctor(
    config_path: str | Path | None, console: Console, runner: str | None = None, options: tuple[str, ...] = ()
) -> int:
    """Prints the table.

    Args:
        config_path: a recipe to check as well, or None.
        console: where to.
        runner: one whose job server, workers, image and credentials are looked at as well, or None.
        options: of Beam, for that runner.

    Returns:
        1 if something needed is missing, else 0.
    """
    checks = [*_check_python(), *(check_package(name, module) for name, module in PACKAGES.items())]
    whole = all(check.state is State.OK for check in checks)
    checks += [*_check_machine(), *check_runners(check_package("apache-beam", "apache_beam"))]
    if runner is not None and whole:
        checks += check_settings(runner, options)
    elif options and runner is None:
        checks.append(Check("options", State.FAILED, "--option without --runner: not looked at", "give --runner, too"))
    if config_path is not None and whole:
        checks += check_recipe(str(config_path), runner)
    elif config_path is not None:
        checks.append(Check("configuration", State.FAILED, "not looked at while a package is missing", INSTALL))
    if not console.is_terminal:
        # A pipe or a log has no width; at a made-up one, paths and commands would be cut.
        console.width = max(console.width, _UNLIMITED)
    console.print(_table(checks))
    failed = sum(check.state is State.FAILED for check in checks)
    missing = "1 thing is missing" if failed == 1 else f"{failed} things are missing"
    console.print(missing if failed else "all that is needed is there", highlight=False)
    return 1 if failed else 0


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    styles = {State.OK: "green", State.ABSENT: "dim", State.FAILED: "bold red"}
    # Folded, not cut with dots: a path or a command has to be whole.
    for _ in range(4):
        table.add_column(overflow="fold")
    for check in checks:
        # As `Text`, for a path in brackets is no markup.
        table.add_row(
            Text(check.state.value, styles[check.state]), Text(check.name), Text(check.found), Text(check.mend)
        )
    return table


def _check_python() -> Iterator[Check]:
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
        found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", memory.read_text(), re.MULTILINE))
        total, available = (1024 * int(found[key]) for key in ("MemTotal", "MemAvailable"))
        yield Check("memory", State.OK, f"{_size(available)} free of {_size(total)}")


def _cores() -> int:
    """Cores that this process may use; a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_recipe(path: str, runner: str | None = None) -> Iterator[Check]:
    """Whether a configuration is right, and all that it names can be opened. Needs the packages.

    Args:
        path: the configuration.
        runner: whose workers are to open it, too; None for this machine.
    """
    from byline.pipelines.recipes import load_recipe

    try:
        config = load_recipe(path)
    except BylineError as error:
        yield Check("configuration", State.FAILED, one_line(error), f"edit {path}")
        return
    yield Check("configuration", State.OK, path)
    for name, source in config.sources.items():
        yield _check_source(name, source, path)
    for name, classifier in config.classifiers.items():
        yield check_model(name, classifier.model, path)
    yield from _check_filters(config, path)
    yield _check_tokenizer(config, path)
    for key in ("store", "output"):
        yield from _check_folder(key, getattr(config, key))
    if runner is not None:
        yield from check_reach(runner, config, path)


def _check_source(name: str, source: "Source", path: str) -> Check:
    from byline.transforms.corpora.listing import list_inputs

    try:
        files = list_inputs(name, source)
    except BylineError as error:
        return Check(f"source {name}", State.FAILED, one_line(error), f"correct sources.{name}.path in {path}")
    size = sum(file.size for file in files)
    found = f"{size:,} additions, made" if source.is_made else f"{len(files):,} files, {_size(size)}"
    return Check(f"source {name}", State.OK, found)


def check_model(name: str, model: str, path: str, key: str | None = None) -> Check:
    """Whether a file is a fastText model, by its first bytes; reading it whole may take minutes."""
    mend = f"correct {key or f'classifiers.{name}.model'} in {path}"
    from byline.transforms.files.storage import open_random

    try:
        with open_random(model) as file:
            magic, size = file.read(4), file.size()
    except BylineError as error:
        return Check(f"model {name}", State.FAILED, one_line(error), mend)
    if magic != FASTTEXT_MAGIC:
        return Check(f"model {name}", State.FAILED, f"{model}: not a fastText model (.bin)", mend)
    return Check(f"model {name}", State.OK, f"{model}, {_size(size)}")


def _check_filters(config: "Config", path: str) -> Iterator[Check]:
    """Whether the lists and models of rules can be opened, and their functions imported."""
    from byline.transforms.filters.tables import all_rules

    for where, rule in all_rules(config):
        if (model := rule.files().get("model")) is not None:
            yield check_model(rule.reason, model, path, f"{where}.model")
            continue
        try:
            what = rule.look()
        except BylineError as error:
            yield Check(rule.reason, State.FAILED, one_line(error), f"correct {where} in {path}")
        else:
            if what is not None:
                yield Check(rule.reason, State.OK, what)


def _check_tokenizer(config: "Config", path: str) -> Check:
    from byline.transforms.tokens.text_tokenizer import TextTokenizer, tokenizer_info

    settings = config.tokenizer
    try:
        info = tokenizer_info(TextTokenizer(settings.file, "tokenizers", tuple(settings.add)), settings)
    except BylineError as error:
        return Check("tokenizer", State.FAILED, one_line(error), f"correct tokenizer in {path}")
    return Check(
        "tokenizer", State.OK, f"{settings.file}, {info.vocab_size:,} ids, BOS {info.bos_id}, EOS {info.eos_id}"
    )


def _check_folder(key: str, folder: str) -> Iterator[Check]:
    """Free bytes where a local folder is, or will be; whether an object store answers."""
    from byline.transforms.files import storage

    if "://" in folder:
        try:
            storage.exists(storage.join(folder, "manifest.json"))
        except BylineError as error:
            yield Check(key, State.FAILED, one_line(error), "correct its address, credentials or endpoint")
        else:
            yield Check(key, State.OK, f"{folder}, answers")
        return
    location = Path(folder).absolute()
    while not location.exists():
        location = location.parent
    if os.access(location, os.W_OK):
        yield Check(key, State.OK, f"{folder}, {_size(shutil.disk_usage(location).free)} free")
    else:
        yield Check(
            key,
            State.FAILED,
            f"{folder}: {location} may not be written",
            f"sudo chown $USER {location}, or another {key}",
        )


def _size(count: float) -> str:
    power = 0
    while count >= 1000 and power < 4:
        count, power = count / 1000, power + 1
    return f"{count:,.1f} {'kMGT'[power - 1]}B" if power else f"{count:,.0f} B"
