"""A table of kinds to a list of typed settings: the figures and the statements of a recipe.

```
figures: [{kind: curves, evaluation: none}, {kind: bars, evaluation: [none, host]}]     Curves(...), Bars(...)
```
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.model import Model

Asked = TypeVar("Asked", bound=Model)


@dataclass(frozen=True)
class Known:
    """The names of a study, against which settings are checked before anything is trained."""

    arms: Sequence[str]
    evaluations: Sequence[str]


def parse_kinds(
    values: Sequence[Mapping[str, Any]], kinds: Mapping[str, type[Asked]], where: str, known: Known | None = None
) -> list[Asked]:
    """Typed settings, in the order given.

    Args:
        values: each with its `kind` and that kind's keys.
        kinds: by name.
        where: `figures` or `statements`, for messages.
        known: what the study has; None checks no names.

    Raises:
        BylineError: an unknown kind, key or name, or a wrong value; one line.
    """
    settings = []
    for number, section in enumerate(values):
        label = f"{where}.{number}"
        keys = dict(section)
        kind = keys.pop("kind", None)
        if kind not in kinds:
            raise BylineError(f"{label}: unknown kind {shown(kind)}{_nearest(str(kind), kinds)}")
        parsed = _parse(keys, kinds[kind], f"{label} ({kind})")
        if known is not None:
            _check_names(parsed, known, f"{label} ({kind})")
        settings.append(parsed)
    return settings


def _parse(keys: dict[str, Any], kind: type[Asked], label: str) -> Asked:
    for key in keys:
        if key not in kind.model_fields:
            raise BylineError(f"{label}: unknown key {shown(key)}{_nearest(str(key), kind.model_fields)}")
    try:
        return kind.model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise BylineError(f"{label}: {key + ': ' if key else ''}{message}") from None


def _check_names(settings: Model, known: Known, label: str) -> None:
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        names = [value] if isinstance(value, str) else value
        if isinstance(value, Model):
            _check_names(value, known, label)
        elif names and key in ("arm", "arms", "of"):
            _check_each(key, [name.split("/")[0] for name in names], known.arms, label)
        elif names and key == "evaluation":
            _check_each(key, names, known.evaluations, label)


def _check_each(key: str, names: Sequence[str], known: Sequence[str], label: str) -> None:
    for name in names:
        if name not in known:
            raise BylineError(f"{label}: {key}: the study has no {name!r}{_nearest(name, known)}")


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(known)}"
