"""A plan as a picture in text: the shares of the sources, stacked, over the tokens of the timeline.

```
100%┤▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒   ▒ c4    26.0%
    │▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒   ▓ wiki  16.0%
 50%┤████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓│▓▓▓▓   █ dclm  58.0%
    │███████████████████████████│████
  0%└───────────────────────────┴────┘
     0                     8.6 B      10.0 B tokens
     main                        cooldown
                    ╰─ cool-50                  a branch: where it leaves, and how long it is, to the scale above
```

A column shows the mean share of its stretch of tokens and of the two beside it, as the plan expects it, to three
quarters of a character; a share of a fortieth or more is at least one character high.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from byline.schemas.planned_stage import PlannedStage, Stretch

MOST_WIDTH = 120
HEIGHT = 10
_LEAST_COLUMNS = 24
# Of a character, how far a height may be from its share before it changes.
_NEAR = 0.75
_AXIS = 5  # columns of `100%┤`
_FILLS = "█▓▒░#=+:ox"
_ASCII = str.maketrans("█▓▒░│┤└─┴┘╰", "@%*.||+-++`")
# As many as fills; the last one is for what is grouped.
_STYLES = ("blue", "green", "yellow", "magenta", "cyan", "red", "bright_blue", "bright_green", "bright_cyan", "white")


def draw_timeline(stages: Sequence[PlannedStage], length: int, width: int, *, is_ascii: bool = False) -> list[Text]:
    """Draws the timeline and its branches.

    Args:
        stages: of the plan.
        length: tokens in a sequence.
        width: columns of the console.
        is_ascii: whether the console knows no other characters.

    Returns:
        The lines; none for a plan without sequences.
    """
    phases = [stage for stage in stages if stage.branch is None]
    total = sum(phase.expected_rows for phase in phases)
    if total == 0:
        return []
    layers, legend = _layers(phases)
    width = min(width, MOST_WIDTH)
    # Two columns before the legend, and one that closes the axis.
    columns = max(width - _AXIS - 3 - max(len(line) for line in legend), _LEAST_COLUMNS)
    scale = _Scale.of([phase.expected_rows for phase in phases], columns)
    lines = _plot(phases, scale, layers, legend)
    lines += [Text(line.rstrip()) for line in _below(phases, scale, length, max(width, _AXIS + columns))]
    lines += [Text(line.rstrip()) for line in _branches(stages, phases, scale, max(width, _AXIS + columns))]
    return [_in_ascii(line) for line in lines] if is_ascii else lines


@dataclass(frozen=True)
class _Scale:
    """Which columns show which phase.

    Attributes:
        rows: sequences of each phase.
        spans: first column of each phase, and the one behind its last.
        has_borders: whether a column stands between phases.
    """

    rows: list[int]
    spans: list[tuple[int, int]]
    has_borders: bool

    @classmethod
    def of(cls, rows: list[int], columns: int) -> "_Scale":
        has_borders = len(rows) <= columns // 8
        border = int(has_borders)
        widths = spread(rows, columns - border * (len(rows) - 1), least=int(len(rows) <= columns // 2))
        starts = [sum(widths[:number]) + border * number for number in range(len(rows))]
        return cls(rows, [(start, start + size) for start, size in zip(starts, widths, strict=True)], has_borders)

    @property
    def end(self) -> int:
        return self.spans[-1][1]

    def column(self, phase: int, row: float) -> int:
        """The column of a point of the timeline, at or behind the phase's first one."""
        first, end = self.spans[phase]
        inside = (row - sum(self.rows[:phase])) / max(self.rows[phase], 1)
        return first + round(min(max(inside, 0.0), 1.0) * (end - first))


def spread(sizes: Sequence[float], slots: int, *, least: int = 0) -> list[int]:
    """Divides slots in proportion to sizes, by Sainte-Lague; `least` is what each gets first.

    Sizes may not be all 0.
    """
    given = [least] * len(sizes)
    for _ in range(slots - sum(given)):
        # A quarter instead of a half, so that a size that would be rounded away is still seen.
        quotients = [size / (got + 0.5 if got else 0.25) for size, got in zip(sizes, given, strict=True)]
        given[quotients.index(max(quotients))] += 1
    return given


def _layers(phases: Sequence[PlannedStage]) -> tuple[list[set[str]], list[str]]:
    """The sources of each layer, the largest source first, and a line of the legend for each; many make one layer."""
    positions: dict[str, int] = {}
    for phase in phases:
        for source, planned in phase.sources.items():
            positions[source] = positions.get(source, 0) + planned.expected_positions
    names = sorted(positions, key=lambda name: (-positions[name], name))
    layers = [{name} for name in names]
    shown = list(names)
    if len(names) > HEIGHT:
        layers = [*layers[: HEIGHT - 1], set(names[HEIGHT - 1 :])]
        shown = [*names[: HEIGHT - 1], f"{len(names) - HEIGHT + 1} others"]
    total, longest = max(sum(positions.values()), 1), max(map(len, shown))
    shares = [sum(positions[name] for name in layer) / total for layer in layers]
    return layers, [
        f"{fill} {name:<{longest}} {share:>6.1%}" for fill, name, share in zip(_FILLS, shown, shares, strict=False)
    ]


