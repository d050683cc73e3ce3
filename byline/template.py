"""The prompt template: literal text and fields in braces.

```
template   "URL: {host}\n\n"          fields     ("host",)
values     host = en.wikipedia.org    filled     "URL: en.wikipedia.org\n\n"
values     host = None                filled     "URL: unknown\n\n"
```

`{{` and `}}` stand for the braces themselves. A field is a plain name, or `package.module:object` for a user's own,
without attributes or formats, so an untrusted template can read nothing but the fields it is given.
"""

import re
from collections.abc import Mapping

from byline.errors import BylineError

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*(?::[A-Za-z_]\w*)?)\}|[{}]")


class Template:
    """A parsed template.

    Attributes:
        text: the template as written.
        parts: `(literal, field)` pairs in order; the last field is None.
        fields: the fields' names, each once, in order of first use.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts: list[tuple[str, str | None]] = []
        literal, end = "", 0
        for match in _PART.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            if match[1] is not None:
                self.parts.append((literal, match[1]))
                literal = ""
            elif match[0] in ("{{", "}}"):
                literal += match[0][0]
            else:
                raise BylineError(
                    f"template {text!r}: a lone {match[0]!r} at character {match.start()}; "
                    f"write {match[0] * 2!r} for the brace itself"
                )
        self.parts.append((literal + text[end:], None))
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def fill(self, values: Mapping[str, str | None], unknown: str) -> str:
        """Fills the template; a field that is None or absent becomes `unknown`."""
        filled = []
        for literal, name in self.parts:
            filled.append(literal)
            if name is not None:
                value = values.get(name)
                filled.append(unknown if value is None else value)
        return "".join(filled)
