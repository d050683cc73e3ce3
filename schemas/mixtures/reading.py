"""Mixtures as a recipe writes them: a name alone, plain weights, or a method and its settings.

```
natural                         {method: natural}
{web: 0.75, code: 0.25}         {method: weights, weights: {web: 0.75, code: 0.25}}
{by: topic, weights: {...}}     {method: weights, by: topic, weights: {...}}
```
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from byline.errors import BylineError
from byline.schemas.kinds import class_named, fields_of, read_section
from byline.schemas.mixtures import METHODS
from byline.schemas.mixtures.mixture import Mixture


def as_mixture(value: Any) -> Any:
    """The short forms written as a method and its settings.

    Raises:
        BylineError: weights and settings stand side by side, or settings without a `method`.
    """
    if isinstance(value, str):
        return {"method": value}
    # A source may be called `weights`; its weight is a number, and the key's value is a mapping.
    if not isinstance(value, dict) or isinstance(value.get("method"), str):
        return value
    settings = fields_of(Mixture).keys()
    if "max_epochs" in value and not value.keys() <= settings:
        raise BylineError("with `max_epochs` the weights go under a key: {weights: {a: 0.5, b: 0.5}, max_epochs: 2}")
    if isinstance(value.get("by"), str) and not value.keys() <= settings:
        raise BylineError("with `by` the weights go under a key: {by: topic, weights: {cooking: 0.5, sport: 0.5}}")
    if value and value.keys() <= settings - {"method", "weights"}:
        raise BylineError(f"`method` is needed beside {', '.join(value)}")
    if not any(isinstance(setting, (dict, list)) for setting in value.values()):
        return {"method": "weights", "weights": value}
    return {"method": "weights", **value}


def read_mixture(value: Any) -> Mixture:
    """A mixture of the method that it names. Raises: ValueError, ValidationError for one that is none."""
    values = as_mixture(value)
    if not isinstance(values, Mapping):
        return Mixture.model_validate(values)
    method = class_named("method", values["method"], METHODS, Mixture)
    return read_section(values, method, METHODS, f"method {values['method']}")


# A key of the configuration that holds a mixture of any method.
AnyMixture = Annotated[SerializeAsAny[Mixture], BeforeValidator(read_mixture)]
