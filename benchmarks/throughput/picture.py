"""The speed and the processor time of each way, as bars in an SVG; needs matplotlib, which Byline itself does not.

```
conditioned: plain loop               ######## 14.2        ##### 71
conditioned: byline build, 1 worker   ####### 12.1         ###### 80
                                      MB/s                 processor s a GB
```
"""

from pathlib import Path

from benchmarks.throughput.results import Results

COLORS = {"loop": "#8c8c8c", "byline": "#1f6f8b", "peer": "#c46a2b"}


def draw(results: Results, path: Path) -> str | None:
    """Writes the picture; returns why it could not."""
    try:
        import matplotlib
    except ImportError:
        return "no picture: matplotlib is not installed (pip install matplotlib)"
    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "byline", "font.size": 9})
    from matplotlib import pyplot

    rows, gigabytes = list(results.rows)[::-1], results.text_bytes / 1e9
    panels = (
        ("MB of text a second", [gigabytes * 1e3 / row.seconds for row in rows], "{:.1f}"),
        ("processor seconds a GB", [row.cpu_seconds / gigabytes for row in rows], "{:.0f}"),
    )
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 0.4 * len(rows) + 1), sharey=True, layout="constrained")
    for axis, (title, values, form) in zip(axes, panels, strict=True):
        bars = axis.barh([row.name for row in rows], values, color=[COLORS[row.kind] for row in rows])
        axis.bar_label(bars, labels=[form.format(value) for value in values], padding=3)
        axis.set_title(title)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return None
