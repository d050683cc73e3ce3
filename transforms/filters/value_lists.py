"""Rules that look up a document's host or registered domain in lists, and the files that hold them.

```
hosts: {deny: blocked.txt}                    blocked.txt    # advertisers
domains: {allow: [example.org, example.net]}                 ads.example
                                                             tracker.example
```
"""

from typing import ClassVar

import numpy as np
from pydantic import field_validator, model_validator

from byline.errors import BylineError
from byline.schemas.model import Location
from byline.transforms.files.storage import read_bytes
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.rules import Rule, Test
from byline.transforms.filters.word_lists import WordList, are_listed, make_word_list


def read_values(uri: str) -> list[str]:
    """The lines of a file, stripped; blank lines and lines starting with # are skipped.

    Raises:
        BylineError: it cannot be read, is not UTF-8, or has no value.
    """
    try:
        lines = [line.strip() for line in read_bytes(uri).decode().splitlines()]
    except UnicodeDecodeError:
        raise BylineError(f"{uri}: expected a list with one value per line in UTF-8, found something else") from None
    values = [line for line in lines if line and not line.startswith("#")]
    if not values:
        raise BylineError(f"{uri}: expected a list with one value per line, found none")
    return values


class _Listed(Rule):
    """A rule that looks up a column in lists.

    Attributes:
        allow, deny: values, or a file with one per line; the case of ASCII letters is ignored.
    """

    column: ClassVar[str]

    allow: Location | tuple[str, ...] | None = None
    deny: Location | tuple[str, ...] | None = None

    @field_validator("allow", "deny")
    @classmethod
    def _not_empty(cls, values: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if values == ():
            raise ValueError("expected values, or a file of them, found none")
        return values

    @model_validator(mode="after")
    def _given(self) -> "_Listed":
        if self.allow is None and self.deny is None:
            raise ValueError("expected allow, deny or both")
        return self

    def files(self) -> dict[str, str]:
        named = {"allow": self.allow, "deny": self.deny}
        return {setting: values for setting, values in named.items() if isinstance(values, str)}

    def look(self) -> str | None:
        found = [f"{uri}, {len(read_values(uri)):,} values" for uri in self.files().values()]
        return "; ".join(found) or None

    def open(self, cache_folder: str) -> Test:
        allowed, denied = _open_list(self.allow), _open_list(self.deny)

        def keeps(documents: DocumentView) -> np.ndarray:
            values = documents.column(self.column)
            keep = np.ones(len(documents), bool)
            if allowed is not None:
                keep &= are_listed(values, allowed)
            if denied is not None:
                keep &= ~are_listed(values, denied)
            return keep

        return keeps


def _open_list(values: str | tuple[str, ...] | None) -> WordList | None:
    if values is None:
        return None
    return make_word_list(read_values(values) if isinstance(values, str) else values)


class Hosts(_Listed):
    """The full host; a document without one passes `deny` and fails `allow`."""

    kind: ClassVar[str] = "hosts"
    keeps: ClassVar[str] = "documents whose host is in `allow`, or not in `deny`"
    column: ClassVar[str] = "host"


class Domains(_Listed):
    """The registered domain, and so every host below it; otherwise like `Hosts`."""

    kind: ClassVar[str] = "domains"
    keeps: ClassVar[str] = "documents whose registered domain is in `allow`, or not in `deny`"
    column: ClassVar[str] = "registered_domain"
