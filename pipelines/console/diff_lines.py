"""What `byline diff` prints: the differing keys by half of the configuration, and the cost.

```
token store
  sources.dclm.path        dclm/*.zst -> more/*.zst  reads what is new of dclm
  sources.c4.keep.license  none -> string            prepares c4 again
recipe
  phases.main.share        0.9 -> 0.8                plans and assembles
  phases.cooldown.share    0.1 -> 0.2                plans and assembles
note both write to out/shards; --overwrite replaces a finished build there
cost: preparing c4 again and reading what is new of dclm, then planning and assembling
```
"""

from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from byline.schemas.config import Config
from byline.transforms.plans.config_changes import (
    Change,
    Comparison,
    Level,
    compare,
    effect_of,
    find_changes,
    summary,
    tree_of,
)

_TEXT = 60  # characters of a value that are shown
_LISTED = 3  # values of a long list that are named
_COLUMN = 60  # effects behind longer values are not aligned


def show_diff(before: Config, after: Config, console: Console) -> None:
    """Prints the differing keys by half, and the cost."""
    both = compare(before, after)
    effects = [(change, effect_of(change, both)) for change in find_changes(both.before, both.after)]
    if not effects:
        console.print("no key differs", highlight=False)
    keys = [change.key for change, _ in effects]
    values = [shown(change, both) for change, _ in effects]
    key_width = max(map(len, keys), default=0)
    width = max((len(value) for value in values if len(value) <= _COLUMN), default=0)
    half = None
    for key, value, (_, effect) in zip(keys, values, effects, strict=True):
        if effect.half != half:
            half = effect.half
            console.print(Text(half, "bold"))
        console.print(Text(f"  {key:<{key_width}}  {value:<{width}}  {effect.text}"), soft_wrap=True)
    level = max((effect.level for _, effect in effects), default=Level.NOTHING)
    if level is Level.ASSEMBLE and both.before.output == both.after.output:
        both.notes.append(f"both write to {both.after.output}; --overwrite replaces a finished build there")
    for note in both.notes:
        console.print(Text.assemble(("note", "yellow"), f" {note}"), soft_wrap=True)
    console.print(Text(f"cost: {summary([effect for _, effect in effects], both)}"), soft_wrap=True)


def shown(change: Change, both: Comparison) -> str:
    """`old -> new`, each as YAML on one line, shortened."""
    sides = []
    for config, value in ((both.before, change.old), (both.after, change.new)):
        brief = tree_of(config.model_dump(mode="json", exclude_defaults=True))
        sides.append(_plain(_below(brief, change.path, value)))
    old, new = sides
    if isinstance(change.new, list) and max(len(old), len(new)) > _TEXT:
        return _lists(change.old if isinstance(change.old, list) else [], change.new)
    if len(old) > _TEXT or len(new) > _TEXT:
        old, new = _around(old, new)
    return f"{old} -> {new}"


def _below(tree: Any, path: tuple[str, ...], default: Any) -> Any:
    """The value at a path, without defaults if there are others; whole lists and plain values as they are."""
    if not isinstance(default, dict):
        return default
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return default
        tree = tree[key]
    return tree


class _Dumper(yaml.SafeDumper):
    """YAML on one line: a text with line ends is quoted, with `\\n`."""

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def _lists(old: list[Any], new: list[Any]) -> str:
    # As text, since an item may be a mapping; sets, since a list of hosts may be long.
    old_texts, new_texts = [list(map(_plain, items)) for items in (old, new)]
    was, now = set(old_texts), set(new_texts)
    came = [text for text in new_texts if text not in was]
    gone = [text for text in old_texts if text not in now]
    changes = [f"{sign} {_first_of(texts)}" for sign, texts in (("with", came), ("without", gone)) if texts]
    return f"{len(old):,} values -> {len(new):,} values, {' and '.join(changes) or 'in another order'}"


def _first_of(texts: list[str]) -> str:
    rest = f" and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + rest


def _around(old: str, new: str) -> tuple[str, str]:
    """Both texts around the first character that differs."""
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = same - _TEXT // 3 if same > _TEXT // 2 else 0
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    end = start + _TEXT
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"
