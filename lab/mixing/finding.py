"""The ways to find a mixture by training, by the name that a recipe gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from byline.errors import BylineError
from byline.lab.mixing import doremi, skill_it, swarm
from byline.lab.mixing.ground import Ground
from byline.lab.study import Study
from byline.lab.training.model import MODELS
from byline.printable import shown
from byline.schemas.config_file import merge
from byline.schemas.model import Model


@dataclass(frozen=True)
class Method:
    """All that is asked of a way.

    Attributes:
        settings: what a recipe may say beside `method`.
        find: trains, and gives the mixture.
    """

    settings: type[Model]
    find: Callable[[Ground, Any], dict[str, Any]]


METHODS = {
    "doremi": Method(doremi.DoReMiSettings, doremi.find),
    "skill_it": Method(skill_it.SkillItSettings, skill_it.find),
    "swarm": Method(swarm.SwarmSettings, swarm.find),
}


def find_mixture(ground: Ground) -> dict[str, Any] | None:
    """The mixture that an arm's `find` asks for; None if it asks for none.

    Raises:
        BylineError: there is no such method, or a setting is wrong; one line.
    """
    asked = ground.study.arms[ground.arm].find
    if asked is None:
        return None
    method, settings = method_of(asked, f"arms.{ground.arm}.find")
    ground.console.print(f"find      {ground.arm}", highlight=False)
    return method.find(ground, settings)


def check_find(study: Study, arm: str) -> None:
    """Checks an arm's `find` against the study. Raises: BylineError: a name in it is not there; one line."""
    asked = study.arms[arm].find
    if asked is None:
        return
    where = f"arms.{arm}.find"
    settings = method_of(asked, where)[1].model_dump()
    sources = sorted(merge(study.config, study.arms[arm].config).get("sources", {}))
    for key, names, known in (
        ("targets", settings.get("targets") or [], sources),
        ("evaluation", [settings["evaluation"]] if settings.get("evaluation") else [], sorted(study.evaluations)),
        ("model", [settings["model"]] if settings.get("model") else [], list(MODELS)),
    ):
        for name in names:
            if name not in known:
                raise BylineError(f"{where}.{key}: expected {', '.join(known)}, found {shown(name)}")


def method_of(asked: Mapping[str, Any], where: str) -> tuple[Method, Model]:
    """A method and its settings, checked; `where` names them in messages. Raises: BylineError."""
    name = asked.get("method")
    if name not in METHODS:
        raise BylineError(f"{where}.method: expected {', '.join(METHODS)}, found {shown(name)}")
    method = METHODS[name]
    try:
        return method, method.settings.model_validate({key: value for key, value in asked.items() if key != "method"})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join((where, *map(str, first["loc"])))
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key; {name} has {', '.join(method.settings.model_fields)}"
        raise BylineError(f"{key}: {message}") from None
