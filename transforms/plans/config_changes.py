"""What it costs to go from one configuration to another: which keys differ, and what each change makes necessary.

```
sources.dclm.path        dclm/*.zst -> more/*.zst  reads what is new of dclm
sources.c4.keep.license  none -> string            prepares c4 again
phases.main.share        0.9 -> 0.8                plans and assembles
```

Both configurations are resolved: what they extend, mixtures and lists in files, defaults. Phases and branches are
matched by name. What a source's runs depend on is compared as `store/fingerprint.py` has it, so a model or a tokenizer
that was moved is the same one; a file that cannot be read is compared by its path.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.transforms.attributes.attribute_state import used_attributes
from byline.transforms.store.fingerprint import changed_keys, settings_by_path, source_settings

_LISTS_BY_NAME = ("phases", "branches")


class Level(IntEnum):
    """What a change makes necessary, beyond preparing."""

    NOTHING = 0  # the same shards
    PLAN = 1  # a plan; shards only if it comes out different
    ASSEMBLE = 2  # a plan and all shards


@dataclass(frozen=True)
class Change:
    """One key that differs; `old` and `new` are plain values, None where the key is missing."""

    path: tuple[str, ...]
    old: Any
    new: Any

    @property
    def key(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Effect:
    """What one change makes necessary.

    Attributes:
        half: of the configuration: `token store`, `recipe` or `folders`.
        text: what is printed behind the key.
        prepares: sources to prepare.
        reads: sources of which only new files are prepared.
    """

    half: str
    text: str
    level: Level = Level.NOTHING
    prepares: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Comparison:
    """Two configurations.

    Attributes:
        stale: by source of both, the keys of `source_settings` that differ, so that its runs are prepared again.
        notes: one line for each file that could not be compared by its contents.
    """

    before: Config
    after: Config
    stale: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def compare(before: Config, after: Config) -> Comparison:
    """Finds which sources' runs depend on something that differs; reads models and tokenizers for that."""
    both = Comparison(before, after)
    for source in sorted(set(before.sources) & set(after.sources)):
        try:
            old, new = (source_settings(config, source) for config in (before, after))
        except (BylineError, OSError) as error:
            old, new = (settings_by_path(config, source) for config in (before, after))
            note = f"{error}; so models and tokenizers are compared by their paths"
            if note not in both.notes:
                both.notes.append(note)
        changed = changed_keys(old, new)
        if changed:
            both.stale[source] = changed
    return both


def find_changes(before: Config, after: Config) -> list[Change]:
    """Every key that differs: those of the token store, of the recipe, of folders, each in the order of the files."""
    old, new = (tree_of(config.model_dump(mode="json")) for config in (before, after))
    changes = [change for key in {**old, **new} for change in _walk((key,), old.get(key), new.get(key))]
    for key in _LISTS_BY_NAME:
        was, now = ([name for name in tree[key] if name in old[key] and name in new[key]] for tree in (old, new))
        if was != now:
            changes.append(Change((key,), was, now))
    return sorted(changes, key=lambda change: _HALVES.index(_half(change.path)))


_HALVES = ("token store", "recipe", "folders")


def _half(path: tuple[str, ...]) -> str:
    if path[0] in ("store", "output"):
        return "folders"
    is_store = path[0] in ("sources", "classifiers", "filter")
    is_store = is_store or path[:2] in (("tokenizer", "file"), ("tokenizer", "library"))
    return "token store" if is_store else "recipe"


