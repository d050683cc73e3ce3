"""What a source's part of the token store depends on, and which key changed.

```
parts        tokenizer.file -> sha256 2c4b...      sources.c4.format -> c4      classifiers.quality.model -> sha256
91d0... fingerprint  sha256 of the parts as JSON
```

The size of an input file belongs to its runs, not to the fingerprint: a file that changes is read again alone.
"""

import hashlib
import json
from typing import Any

from idna import idnadata

from byline.schemas.config import Config
from byline.schemas.store import STORE_VERSION
from byline.transforms.corpora.metadata import snapshot_id
from byline.transforms.corpora.reading import TARGET_BYTES
from byline.transforms.filters.rules import Rule
from byline.transforms.filters.tables import columns_of, common_rules, own_rules
from byline.transforms.formatters.formatting import module_sha256
from byline.transforms.scores.fasttext_file import file_sha256, model_sha256
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def source_parts(config: Config, source: str) -> dict[str, Any]:
    """Everything, by configuration key, that decides the runs of one source."""
    parts = {**parts_by_path(config, source), **_filter_parts(config, source, with_files=True)}
    for name, classifier in config.classifiers.items():
        if name not in config.sources[source].score:
            parts[f"classifiers.{name}.model"] = f"sha256 {model_sha256(classifier.model)}"
    parts["tokenizer.file"] = f"sha256 {shared_tokenizer(config.tokenizer).sha256}"
    # Tokens that are added come from no text, so they change a run only where they widen its ids.
    parts["tokenizer ids"] = str(shared_tokenizer(config.tokenizer).id_type)
    rewrite = config.sources[source].rewrite
    digest = None if rewrite is None else module_sha256(source, rewrite)
    if digest is not None:
        parts[f"sources.{source}.rewrite.module"] = f"sha256 {digest}"
    parts["public suffix list"] = snapshot_id()
    parts["IDNA tables"] = idnadata.__version__
    # Chunks are numbered by it, and those of a file that was read in part before must fit those to come.
    parts["bytes of text in a run"] = TARGET_BYTES
    parts["store version"] = STORE_VERSION
    return parts


def parts_by_path(config: Config, source: str) -> dict[str, Any]:
    """What of these the configuration says, with paths in place of what is in the files; reads none of them."""
    settings = config.sources[source].model_dump(mode="json", exclude={"path", "filter"})
    parts: dict[str, Any] = {f"sources.{source}.{key}": value for key, value in settings.items()}
    for name, classifier in config.classifiers.items():
        if name not in config.sources[source].score:
            parts[f"classifiers.{name}.model"] = classifier.model
            parts[f"classifiers.{name}.label"] = classifier.label
    if config.sources[source].rewrite is not None:
        # A rewrite may put added tokens into a text, by the ids that their order gives them.
        parts["tokenizer.add"] = config.tokenizer.add
    return {**parts, **_filter_parts(config, source), "tokenizer.file": config.tokenizer.file}


def _filter_parts(config: Config, source: str, *, with_files: bool = False) -> dict[str, Any]:
    """The rules of a source, all settings written out; none for a source without.

    Args:
        config: the configuration.
        source: the source's name.
        with_files: whether files stand with what is in them, and rules with the versions of what they use.
    """
    columns = columns_of(config, source)
    rules = {"filter": common_rules(config, columns), f"sources.{source}.filter": own_rules(config, columns)}
    return {key: [_rule_parts(rule, with_files) for rule in listed] for key, listed in rules.items() if listed}


def _rule_parts(rule: Rule, with_files: bool) -> dict[str, Any]:
    parts = {"rule": rule.kind, **rule.model_dump(mode="json", exclude_none=True)}
    if with_files:
        parts |= {setting: f"sha256 {file_sha256(uri)}" for setting, uri in rule.files().items()}
        parts |= rule.versions()
    return parts


def fingerprint(parts: dict[str, Any]) -> str:
    """64 hex digits for the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The keys whose values differ, sorted."""
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key) or (key in old) != (key in new))
