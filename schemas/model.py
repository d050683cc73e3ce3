"""The building blocks of the configuration: strict models, names, and numbers kept exactly as written."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from byline import locations

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Model(BaseModel):
    """Refuses unknown keys; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _safe_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{name!r} is not a usable name: letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
        )
    return name


def _location(location: str) -> str:
    locations.check(location)
    return location


def _exact(value: Any) -> Any:
    """Keeps a share as the decimal that was written: 0.1 is 1/10, not the nearest binary fraction."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal, Fraction)):
        raise ValueError(f"expected a number, found {value!r}")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number, found {value!r}") from None


def _write_exact(value: Fraction) -> float | str:
    """A decimal if it reads back as the same fraction, else `n/d`."""
    return float(value) if Fraction(str(float(value))) == value else str(value)


def _token_count(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([KMBT]?)", str(value).strip())
    if not match:
        raise ValueError(f"expected a number of tokens such as 160B, 2.5M or 1_000_000, or all; found {value!r}")
    count = Fraction(match[1].replace("_", "")) * _UNITS[match[2]]
    if count.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of tokens")
    return int(count)


Name = Annotated[str, AfterValidator(_safe_name)]
# A path, or an address in an object store.
Location = Annotated[str, AfterValidator(_location)]
Exact = Annotated[Fraction, BeforeValidator(_exact), PlainSerializer(_write_exact)]
TokenCount = Annotated[int | Literal["all"], BeforeValidator(_token_count)]