def _plot(phases: Sequence[PlannedStage], scale: _Scale, layers: list[set[str]], legend: list[str]) -> list[Text]:
    columns = _columns(phases, scale, layers)
    styles = dict(zip(_FILLS, _STYLES, strict=True))
    lines = []
    for height in reversed(range(HEIGHT)):
        line = Text({HEIGHT - 1: "100%┤", HEIGHT // 2 - 1: " 50%┤"}.get(height, "    │"))
        for fill, run in groupby(column[height] for column in columns):
            line.append("".join(run), styles.get(fill))
        if height < len(legend):
            line.append("   ").append(legend[height], _STYLES[height])
        lines.append(line)
    return lines


def _columns(phases: Sequence[PlannedStage], scale: _Scale, layers: list[set[str]]) -> list[str]:
    """The characters of each column, from the bottom; spaces where a phase has nothing."""
    columns: list[str] = []
    heights = [0] * len(layers)
    for phase, (first, end) in zip(phases, scale.spans, strict=True):
        if columns and scale.has_borders:
            columns.append("│" * HEIGHT)
        for number in range(end - first):
            # With its neighbours, since single documents decide what is in a few sequences.
            around = max(number - 1, 0) / (end - first), min(number + 2, end - first) / (end - first)
            shares = mean_shares(phase.timeline, *around)
            # Rounded, so that the noise of single documents does not decide between shares that are meant to be equal.
            sizes = [round(sum(shares.get(name, 0.0) for name in layer), 2) for layer in layers]
            if sum(sizes) == 0:
                columns.append(" " * HEIGHT)
                continue
            # Kept while they are nearly right, or a share between two heights would flicker from column to column.
            is_far = max(abs(size * HEIGHT - had) for size, had in zip(sizes, heights, strict=True)) > _NEAR
            if is_far or sum(heights) == 0:
                heights = spread(sizes, HEIGHT)
            columns.append("".join(fill * height for fill, height in zip(_FILLS, heights, strict=False)))
    return columns


def mean_shares(timeline: Sequence[Stretch], start: float, end: float) -> dict[str, float]:
    """The mean share of each source between two points of a phase (0 to 1)."""
    sums: dict[str, float] = {}
    before = 0.0
    for stretch in timeline:
        shared = max(min(end, stretch.end) - max(start, before), 0.0)
        for source, share in stretch.shares.items():
            sums[source] = sums.get(source, 0.0) + shared * share
        before = stretch.end
    return {source: value / (end - start) for source, value in sums.items()}


def _below(phases: Sequence[PlannedStage], scale: _Scale, length: int, width: int) -> list[str]:
    """The axis, the tokens at its borders, and the names of the phases."""
    axis = ["─"] * scale.end
    for first, _ in scale.spans[1:]:
        # A phase that is too short for a column may begin behind the last one.
        axis[min(first, scale.end - 1) - int(scale.has_borders)] = "┴"
    lines = [f"  0%└{''.join(axis)}┘"]
    ends = [sum(scale.rows[: number + 1]) * length for number in range(len(phases))]
    last = f"{short(ends[-1])} tokens"
    marks = [(0, "0"), (min(scale.end, width - _AXIS - len(last)), last)]
    for (_, end), tokens in zip(scale.spans[:-1], ends[:-1], strict=True):
        mark = (end - len(short(tokens)), short(tokens))
        if all(not _touches(mark, other) for other in marks):
            marks.append(mark)
    names = [(first, phase.name) for phase, (first, _) in zip(phases, scale.spans, strict=True)]
    return [*lines, *_lanes(marks, width), *_lanes(names, width)]


def _branches(stages: Sequence[PlannedStage], phases: Sequence[PlannedStage], scale: _Scale, width: int) -> list[str]:
    numbers = {phase.name: number for number, phase in enumerate(phases)}
    total = sum(scale.rows)
    marks = []
    for stage in stages:
        if stage.branch is None or stage.is_holdout:
            continue
        column = scale.column(numbers[stage.branch.phase], stage.leave_row(total))
        size = max(round(stage.expected_rows / total * scale.end), 1)
        marks.append((column, f"╰{'─' * size} {stage.name}"))
    return _lanes(marks, width)


def _lanes(marks: Sequence[tuple[int, str]], width: int) -> list[str]:
    """Lines of texts, each at its column where it fits, on the first line where it touches no other."""
    lanes: list[list[tuple[int, str]]] = []
    for column, text in marks:
        mark = (max(min(column, width - _AXIS - len(text)), 0), text)
        free = next((lane for lane in lanes if all(not _touches(mark, other) for other in lane)), None)
        if free is None:
            lanes.append([mark])
        else:
            free.append(mark)
    lines = []
    for lane in lanes:
        line = " " * _AXIS
        for column, text in sorted(lane):
            line = line.ljust(_AXIS + column) + text
        lines.append(line)
    return lines


def _touches(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Whether two texts lie over one another or have no space between them."""
    return one[0] <= other[0] + len(other[1]) and other[0] <= one[0] + len(one[1])


def _in_ascii(line: Text) -> Text:
    # One character for one, so that the styles stay where they are.
    plain = line.copy()
    plain.plain = line.plain.translate(_ASCII)
    return plain


def short(count: int) -> str:
    """A count for people: `999,999`, `1.2 M`, `34.5 B`, `1.1 T`."""
    for unit, size in (("M", 10**6), ("B", 10**9), ("T", 10**12)):
        if count < size * 999.95 or unit == "T":
            return f"{count:,}" if count < 10**6 else f"{count / size:,.1f} {unit}"
    raise AssertionError(count)
