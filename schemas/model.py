"""The building blocks of the configuration: strict models, names, and numbers kept exactly as written."""

import re
from collections.abc import Hashable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)

from byline import locations
from byline.printable import shown

Value = TypeVar("Value", bound=Hashable)
# The longest name: one of a folder or file may have 255 bytes.
_LONGEST_NAME = 200
# A number as a person writes it; the power of an exponent is what makes a short text a number without end.
_DIGITS = "[0-9_]{0,400}"
_NUMBER = re.compile(rf"\s*[-+]?(?=[0-9.]){_DIGITS}(?:/{_DIGITS}|(?:\.{_DIGITS})?(?:[eE][-+]?[0-9]{{1,3}})?)\s*")
_LARGEST = 10**300
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,40})?) ?%")
_WHOLE = re.compile(r"[0-9]{1,12}")
_NUMBER_AND_UNIT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?\s*(?:[KMGT]i?B?|B)", re.IGNORECASE)
_SIZE = TypeAdapter(ByteSize)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Model(BaseModel):
    """Refuses unknown keys; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is int:
            raise ValueError(f"expected a whole number, found {str(value).lower()}")
        return value


def _safe_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{shown(name)} is not a usable name: letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
        )
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"{shown(name)} is not a usable name: it has more than {_LONGEST_NAME} characters")
    return name


def _location(location: str) -> str:
    locations.check(location)
    return location


def first_twice(values: Iterable[Value]) -> Value | None:
    """The first value that stands there a second time."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def exact_number(value: Any) -> Fraction:
    """Keeps a number as the decimal that was written: 0.1 is 1/10, not the nearest binary fraction.

    Raises:
        ValueError: it is no number, or none of a size that anything here has.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError(f"expected a number, found {shown(value)}")
    text = value if isinstance(value, str) else str(value)
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a number, found {shown(value)}")
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number, found {shown(value)}") from None
    if abs(number) > _LARGEST:
        raise ValueError(f"expected a number of at most 1e300, found {shown(value)}")
    return number


def write_exact(value: Fraction) -> float | str:
    """A decimal if it reads back as the same fraction, else `n/d`."""
    return float(value) if Fraction(str(float(value))) == value else str(value)


def share_of(percentage: str) -> Fraction | None:
    """The share that a text such as `2.5%` says; None for any other text."""
    match = _PERCENTAGE.fullmatch(percentage)
    return None if match is None else Fraction(match[1]) / 100


def _share(value: Any) -> Any:
    share = share_of(value) if isinstance(value, str) else None
    return value if share is None else share


def size_of(text: str) -> int:
    """Bytes of a size like `64MiB`, `1.5 GB` or `12B`.

    Raises:
        ValueError: it is none, or has no unit.
    """
    # Pydantic reads `12` and `1,5GB` as bytes, 12 and 1.
    if not _NUMBER_AND_UNIT.fullmatch(text):
        raise ValueError(f"expected a number and a unit, as in 64MiB, 500MB or 1GiB; found {shown(text)}")
    return int(_SIZE.validate_python(text))


def _byte_count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if not isinstance(value, str) or "." in value:
            raise ValueError
        return int(value) if _WHOLE.fullmatch(value) else size_of(value)
    except ValueError:
        raise ValueError(
            f"expected a number of bytes, or one with a unit such as 32MiB; found {shown(value)}"
        ) from None


def _token_count(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value).strip() if isinstance(value, (str, float)) else ""
    match = re.fullmatch(r"([0-9][0-9_]{0,40}(?:\.[0-9]{1,40})?)\s*([KMBT]?)", text)
    if not match:
        raise ValueError(f"expected a number of tokens such as 160B, 2.5M or 1_000_000, or all; found {shown(value)}")
    count = Fraction(match[1].replace("_", "")) * _UNITS[match[2]]
    if count.denominator != 1:
        raise ValueError(f"{shown(value)} is not a whole number of tokens")
    return int(count)


Name = Annotated[str, AfterValidator(_safe_name)]
# A path, or an address in an object store.
Location = Annotated[str, AfterValidator(_location)]
Exact = Annotated[Fraction, BeforeValidator(exact_number), PlainSerializer(write_exact)]
# From 0 to 1, or in per cent as text: `1%`.
Share = Annotated[Exact, BeforeValidator(_share), Field(ge=0, le=1)]
# A number of bytes, or one with a unit as text: `32MiB`.
ByteCount = Annotated[int, BeforeValidator(_byte_count)]
TokenCount = Annotated[int | Literal["all"], BeforeValidator(_token_count)]
