"""The text of a page of HTML, without what is around it on every page of its site.

```
<head>..</head><nav>Home</nav>
<h1>Lists</h1><p>A list  has <b>items</b>.</p>     Lists
<pre>for item in items:                            A list has items.
    print(item)</pre>                              for item in items:
<ul><li>one<li>two</ul>                                print(item)
                                                   one
                                                   two
```

Blocks begin a line, white space is one space but in `<pre>`, empty lines go, and so do scripts, styles, navigation and
what a site says below each page.
"""

import re
from html.parser import HTMLParser

_BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|fieldset|figcaption|figure|h[1-6]|hr|li|main"
    "|ol|p|pre|section|summary|table|tbody|td|th|thead|tr|ul"
)
_LEFT_OUT = re.compile("button|footer|head|nav|noscript|script|style|svg|template")
# Of Sphinx, mdBook, Javadoc and texinfo.
_LEFT_OUT_CLASS = re.compile("headerlink|sphinxsidebar|related|footer|sub-nav|skip-nav|nav-chapters|menu-bar|docnav")


def text_of(html: str) -> str:
    """The text, a line a block, without a line end behind the last."""
    parser = _Reader()
    parser.feed(html)
    parser.close()
    return "\n".join(line for line in parser.lines() if line)


class _Reader(HTMLParser):
    """Collects lines: of each, its text and whether that is preformatted."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[tuple[bool, list[str]]] = [(False, [])]
        self._preformatted = 0
        # The element that is left out, and how many of its name are open inside of it.
        self._left_out: tuple[str, int] | None = None

    def lines(self) -> list[str]:
        """Without white space at their ends; those outside of `<pre>` without double spaces."""
        made = []
        for is_preformatted, parts in self._blocks:
            text = "".join(parts)
            made += [line.rstrip() for line in text.split("\n")] if is_preformatted else [" ".join(text.split())]
        return made

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._left_out is not None:
            name, depth = self._left_out
            self._left_out = (name, depth + (tag == name))
        elif _LEFT_OUT.fullmatch(tag) or _is_around(dict(attrs)):
            self._left_out = (tag, 1)
        elif _BLOCK.fullmatch(tag):
            self._preformatted += tag == "pre"
            self._begin()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._left_out is None and _BLOCK.fullmatch(tag):
            self._begin()

    def handle_endtag(self, tag: str) -> None:
        if self._left_out is not None:
            name, depth = self._left_out
            depth -= tag == name
            self._left_out = (name, depth) if depth else None
        elif _BLOCK.fullmatch(tag):
            self._preformatted = max(self._preformatted - (tag == "pre"), 0)
            self._begin()

    def handle_data(self, data: str) -> None:
        if self._left_out is None:
            self._blocks[-1][1].append(data)

    def _begin(self) -> None:
        self._blocks.append((self._preformatted > 0, []))


def _is_around(attributes: dict[str, str | None]) -> bool:
    classes = (attributes.get("class") or "").split()
    return attributes.get("role") == "navigation" or any(map(_LEFT_OUT_CLASS.fullmatch, classes))
