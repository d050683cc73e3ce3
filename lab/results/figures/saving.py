"""A figure as bytes: a part of a page, or a file of its own. The same figure gives the same bytes.

```
inline   <svg viewBox="0 0 547 302" role="img" aria-labelledby="loss-title loss-text"><title ...><desc ...>...
         colours are variables, `var(--arm-1, #0072b2)`, so that the page's theme decides
file     the same with the light colours, on white; `.png` at 200 dots an inch
```

Text is drawn as shapes, so a figure is the same wherever it is opened, and no font has to be there.
"""

import io
import re
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from byline.lab.results.figures.style import PAPER, THEME

_DOTS = 200
_VARIABLES = {light: f"var(--{name}, {light})" for name, (light, _) in THEME.items()}
_COLOUR = re.compile("|".join(_VARIABLES))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure of its own: `.svg` or `.png`."""
    if path.suffix == ".svg":
        path.write_bytes(_svg(figure, path.stem, facecolor=PAPER))
    else:
        figure.savefig(path, dpi=_DOTS, facecolor=PAPER, metadata={"Software": None})


def inline(figure: Figure, name: str, title: str, description: str) -> str:
    """A figure as an element of a page.

    Args:
        figure: what was drawn.
        name: before all ids in it, so that they are those of no other figure.
        title: what it is.
        description: what it shows, in words.
    """
    text = _svg(figure, name, facecolor="none").decode("utf-8")
    body = text[text.index("<svg") :]
    opening, body = body.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    assert box is not None, opening
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", body)
    body = _COLOUR.sub(lambda match: _VARIABLES[match[0]], body)
    width, height = box[1].split()[2:]
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" width="{width}pt" height="{height}pt" '
        f'role="img" aria-labelledby="{name}-title {name}-text"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(description)}</desc>{body.rstrip()}'
    )


def _svg(figure: Figure, salt: str, facecolor: str) -> bytes:
    sink = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": salt}):
        figure.savefig(sink, format="svg", facecolor=facecolor, metadata={"Date": None, "Creator": None})
    return sink.getvalue()
