"""Reads a YAML file into a `Config`; errors name the key, the nearest known key, and the line of a syntax error.

```
base.yaml     tokens: 10M            child.yaml   extends: base.yaml        resolved   tokens: 1M
              sequence: {length: 8}               tokens: 1M                           sequence: {length: 8}
```

Mappings are merged key by key; any other value is replaced, and so is `mixture`, which means something only as a whole.
`null` drops the key that the other file gave. `overrides` are `a.b=value`, with the value in YAML (`null` drops the
key), and are applied last. Only plain YAML values are read: no tags that build objects.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.kinds import fields_of
from byline.schemas.mixture_file import inline_files

# Values that mean something only as a whole.
_REPLACED = ("mixture",)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads, merges and checks a configuration.

    Args:
        path: the YAML file.
        overrides: settings such as `sequence.length=512`, applied in order over the file.

    Raises:
        BylineError: one line that says which key or value is wrong and what would work.
    """
    values = _read(Path(path), seen=())
    for override in overrides:
        _set(values, override)
    inline_files(values, lambda file: _read(Path(file), seen=()))
    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], name: str) -> Config:
    """Checks plain values; `name` says where they come from, for errors."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise BylineError(f"{name}: {_explain(error)}") from None


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise BylineError(f"{path}: `extends` leads back to this file; remove one link of the circle")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = getattr(error, "strerror", None) or "not UTF-8 text"
        raise BylineError(f"{path}: the configuration cannot be read ({hint})") from None
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise BylineError(f"{path}{where}: not valid YAML: {problem}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise BylineError(f"{path}: expected keys and values, as in `seed: 0`")
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise BylineError(f"{path}: extends: expected the path of one YAML file, found {base!r}")
    return merge(_read(path.parent / base, (*seen, path.resolve())), values)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where plain YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if key != "<<" and keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


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


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise BylineError(f"--set {override}: expected key=value, as in sequence.length=512")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise BylineError(f"--set {override}: the value is not valid YAML; put quotes around it") from None
    *parents, last = key.strip().split(".")
    parent: Any = values
    for parent_key in parents:
        parent = _child(parent, parent_key, override)
    if isinstance(parent, list):
        parent[_index(parent, last, override)] = value
    elif value is None:
        parent.pop(last, None)
    else:
        parent[last] = value


def _child(parent: Any, key: str, override: str) -> Any:
    if isinstance(parent, list):
        return parent[_index(parent, key, override)]
    child = parent.setdefault(key, {})
    if not isinstance(child, (dict, list)):
        raise BylineError(f"--set {override}: {key!r} is {child!r}, which has no keys below it")
    return child


def _index(items: list[Any], key: str, override: str) -> int:
    for number, item in enumerate(items):
        if key == str(number) or (isinstance(item, dict) and item.get("name") == key):
            return number
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(items)
    ]
    raise BylineError(f"--set {override}: no {key!r} here; there are {', '.join(names)}")


def _explain(error: ValidationError) -> str:
    """One line for the first thing that is wrong, with the nearest known key for an unknown one."""
    problems = error.errors()
    # A union reports an error for each of its types; an unknown key is the likeliest mistake, so it comes first.
    first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained-", "function-", "[")))
    if first["type"] == "extra_forbidden":
        parent, key = first["loc"][:-1], str(first["loc"][-1])
        known = list(_known_keys(Config, parent))
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(known)}"
        return f"{where}: unknown key {key!r}; {hint}"
    if first["type"] == "missing":
        return f"{where}: this key is needed"
    if first["type"] == "model_type":
        known = list(_known_keys(Config, first["loc"]))
        return f"{where}: expected keys and values ({', '.join(known)}); found {first['input']!r}"
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}; found {first['input']!r}"


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
    is_direct = isinstance(field.annotation, type) or type(None) in get_args(field.annotation)
    return _known_keys(models[0], parts[1:] if is_direct else parts[2:])


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
