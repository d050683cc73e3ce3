"""Whether a recipe is valid, and all that it names can be opened, on this machine and by a runner's workers.

What needs the packages is imported late, as `byline doctor` has to start without them.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.filesize import decimal

from byline.errors import BylineError
from byline.manifest import FILE_NAME
from byline.pipelines.console.doctor_lines import Check, State
from byline.pipelines.doctor.runners import check_reach
from byline.printable import one_line

if TYPE_CHECKING:
    from byline.schemas.config import Config
    from byline.schemas.corpora import Source

# The first four bytes of a fastText model, little-endian (fasttext.cc, FASTTEXT_FILEFORMAT_MAGIC_INT32).
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")


def check_recipe(path: str, runner: str | None = None, settings: Sequence[str] = ()) -> Iterator[Check]:
    """Whether a configuration is valid, all that it names can be opened, and some records work. Needs the packages.

    Args:
        path: the configuration.
        runner: whose workers are to open it, too; None for this machine.
        settings: values of `--set`.
    """
    from byline.pipelines.recipes import load_recipe

    try:
        config = load_recipe(path, settings)
    except BylineError as error:
        yield Check("configuration", State.FAILED, one_line(error), f"edit {path}")
        return
    yield Check("configuration", State.OK, path)
    opened = [_check_source(name, source, path) for name, source in config.sources.items()]
    opened += [check_model(name, classifier.model, path) for name, classifier in config.classifiers.items()]
    opened += [*_check_filters(config, path), _check_tokenizer(config, path)]
    yield from opened
    if all(check.state is State.OK for check in opened):
        yield from _try_records(config, path)
    for key in ("store", "output"):
        yield from _check_folder(key, getattr(config, key))
    if runner is not None:
        yield from check_reach(runner, config, path)


def _try_records(config: "Config", path: str) -> Iterator[Check]:
    from byline.pipelines.doctor.source_trial import try_sources
    from byline.transforms.files.refusals import scratch_folder

    # Folded models do not belong in the store before anything is prepared with them.
    with scratch_folder("doctor") as folder:
        yield from try_sources(config, path, folder)


def _check_source(name: str, source: "Source", path: str) -> Check:
    from byline.transforms.corpora.listing import list_inputs

    try:
        files = list_inputs(name, source)
    except BylineError as error:
        return Check(f"source {name}", State.FAILED, one_line(error), f"correct sources.{name}.path in {path}")
    size = sum(file.size for file in files)
    found = f"{size:,} additions, made" if source.is_made else f"{len(files):,} files, {decimal(size)}"
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
    return Check(f"model {name}", State.OK, f"{model}, {decimal(size)}")


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
    from byline.transforms.fields.placeholders import placeholder_ids
    from byline.transforms.tokens.text_tokenizer import TextTokenizer, tokenizer_info

    settings = config.tokenizer
    try:
        tokenizer = TextTokenizer(settings.file, "tokenizers", tuple(settings.add), settings.text_only)
        info = tokenizer_info(tokenizer, settings)
        placeholder_ids(config, tokenizer)
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
            storage.exists(storage.join(folder, FILE_NAME))
        except BylineError as error:
            yield Check(key, State.FAILED, one_line(error), "correct its address, credentials or endpoint")
        else:
            yield Check(key, State.OK, f"{folder}, answers")
        return
    location = Path(folder).absolute()
    while not location.exists():
        location = location.parent
    if os.access(location, os.W_OK):
        yield Check(key, State.OK, f"{folder}, {decimal(shutil.disk_usage(location).free)} free")
    else:
        yield Check(
            key,
            State.FAILED,
            f"{folder}: {location} may not be written",
            f"sudo chown $USER {location}, or another {key}",
        )
