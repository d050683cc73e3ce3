"""Rules of a filter: objects that hold their settings, their test and their documentation.

```
filter:
  - gopher_words                       published bounds        reason filter_gopher_words
  - words: {at_least: 20}              bounds of one's own     reason filter_words
  - words: {at_most: 9, name: brief}   a name of one's own     reason filter_brief
```

A rule is a subclass of `Rule` in a module of this package, listed in `every_rule.RULES`; its fields are
its settings. Most rules measure a number and compare it with bounds; they are subclasses of `Bounds`.
"""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError, model_validator

from byline.errors import BylineError
from byline.schemas.model import Model, Name

if TYPE_CHECKING:
    from byline.transforms.filters.document_view import DocumentView

# Which documents are kept: bool [documents]; or a string of each that says why it is dropped, null to keep it.
Verdict: TypeAlias = np.ndarray | pa.Array
Test: TypeAlias = "Callable[[DocumentView], Verdict]"
REASON_PREFIX = "filter_"

GOPHER = "arXiv 2112.11446"
C4 = "arXiv 1910.10683, section 2.2"
FINEWEB = "arXiv 2406.17557, section 3.6"


@dataclass(frozen=True)
class SourceColumns:
    """What documents of a source have when they are filtered.

    Attributes:
        source: its name.
        numbers: scores, and fields kept as numbers.
        texts: `text`, `url`, `host`, `registered_domain`, labels, and fields kept as strings.
    """

    source: str
    numbers: list[str]
    texts: list[str]


class Rule(Model):
    """A rule; its fields are its settings.

    Attributes:
        kind: its name in a recipe.
        keeps: which documents it keeps, one line.
        source: where it is published; empty for one that is not.
        is_costly: whether it only sees documents that the rules before it keep.
        gives_reasons: whether its test says why a document is dropped, which counts as `filter_<name>_<why>`.
        name: used in its reason in place of `kind`, so that a filter may have a rule twice.
    """

    kind: ClassVar[str]
    keeps: ClassVar[str]
    source: ClassVar[str] = ""
    is_costly: ClassVar[bool] = False
    gives_reasons: ClassVar[bool] = False

    name: Name | None = Field(default=None)

    @property
    def reason(self) -> str:
        """The reason, in the ledger, of the documents that it drops."""
        return f"{REASON_PREFIX}{self.name or self.kind}"

    def check(self, columns: SourceColumns) -> None:
        """Checks that the source's documents have the columns it names. Raises: BylineError, without the key."""

    def files(self) -> dict[str, str]:
        """Setting -> path of the file it names, whose content is part of the fingerprint."""
        return {}

    def versions(self) -> dict[str, Any]:
        """What else is part of the fingerprint, such as the version of a table."""
        return {}

    def look(self) -> str | None:
        """Opens what the rule names, except models, and describes it; None for a rule that names nothing.

        Raises:
            BylineError: it cannot be opened.
        """
        return None

    def open(self, cache_folder: str) -> Test:
        """The test, with everything it needs loaded.

        Args:
            cache_folder: where folded models are kept.

        Raises:
            BylineError: a file cannot be read.
        """
        raise NotImplementedError


class Bounds(Rule):
    """A rule that keeps documents whose number is within bounds, inclusive.

    Attributes:
        at_least, at_most: None for no bound.
    """

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Bounds":
        if self.at_least is None and self.at_most is None:
            raise ValueError("expected at_least, at_most or both")
        for bound in (self.at_least, self.at_most):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"expected finite bounds, found {bound}")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least:g}, more than at_most {self.at_most:g}; no document is both")
        return self

    def measure(self, documents: "DocumentView") -> np.ndarray:
        """The number of each document: int64 or float64 [documents]."""
        raise NotImplementedError

    def open(self, cache_folder: str) -> Test:
        return lambda documents: self.within(self.measure(documents))

    def within(self, values: np.ndarray) -> np.ndarray:
        """Which values are within the bounds (bool); NaN never is."""
        keep = ~np.isnan(values)
        if self.at_least is not None:
            keep &= values >= self.at_least
        if self.at_most is not None:
            keep &= values <= self.at_most
        return keep


# Rules that a recipe can name together, each with the settings that differ from its defaults.
Group = list[tuple[type[Rule], dict[str, Any]]]


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """float64: `part / whole`, 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def read_settings(rule: type[Rule], settings: Mapping[str, Any]) -> Rule:
    """A rule with its settings.

    Raises:
        BylineError: an unknown setting or a wrong value; without the rule's key.
    """
    try:
        return rule.model_validate(dict(settings))
    except ValidationError as error:
        raise BylineError(_explain(rule, error)) from None


def _explain(rule: type[Rule], error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = [name for name in rule.model_fields if name != "name"]
        return f"unknown key {where!r}; {nearest(where, [*known, 'name'])}"
    if first["type"] == "missing":
        return f"{where}: this key is needed"
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}; found {first['input']!r}"


def nearest(name: str, known: list[str]) -> str:
    """Advice for an unknown name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
