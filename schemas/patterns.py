"""Patterns of input files as text: what `~`, `$NAME` and braces stand for, and where the first wildcard is.

```
pattern             ~/c4/$LANG/{train,dev}-*/0?.json
expand_variables    /home/ann/c4/en/{train,dev}-*/0?.json
head_of             /home/ann/c4/en/
expand_braces       /home/ann/c4/en/train-*/0?.json    /home/ann/c4/en/dev-*/0?.json
```

Braces are a shell's: `{a,b}`, `{,-v2}`, `{01..12}`, `{a..f}`, one inside another. `{a}` is a name, and so is a brace
that is never closed. `byline.transforms.corpora.listing` matches the rest of a pattern.
"""

import os
import re

from byline.errors import BylineError

WILDCARD = re.compile(r"[*?\[]")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))", re.ASCII)
_INNERMOST = re.compile(r"\{(?P<inner>[^{}]*)\}")
_NUMBERS = re.compile(r"(?P<first>[0-9]{1,9})\.\.(?P<last>[0-9]{1,9})")
_LETTERS = re.compile(r"(?P<first>[a-z])\.\.(?P<last>[a-z])|(?P<First>[A-Z])\.\.(?P<Last>[A-Z])")
# What braces that are a name are, while others are expanded; no path has a NUL.
_KEPT = ("\0<", "\0>")
_MOST_PATTERNS = 1000


def expand_variables(pattern: str) -> str:
    """`~` and `~user` at the start of a pattern, `$NAME` and `${NAME}` anywhere; what is not known stays as it is."""
    return os.path.expandvars(os.path.expanduser(pattern))


def unset_variables(pattern: str) -> list[str]:
    """Names after `$` that are none of the environment."""
    names = [match["braced"] or match["plain"] for match in _VARIABLE.finditer(pattern)]
    return [name for name in names if name not in os.environ]


def expand_braces(pattern: str) -> list[str]:
    """The patterns that one with braces stands for, each once; of one without, that pattern.

    Raises:
        BylineError: they are more than a thousand.
    """
    waiting, expanded = [pattern], dict[str, None]()
    while waiting:
        text = waiting.pop()
        braces = _INNERMOST.search(text)
        if braces is None:
            expanded[text.replace(_KEPT[0], "{").replace(_KEPT[1], "}")] = None
        else:
            before, after = text[: braces.start()], text[braces.end() :]
            waiting += [before + choice + after for choice in reversed(_choices(braces["inner"]))]
        if len(waiting) + len(expanded) > _MOST_PATTERNS:
            raise BylineError(
                f"{pattern}: its braces stand for more than {_MOST_PATTERNS:,} patterns; write a wildcard instead"
            )
    return list(expanded)


def _choices(inner: str) -> list[str]:
    """What stands between innermost braces, one by one."""
    if "," in inner:
        return inner.split(",")
    if numbers := _NUMBERS.fullmatch(inner):
        first, last = numbers["first"], numbers["last"]
        width = max(len(first), len(last)) if first[0] == "0" or last[0] == "0" else 0
        # One too many is enough to be refused.
        return [f"{number:0{width}}" for number in _steps(int(first), int(last))[: _MOST_PATTERNS + 1]]
    if letters := _LETTERS.fullmatch(inner):
        first, last = letters["first"] or letters["First"], letters["last"] or letters["Last"]
        return [chr(code) for code in _steps(ord(first), ord(last))]
    return [_KEPT[0] + inner + _KEPT[1]]


def _steps(first: int, last: int) -> range:
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def names_of(pattern: str) -> str:
    """What comes before the first wildcard: `*`, `?`, `[`, or a brace where braces stand for something else."""
    names = WILDCARD.split(pattern, maxsplit=1)[0]
    return names if expand_braces(pattern) == [pattern] else names.partition("{")[0]


def head_of(pattern: str) -> str:
    """The folder of the first wildcard, or of the file where there is none; empty, or with `/` at its end."""
    names = names_of(pattern)
    return names[: names.rfind("/") + 1]
