"""Makes files that a recipe names part of it: mixtures, and lists of values.

```
mixture: {file: llama.yaml, names: {commoncrawl: web, github: code, books: null}}
llama.yaml    weights: {commoncrawl: 0.6, github: 0.2, books: 0.2}
resolved      mixture: {method: weights, weights: {web: 3/4, code: 1/4}}

select: {deny: {host: blocked.txt}}       resolved   select: {deny: {host: [a.example, b.example]}}
```

`names` maps names in the file to sources; null leaves one out, and the weights of the others are scaled to sum to one.
So a finished build contains every value that decided it, and needs none of these files again.
"""

import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from byline.errors import BylineError
from byline.printable import shown
from byline.regular_files import read_regular
from byline.schemas.mixtures.reading import as_mixture
from byline.schemas.model import exact_number

# A list of some ten million hosts.
_MOST_LIST_BYTES = 256 << 20
ReadYaml = Callable[[str], Mapping[str, Any]]


def inline_files(values: dict[str, Any], read_yaml: ReadYaml) -> None:
    """Replaces, in the plain values of a configuration, every file that a mixture or a selection names.

    Args:
        values: changed in place.
        read_yaml: reads a YAML file of keys and values.

    Raises:
        BylineError: a file cannot be read, or `names` does not fit it.
    """
    stages = [values]
    for key in ("phases", "branches"):
        listed = values.get(key)
        stages += [stage for stage in listed if isinstance(stage, dict)] if isinstance(listed, list) else []
    for stage in stages:
        mixture = stage.get("mixture")
        if isinstance(mixture, dict) and isinstance(mixture.get("file"), str):
            stage["mixture"] = _from_file(mixture, read_yaml)
        steps = stage.get("select")
        for step in steps if isinstance(steps, list) else [steps]:
            _inline_lists(step)


def _from_file(mixture: dict[str, Any], read_yaml: ReadYaml) -> Any:
    settings = dict(mixture)
    file, names = settings.pop("file"), settings.pop("names", None) or {}
    loaded = as_mixture(dict(read_yaml(file)))
    # Keys given beside `file` replace those in the file, so `names` need not match these.
    loaded = {key: value for key, value in loaded.items() if key not in settings}
    if not isinstance(names, dict) or not all(isinstance(source, str | None) for source in names.values()):
        raise BylineError(f"mixture.names: expected names of {file} and their sources, found {shown(names)}")
    weights = [loaded[key] for key in ("weights", "epochs") if key in loaded]
    points = loaded.get("points", [])
    if not isinstance(points, list) or not all(isinstance(point, dict) and "weights" in point for point in points):
        raise BylineError(f"{file}: points: expected a list of points, each with its weights, found {shown(points)}")
    for section in [*weights, *(point["weights"] for point in points)]:
        if not isinstance(section, dict):
            raise BylineError(f"{file}: expected names and their weights, found {shown(section)}")
    mentioned = {
        *loaded.get("weights", ()),
        *loaded.get("epochs", ()),
        *(loaded["max_epochs"] if isinstance(loaded.get("max_epochs"), dict) else ()),
        *(name for point in points for name in point["weights"]),
    }
    for name in names:
        if name not in mentioned:
            raise BylineError(f"mixture.names: {file} has no {shown(name)}; it has {', '.join(sorted(mentioned))}")
    if "weights" in loaded:
        loaded["weights"] = _renamed(loaded["weights"], names, file)
    if "points" in loaded:
        loaded["points"] = [{**point, "weights": _renamed(point["weights"], names, file)} for point in loaded["points"]]
    for key in ("epochs", "max_epochs"):
        if isinstance(loaded.get(key), dict):
            loaded[key] = _renamed_epochs(loaded[key], names, f"{file}: {key}")
    return {**loaded, **settings}


def _renamed(weights: Mapping[str, Any], names: Mapping[str, str | None], file: str) -> dict[str, str]:
    renamed: dict[str, Fraction] = {}
    for name, weight in weights.items():
        source = names.get(name, name)
        if source is not None:
            renamed[source] = renamed.get(source, Fraction(0)) + _fraction(weight, f"{file}: {name}")
    total = sum(renamed.values(), Fraction(0))
    is_whole = None not in names.values()
    if total == 0:
        raise BylineError(f"{file}: no weight is left; `names` must leave a source with one")
    return {source: str(weight if is_whole else weight / total) for source, weight in renamed.items()}


def _renamed_epochs(epochs: Mapping[str, Any], names: Mapping[str, str | None], where: str) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for name, count in epochs.items():
        source = names.get(name, name)
        if source in renamed:
            raise BylineError(f"{where}: two names are mapped to {source!r}; epochs of two corpora do not add up")
        if source is not None:
            renamed[source] = str(_fraction(count, f"{where}.{name}"))
    return renamed


def _fraction(value: Any, where: str) -> Fraction:
    try:
        return exact_number(value)
    except ValueError as error:
        raise BylineError(f"{where}: {error}") from None


def _inline_lists(step: Any) -> None:
    if not isinstance(step, dict):
        return
    for key in ("allow", "deny"):
        lists = step.get(key)
        if isinstance(lists, dict):
            step[key] = {
                name: _read_list(values) if isinstance(values, str) else values for name, values in lists.items()
            }


def _read_list(file: str) -> list[str]:
    """The lines of a file, stripped; empty lines and those that begin with # are left out."""
    try:
        text = read_regular(file, _MOST_LIST_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise _unreadable(file, "not UTF-8 text") from None
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from None
    values = [line.strip() for line in io.StringIO(text, newline=None)]
    return [value for value in values if value and not value.startswith("#")]


def _unreadable(file: str, problem: str) -> BylineError:
    return BylineError(f"select: {file}: the list cannot be read ({problem}); one value a line is expected")
