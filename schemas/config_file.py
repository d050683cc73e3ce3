"""Reads a YAML file into a `Config`; errors name the key, the nearest known key, and the line of a syntax error.

```
base.yaml     tokens: 10M            child.yaml   extends: base.yaml        resolved   tokens: 1M
              sequence: {length: 8}               tokens: 1M                           sequence: {length: 8}
```

Mappings are merged key by key; any other value is replaced, and so is `mixture`, which means something only as a whole.
`null` drops the key that the other file gave. `overrides` are `a.b=value`, with the value in YAML (`null` drops the
key), and are applied last. `byline.schemas.yaml_text` says which YAML is read.
"""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from byline.errors import BylineError
from byline.printable import printable, shortened, shown
from byline.schemas.config import Config
from byline.schemas.kinds import fields_of
from byline.schemas.mixture_file import inline_files
from byline.schemas.yaml_text import MOST_DEPTH, YamlError, YamlSyntaxError, check_text, load_yaml, parse_yaml

# Values that mean something only as a whole.
_REPLACED = ("mixture",)
# Files that extend one another: more are a mistake.
_MOST_FILES = 32
# Names that a message lists.
_LISTED = 30


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads, merges and checks a configuration.

    Args:
        path: the YAML file.
        overrides: settings such as `sequence.length=512`, applied in order over the file.

    Raises:
        BylineError: one line that says which key or value is wrong and what would work.
    """
    values = _read(Path(path))
    for override in overrides:
        set_value(values, override)
    inline_files(values, lambda file: _read(Path(file)))
    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], name: str) -> Config:
    """Checks plain values; `name` says where they come from, for errors."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise BylineError(f"{name}: {_explain(error)}") from None


def _read(path: Path) -> dict[str, Any]:
    """A file on top of those that it extends, the last of them first."""
    layers: list[dict[str, Any]] = []
    seen: set[str] = set()
    file: Path | None = path
    while file is not None:
        location = os.path.realpath(file)
        if location in seen:
            raise BylineError(f"{file}: `extends` leads back to this file; remove one link of the circle")
        if len(seen) == _MOST_FILES:
            raise BylineError(f"{file}: `extends` leads through more than {_MOST_FILES} files; write fewer")
        seen.add(location)
        values, base = _read_one(file)
        layers.append(values)
        file = None if base is None else file.parent / base
    merged = layers.pop()
    while layers:
        merged = merge(merged, layers.pop())
    return merged


def _read_one(path: Path) -> tuple[dict[str, Any], str | None]:
    """The values of one file, and the path that it extends."""
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise BylineError(f"{path}: expected keys and values, as in `seed: 0`")
    base = values.pop("extends", None)
    if base is not None and not isinstance(base, str):
        raise BylineError(f"{path}: extends: expected the path of one YAML file, found {shown(base)}")
    return values, base


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mappings key by key, but a mixture as a whole."""
    merged = dict(base)
    for key, value in over.items():
        base_value = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif key not in _REPLACED and isinstance(base_value, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(base_value, value)
        else:
            merged[key] = value
    return merged


def set_value(values: dict[str, Any], override: str) -> None:
    """Sets what `override`, `a.b=value`, says, in `values`. Raises: BylineError: it cannot."""
    key, equals, text = override.partition("=")
    option = f"--set {shortened(printable(override), 200)}"
    if not equals or not key.strip():
        raise BylineError(f"{option}: expected key=value, as in sequence.length=512")
    try:
        check_text(key)
        value = parse_yaml(text)
    except YamlError as error:
        is_syntax = isinstance(error, YamlSyntaxError)
        problem = "the value is not valid YAML; put quotes around it" if is_syntax else error.problem
        raise BylineError(f"{option}: {problem}") from None
    *parents, last = key.strip().split(".")
    if len(parents) > MOST_DEPTH:
        raise BylineError(f"{option}: keys stand in at most {MOST_DEPTH} others")
    parent: Any = values
    for parent_key in parents:
        parent = _child(parent, parent_key, option)
    if isinstance(parent, list):
        parent[_index(parent, last, option)] = value
    elif value is None:
        parent.pop(last, None)
    else:
        parent[last] = value


def _child(parent: Any, key: str, option: str) -> Any:
    child = parent[_index(parent, key, option)] if isinstance(parent, list) else parent.setdefault(key, {})
    if not isinstance(child, (dict, list)):
        raise BylineError(f"{option}: {shown(key)} is {shown(child)}, which has no keys below it")
    return child


def _index(items: list[Any], key: str, option: str) -> int:
    for number, item in enumerate(items):
        if key == str(number) or (isinstance(item, dict) and item.get("name") == key):
            return number
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(items)
    ]
    raise BylineError(f"{option}: no {shown(key)} here; there are {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join([*(shortened(name, 200) for name in names[:_LISTED]), *more])


def _explain(error: ValidationError) -> str:
    """One line for the first thing that is wrong, with the nearest known key for an unknown one."""
    problems = error.errors()
    # A union reports an error for each of its types; an unknown key is the likeliest mistake, so it comes first.
    first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    parts = [str(part) for part in first["loc"] if not str(part).startswith(("constrained-", "function-", "["))]
    where = shortened(printable(".".join(parts)), 200)
    if first["type"] == "extra_forbidden":
        parent, key = first["loc"][:-1], str(first["loc"][-1])
        known = list(_known_keys(Config, parent))
        near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(known)}"
        return f"{where}: unknown key {shown(key)}; {hint}"
    if first["type"] == "missing":
        return f"{where}: this key is needed"
    if first["type"] == "model_type":
        known = list(_known_keys(Config, first["loc"]))
        return f"{where}: expected keys and values ({', '.join(known)}); found {shown(first['input'])}"
    if first["type"] == "dict_type":
        return f"{where}: expected names with a value each, as in `name: value`; found {shown(first['input'])}"
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}; found {shown(first['input'])}"


def _known_keys(model: Any, location: Iterable[Any]) -> Iterable[str]:
    """The keys of the model at a location such as `("sources", "dclm", "path")`."""
    parts = list(location)
    if not parts:
        return fields_of(model)
    field = fields_of(model).get(parts[0])
    models = [] if field is None else list(_models_in(field.annotation))
    if field is None or not models:
        return ()
    # In a mapping or a list, a name or a number comes between the field and its model.
    options = get_args(field.annotation)
    is_direct = isinstance(field.annotation, type) or (
        type(None) in options and not any(get_origin(option) is dict for option in options)
    )
    return _known_keys(models[0], parts[1:] if is_direct else parts[2:])


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
