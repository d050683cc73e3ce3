r"""Text that a terminal shows and does not obey: whatever it would act on becomes an escape.

```
"a\x1b[2Jb"    a\x1b[2Jb          a sequence that clears the screen
"a\u202eb"     a\u202eb           an override of the direction of writing
"a\udcffb"     a\udcffb           a byte of a name that is not UTF-8
"a\tb\nc"      a\tb\nc            on one line; `keep="\n\t"` leaves both
```
"""

import re

_ACTIVE = re.compile(
    "["
    "\0-\x1f\x7f-\x9f"  # C0 and C1 controls, DEL
    "\xad\u200b-\u200d\u2060-\u2064\ufeff\ufff9-\ufffb"  # what joins or divides without being seen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # what turns the direction of writing
    "\u180e\u2028\u2029"  # line ends of Unicode
    "\ud800-\udfff"  # halves of surrogate pairs, as which Python has bytes of names that are not UTF-8
    "]"
)
# The longest message that is shown whole, in characters.
LONGEST = 2000
_GAP = " ... "


def printable(text: str, keep: str = "") -> str:
    """The text with escapes for what a terminal would act on, except the characters of `keep`."""
    return _ACTIVE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    simple = {9: r"\t", 10: r"\n", 13: r"\r"}
    return simple.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text of at most `longest` characters: of a longer one, the beginning and the end."""
    if len(text) <= longest:
        return text
    head = (longest - len(_GAP) + 1) // 2
    return text[:head] + _GAP + text[len(text) - (longest - len(_GAP) - head) :]


def shown(value: object, longest: int = 200) -> str:
    """A value for a message: its `repr`, printable and not longer than a glance takes."""
    return shortened(printable(repr(value)), longest)


def one_line(error: object, longest: int = LONGEST) -> str:
    """An error's text for a message: on one line, of at most `longest` characters."""
    return shortened(" ".join(str(error).split()), longest)
