"""The settings that a source's runs in the token store depend on, and which of them changed.

```
settings       tokenizer.file -> sha256 2c4b...   sources.c4.format -> c4    classifiers.quality.model -> sha256 91d0...
fingerprint    sha256 of the settings as JSON
```

The size and time of an input file belong to its runs, not to the fingerprint: only a file that changes is read again.
"""

import hashlib
import json
from typing import Any

from idna import idnadata

from byline.schemas.config import Config
from byline.schemas.layouts import LAYOUTS
from byline.schemas.store import STORE_VERSION
from byline.transforms.corpora.chunks import RECORD_BYTES, TARGET_BYTES
from byline.transforms.corpora.folder_keys import keys_of_root
from byline.transforms.corpora.suffix_snapshot import snapshot_id
from byline.transforms.documents.own_functions import module_sha256
from byline.transforms.files.checksums import sha256_of
from byline.transforms.filters.rules import Rule
from byline.transforms.filters.tables import columns_of, common_rules, own_rules
from byline.transforms.formatters.opening import formatter_sha256
from byline.transforms.scores.models_folder import A_MODEL, models_folder
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def source_settings(config: Config, source: str) -> dict[str, Any]:
    """Everything, by configuration key, that decides the runs of one source."""
    runs_depend_on = {**settings_by_path(config, source), **_filter_settings(config, source, with_files=True)}
    for name, classifier in config.classifiers.items():
        if name not in config.sources[source].score:
            digest = sha256_of(classifier.model, models_folder(config.store), what=A_MODEL)
            runs_depend_on[f"classifiers.{name}.model"] = f"sha256 {digest}"
    runs_depend_on["tokenizer.file"] = f"sha256 {shared_tokenizer(config.tokenizer).sha256}"
    # Added tokens come from no text, so they change a run only if they widen its ids.
    runs_depend_on["tokenizer ids"] = str(shared_tokenizer(config.tokenizer).id_type)
    # Tokens that texts would become if the configuration did not name them: the file does not call them special, or
    # they are ordinary pieces.
    kept_text = shared_tokenizer(config.tokenizer).kept_text
    if kept_text:
        runs_depend_on["tokenizer sentinels"] = list(kept_text)
    if keys := keys_of_root(config.sources[source]):
        runs_depend_on[f"sources.{source}.path"] = keys
    if made := config.sources[source].made_fields:
        runs_depend_on[f"sources.{source}, made fields"] = made
    layout = config.sources[source].format
    if layout not in LAYOUTS:
        digest = module_sha256(f"sources.{source}.format", layout)
        runs_depend_on[f"sources.{source}.format.module"] = f"sha256 {digest}"
    formatter = config.sources[source].formatter
    formatter_digest = None if formatter is None else formatter_sha256(source, formatter)
    if formatter_digest is not None:
        runs_depend_on[f"sources.{source}.formatter.module"] = f"sha256 {formatter_digest}"
    runs_depend_on["public suffix list"] = snapshot_id()
    runs_depend_on["IDNA tables"] = idnadata.__version__
    # It decides where chunks end, so chunks still to be read of a file must be cut like those already in the store.
    runs_depend_on["bytes of a run"] = TARGET_BYTES
    runs_depend_on["bytes of a record"] = RECORD_BYTES
    runs_depend_on["store version"] = STORE_VERSION
    return runs_depend_on


def settings_by_path(config: Config, source: str) -> dict[str, Any]:
    """Those of the settings that the configuration contains, with paths instead of hashes of files; reads no file."""
    settings = config.sources[source].model_dump(mode="json", exclude={"path", "filter", "max_rejected", "damaged"})
    runs_depend_on: dict[str, Any] = {f"sources.{source}.{key}": value for key, value in settings.items()}
    for name, classifier in config.classifiers.items():
        if name not in config.sources[source].score:
            runs_depend_on[f"classifiers.{name}.model"] = classifier.model
            runs_depend_on[f"classifiers.{name}.label"] = classifier.label
    formatter = config.sources[source].formatter
    if formatter is not None:
        # A formatter may put added tokens into a text, and their order determines their ids.
        runs_depend_on["tokenizer.add"] = formatter.added_tokens(config.tokenizer.add)
    return {**runs_depend_on, **_filter_settings(config, source), "tokenizer.file": config.tokenizer.file}


def _filter_settings(config: Config, source: str, *, with_files: bool = False) -> dict[str, Any]:
    """The rules of a source, all settings written out; none for a source without.

    Args:
        config: the configuration.
        source: the source's name.
        with_files: whether files stand with what is in them, and rules with the versions of what they use.
    """
    columns = columns_of(config, source)
    rules = {"filter": common_rules(config, columns), f"sources.{source}.filter": own_rules(config, columns)}
    folder = models_folder(config.store) if with_files else None
    return {key: [_rule_settings(rule, folder) for rule in listed] for key, listed in rules.items() if listed}


def _rule_settings(rule: Rule, checksums: str | None) -> dict[str, Any]:
    """Its settings; where there is a folder of checksums, with what is in files."""
    settings = {"rule": rule.kind, **rule.model_dump(mode="json", exclude_none=True)}
    if checksums is not None:
        settings |= {setting: f"sha256 {sha256_of(uri, checksums)}" for setting, uri in rule.files().items()}
        settings |= rule.versions()
    return settings


def fingerprint(runs_depend_on: dict[str, Any]) -> str:
    """The fingerprint of the settings: 64 hex digits."""
    return hashlib.sha256(json.dumps(runs_depend_on, sort_keys=True).encode()).hexdigest()


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The keys whose values differ, sorted."""
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key) or (key in old) != (key in new))
