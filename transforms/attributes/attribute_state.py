"""Which attributes of a configuration the token store has, whole or in part, and where.

```
attributes  topic: {kind: classifier, model: topics.bin}        fingerprint 91c3... of the settings and the model
STORE/web/5f3e.../            a-00000.arrow  b-00000.arrow
STORE/web/5f3e.../attributes/topic/91c3.../  a-00000.arrow     attribute.json     missing: b
```
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.field_counts import FieldCounts, total_fields
from byline.schemas.store import RunFile
from byline.transforms.attributes.aligning import read_counts
from byline.transforms.attributes.kinds import kind_named
from byline.transforms.fields.field_use import field_uses
from byline.transforms.files import storage
from byline.transforms.store.attribute_columns import ATTRIBUTES_FOLDER, beside
from byline.transforms.store.state import StoreState

SETTINGS_FILE = "attribute.json"


@dataclass(frozen=True)
class AttributeState:
    """One attribute as the token store has it.

    Attributes:
        name: of the attribute.
        fingerprint: of what its values depend on (64 hex digits).
        depends_on: that, by key.
        folder: beside the runs of each source, relative to theirs.
        files: of its sources, the files of the token store.
        missing: those of them beside which it has no file.
    """

    name: str
    fingerprint: str
    depends_on: dict[str, Any]
    folder: str
    files: list[RunFile]
    missing: list[RunFile]

    @property
    def is_whole(self) -> bool:
        """Whether it has a file beside each run."""
        return not self.missing

    def file_of(self, run: RunFile) -> str:
        """The address of its file beside a run."""
        return beside(run.uri, self.folder)

    @cached_property
    def counts(self) -> dict[str, dict[str, FieldCounts]]:
        """Source -> column -> how many documents have a value, of a whole one: from the end of each of its files."""
        sources = sorted({file.source for file in self.files})
        return {
            source: total_fields(
                storage.side_by_side(read_counts, [self.file_of(file) for file in self.files if file.source == source])
            )
            for source in sources
        }


def read_attribute(config: Config, state: StoreState, name: str) -> AttributeState:
    """One attribute of a configuration.

    Args:
        config: the configuration.
        state: of its token store.
        name: of the attribute.

    Raises:
        BylineError: a file that it depends on cannot be read.
    """
    settings = config.attributes[name]
    sources = sorted(source for source in config.sources if settings.is_about(source))
    files = [file for file in state.files if file.source in sources]
    depends_on = _depends_on(config, state, name, sources)
    fingerprint = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    folder = f"{ATTRIBUTES_FOLDER}/{name}/{fingerprint[:16]}"
    return AttributeState(name, fingerprint, depends_on, folder, files, _missing(files, folder))


def listed_again(attribute: AttributeState) -> AttributeState:
    """The same attribute, as far as the token store has it by now."""
    return replace(attribute, missing=_missing(attribute.files, attribute.folder))


def _missing(files: Sequence[RunFile], folder: str) -> list[RunFile]:
    """The files of the token store beside which a folder has none."""
    folders = sorted({beside(file.uri, folder).rpartition("/")[0] for file in files})
    listed = storage.side_by_side(lambda uri: storage.list_files(uri, recursive=False), folders)
    there = {storage.join(uri, info.base_name) for uri, infos in zip(folders, listed, strict=True) for info in infos}
    return [file for file in files if beside(file.uri, folder) not in there]


def _depends_on(config: Config, state: StoreState, name: str, sources: Iterable[str]) -> dict[str, Any]:
    """Everything that decides an attribute's values: other sources and files only where it depends on all."""
    settings = config.attributes[name]
    kind = kind_named(settings.kind)
    given = settings.model_dump(mode="json", exclude={"sources", *kind.paths})
    values: dict[str, Any] = {"settings": given, "identity": dict(kind.identity(config, name, settings))}
    if settings.depends_on_all:
        values["sources"] = {source: state.fingerprints[source] for source in sources}
        runs = sorted(
            (r.source, r.path, r.chunk, r.input_size, r.input_checksum, r.rows)
            for r in state.runs
            if r.source in values["sources"]
        )
        values["documents"] = hashlib.sha256(json.dumps(runs).encode()).hexdigest()
    return values


def used_attributes(config: Config) -> list[str]:
    """The attributes that a recipe names, sorted."""
    named: set[str] = {name for stage in config.stages for name in stage.mask} | config.replace.keys()
    for use in field_uses(config):
        for name, settings in config.attributes_of(use.source).items():
            if use.column in settings.column_types(name):
                named.add(name)
    return sorted(named)


def check_whole(attribute: AttributeState, advice: str) -> None:
    """Refuses an attribute that is not beside every run. Raises: BylineError."""
    if attribute.missing:
        first = attribute.missing[0]
        raise BylineError(
            f"attributes.{attribute.name}: not made for {len(attribute.missing)} of {len(attribute.files)} runs of the "
            f"token store (first: {first.source}/{first.chunks[0].path}); {advice}"
        )


def folders_of(config: Config, attributes: Iterable[AttributeState]) -> dict[str, dict[str, str]]:
    """Where the columns are of these attributes: source -> column -> folder (`AttributeFolders`)."""
    folders: dict[str, dict[str, str]] = {}
    for attribute in attributes:
        settings = config.attributes[attribute.name]
        for source in config.sources:
            if settings.is_about(source):
                columns = dict.fromkeys(settings.column_types(attribute.name), attribute.folder)
                folders.setdefault(source, {}).update(columns)
    return folders