def tree_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Phases and branches by name, and other lists of mappings by number."""
    tree = {key: _by_number(value) for key, value in values.items() if key not in _LISTS_BY_NAME}
    for key in _LISTS_BY_NAME:
        tree[key] = {stage["name"]: _by_number(stage) for stage in values.get(key, ())}
    return tree


def _by_number(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _by_number(below) for key, below in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(number): _by_number(item) for number, item in enumerate(value)}
    return value


def _walk(path: tuple[str, ...], old: Any, new: Any) -> Iterable[Change]:
    if old == new:
        return
    # An empty list of steps, beside one with steps.
    old, new = ({} if side == [] and isinstance(other, dict) else side for side, other in ((old, new), (new, old)))
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield Change(path, old, new)
        return
    for key in {**old, **new}:
        yield from _walk((*path, key), old.get(key), new.get(key))


def effect_of(change: Change, both: Comparison) -> Effect:
    """What one change makes necessary."""
    half = _half(change.path)
    if half == "token store":
        return _store_effect(change, both)
    if half == "folders":
        if change.key == "output":
            return Effect(half, f"assembles into {change.new}", Level.PLAN)
        return Effect(half, f"prepares everything that {change.new} does not hold", Level.PLAN)
    if change.path[:2] == ("tokenizer", "add"):
        # It may widen the ids of every source, and a formatter may put the tokens into texts.
        stale = _stale_by("tokenizer ids", both) | _stale_by("tokenizer.add", both)
        if stale:
            return Effect(half, f"prepares {_names(stale)} again", Level.ASSEMBLE, stale)
    if change.path[0] == "attributes":
        name = change.path[1]
        if all(name not in used_attributes(config) for config in (both.before, both.after)):
            return Effect(half, "nothing: the recipe names no column of it")
        return Effect(half, f"makes the attribute {name}, plans and assembles", Level.ASSEMBLE)
    if change.key == "shortage":
        return Effect(half, "plans; assembles only if a source is short", Level.PLAN)
    if change.path[0] in ("min_known", "allow_empty"):
        return Effect(half, "nothing: it says what is an error or a warning")
    trained = [stage for config in (both.before, both.after) for stage in (*config.phases, *config.branches)]
    is_used = any(stage.mixture is None for stage in trained)
    if change.path[0] == "mixture" and not is_used:
        return Effect(half, "nothing: every phase has a mixture of its own")
    return Effect(half, "plans and assembles", Level.ASSEMBLE)


def _store_effect(change: Change, both: Comparison) -> Effect:
    half, path = "token store", change.path
    if path[0] == "sources":
        source = path[1]
        if len(path) == 2 and change.new is None:
            return Effect(half, f"plans and assembles without {source}", Level.ASSEMBLE)
        if len(path) == 2:
            return Effect(half, f"prepares {source}", Level.ASSEMBLE, frozenset([source]))
        if path[2] == "filter" and not _stale_by(f"sources.{source}.filter", both):
            return Effect(half, "nothing: the same rules")
        if path[2] == "max_rejected":
            return Effect(half, "nothing: it says what is an error")
        if path[2] == "damaged":
            return Effect(half, f"reads the damaged files of {source}", Level.PLAN, reads=frozenset([source]))
        if path[2] == "path":
            return Effect(half, f"reads what is new of {source}", Level.PLAN, reads=frozenset([source]))
        return Effect(half, f"prepares {source} again", Level.ASSEMBLE, frozenset([source]))
    if change.key == "tokenizer.library":
        return Effect(half, "nothing: the ids are the same")
    if path[0] == "filter":
        stale = _stale_by("filter", both)
        if not stale:
            return Effect(half, "nothing: the same rules, or no source that is read")
        return Effect(half, f"prepares {_names(stale)} again", Level.ASSEMBLE, stale)
    stale = _stale_by("tokenizer.file" if path[0] == "tokenizer" else ".".join(path[:2]), both)
    if stale:
        return Effect(half, f"prepares {_names(stale)} again", Level.ASSEMBLE, stale)
    if path[0] == "classifiers":
        return Effect(half, "nothing: it gives the same scores, or no source needs it")
    if Path(change.old).stem != Path(change.new).stem:
        return Effect(half, "the same file, but shards name it: plans and assembles", Level.ASSEMBLE)
    return Effect(half, "nothing: the same file")


def _stale_by(key: str, both: Comparison) -> frozenset[str]:
    """The sources of which a key, or one below it, makes the runs stale."""
    return frozenset(
        source
        for source, changed in both.stale.items()
        if any(name == key or name.startswith(f"{key}.") for name in changed)
    )


def summary(effects: Iterable[Effect], both: Comparison) -> str:
    """The cost in one line."""
    effects = list(effects)
    level = max((effect.level for effect in effects), default=Level.NOTHING)
    prepares = frozenset().union(*(effect.prepares for effect in effects))
    reads = frozenset().union(*(effect.reads for effect in effects)) - prepares
    steps = _preparing(prepares, reads, both)
    is_moved = both.before.output != both.after.output
    if level is Level.NOTHING:
        return "nothing"
    if is_moved:
        last = f"planning and assembling into {both.after.output}"
    elif level is Level.ASSEMBLE:
        last = "planning and assembling"
    else:
        last = "planning, and assembling if the plan comes out different"
    return f"{' and '.join(steps)}, then {last}" if steps else last


def _preparing(prepares: frozenset[str], reads: frozenset[str], both: Comparison) -> list[str]:
    if both.before.store != both.after.store:
        return [f"preparing {_names(both.after.sources)} in {both.after.store}, as far as it does not hold them"]
    again, first = prepares & set(both.before.sources), prepares - set(both.before.sources)
    steps = [f"preparing {_names(again)} again"] if again else []
    steps += [f"preparing {_names(first)}"] if first else []
    return [*steps, f"reading what is new of {_names(reads)}"] if reads else steps


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
