"""Matches paths with patterns: the part of a pattern below its head, without braces.

```
*.json      (?![._])[^/]*\\.json
**/a?.json  (?:(?![._])[^/]*/)*a[^/]\\.json      folders without a name are told of, not left out
```

An object store lists all keys below a prefix, and each is matched as a whole (`whole_regex`). A disk is listed folder
by folder, and names are matched one after another (`Names`), so that no folder is opened in which nothing can match.
"""

import re

from byline.schemas.patterns import WILDCARD

# What Arrow's and Hadoop's readers leave out too.
_NOT_HIDDEN = "(?![._])"
_ANY_FOLDERS = "**"
# Where a path stands in patterns: (number of the pattern, how many of its parts are matched).
States = frozenset[tuple[int, int]]


class Names:
    """Matches paths name by name.

    Args:
        tails: patterns below one folder.

    Raises:
        re.error: one is no pattern.
    """

    def __init__(self, tails: list[str]) -> None:
        # A `**` at the end is any file below.
        parts = [tail.split("/") for tail in tails]
        self._parts = [[*names, "*"] if names[-1] == _ANY_FOLDERS else names for names in parts]
        self._regexes = {
            part: re.compile(part_regex("*" if part == _ANY_FOLDERS else part), re.DOTALL)
            for parts in self._parts
            for part in parts
        }

    @property
    def start(self) -> States:
        """Where the folder stands."""
        return self._closed({(number, 0) for number in range(len(self._parts))})

    def after(self, states: States, name: str) -> States:
        """Where something of that name in a folder stands."""
        reached = set()
        for number, matched in states:
            parts = self._parts[number]
            if matched < len(parts) and self._regexes[parts[matched]].fullmatch(name):
                reached.add((number, matched + (parts[matched] != _ANY_FOLDERS)))
        return self._closed(reached)

    def is_match(self, states: States) -> bool:
        """Whether a file that stands there is one of those that a pattern means."""
        return any(matched == len(self._parts[number]) for number, matched in states)

    def leads_on(self, states: States) -> bool:
        """Whether a folder that stands there may hold such files."""
        return any(matched < len(self._parts[number]) for number, matched in states)

    def is_named(self, states: States) -> bool:
        """Whether a folder that stands there is meant by more than a `**`."""
        return any(
            0 < matched < len(self._parts[number]) and self._parts[number][matched - 1] != _ANY_FOLDERS
            for number, matched in states
        )

    def _closed(self, states: set[tuple[int, int]]) -> States:
        """With those behind a `**`, which stands for no folder, too."""
        waiting = list(states)
        for number, matched in waiting:
            parts = self._parts[number]
            if matched < len(parts) and parts[matched] == _ANY_FOLDERS and (number, matched + 1) not in states:
                states.add((number, matched + 1))
                waiting.append((number, matched + 1))
        return frozenset(states)


def whole_regex(tail: str) -> str:
    """The regular expression of a pattern below its head."""
    *folders, last = tail.split("/")
    parts = [f"(?:{_NOT_HIDDEN}[^/]*/)*" if part == "**" else part_regex(part) + "/" for part in folders]
    if last == "**":
        return "".join(parts) + f"(?:{_NOT_HIDDEN}[^/]*/)*{_NOT_HIDDEN}[^/]+"
    return "".join(parts) + part_regex(last)


def part_regex(part: str) -> str:
    """One part between slashes; a bracket that is never closed stands for itself."""
    pieces = [_NOT_HIDDEN if WILDCARD.match(part) else ""]
    for token in re.findall(r"\*+|\?|\[!?\]?[^\]]*\]|.", part, re.DOTALL):
        if token[0] == "*":
            pieces.append("[^/]*")
        elif token == "?":
            pieces.append("[^/]")
        elif token[0] == "[" and len(token) > 2 and token != "[!]":
            negated = token[1] == "!"
            members = re.sub(r"([\\\[\]&~|^])", r"\\\1", token[2 if negated else 1 : -1])
            pieces.append(f"(?!/)[{'^' if negated else ''}{members}]")
        else:
            pieces.append(re.escape(token))
    return "".join(pieces)
