"""What a source's runs in the token store depend on, and which keys changed.

```
settings      tokenizer.file -> sha256 2c4b...   sources.c4.format -> c4   classifiers.quality.model -> sha256 91d0...
fingerprint   sha256 of the settings as JSON
```

The size of an input file belongs to its runs, not to the fingerprint: a file that changes is read again alone.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from idna import idnadata

from byline.schemas.corpora import Classifier, Source, Tokenizer
from byline.schemas.store import STORE_VERSION
from byline.transforms.corpora.metadata import snapshot_id
from byline.transforms.corpora.reading import TARGET_BYTES
from byline.transforms.formatters.formatting import module_sha256
from byline.transforms.scores.fasttext_file import model_sha256
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def source_settings(
    name: str, source: Source, classifiers: Mapping[str, Classifier], tokenizer: Tokenizer
) -> dict[str, Any]:
    """Everything, by configuration key, that decides the runs of one source.

    Args:
        name: of the source.
        source: its settings.
        classifiers, tokenizer: of the configuration.

    Raises:
        BylineError: a model, the tokenizer or the formatter's module cannot be read.
    """
    settings = settings_by_path(name, source, classifiers, tokenizer)
    for classifier_name, classifier in _scorers(source, classifiers).items():
        settings[f"classifiers.{classifier_name}.model"] = f"sha256 {model_sha256(classifier.model)}"
    settings["tokenizer.file"] = f"sha256 {shared_tokenizer(tokenizer).sha256}"
    # Tokens that are added come from no text, so they change a run only where they widen its ids.
    settings["tokenizer ids"] = str(shared_tokenizer(tokenizer).id_type)
    digest = None if source.formatter is None else module_sha256(name, source.formatter)
    if digest is not None:
        settings[f"sources.{name}.formatter.module"] = f"sha256 {digest}"
    settings["public suffix list"] = snapshot_id()
    settings["IDNA tables"] = idnadata.__version__
    # It decides where chunks end, and those of a file that was read in part before must fit those to come.
    settings["bytes of text in a run"] = TARGET_BYTES
    settings["store version"] = STORE_VERSION
    return settings


def settings_by_path(
    name: str, source: Source, classifiers: Mapping[str, Classifier], tokenizer: Tokenizer
) -> dict[str, Any]:
    """Those of `source_settings` that the configuration gives, with paths in place of contents; reads no file."""
    values = source.model_dump(mode="json", exclude={"path"})
    settings: dict[str, Any] = {f"sources.{name}.{key}": value for key, value in values.items()}
    for classifier_name, classifier in _scorers(source, classifiers).items():
        settings[f"classifiers.{classifier_name}.model"] = classifier.model
        settings[f"classifiers.{classifier_name}.label"] = classifier.label
    if source.formatter is not None:
        # A formatter may put added tokens into a text, by the ids that their order gives them.
        settings["tokenizer.add"] = tokenizer.add
    return {**settings, "tokenizer.file": tokenizer.file}


def _scorers(source: Source, classifiers: Mapping[str, Classifier]) -> dict[str, Classifier]:
    """The classifiers that score a source: all whose score its records do not give."""
    return {name: classifier for name, classifier in classifiers.items() if name not in source.score}


def fingerprint(settings: Mapping[str, Any]) -> str:
    """64 hex digits for the settings of a source."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, sorted."""
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key) or (key in old) != (key in new))
