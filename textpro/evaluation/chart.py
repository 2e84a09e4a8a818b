"""Small charts as SVG, for results and training runs: lines and grouped bars, read alike on light and dark pages."""

import math
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

WIDTH, HEIGHT = 592, 300  # without the legend, which stands at the right and is as wide as its names
LEFT, TOP, BOTTOM = 64, 36, 44  # around the plot
CHARACTER = 7  # the width of one, on the safe side: no two readers have the same font
COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#999999",
)  # told apart by the colour-blind; more of them are darker ones
INK, GRID, PAPER = "#333333", "#dddddd", "#ffffff"

Points = Sequence[tuple[float, float]]
Interval = tuple[float, float]


class _Chart:
    """Axes on paper: data coordinates in, SVG elements out."""

    def __init__(self, title: str, names: Sequence[str], x_range: Interval, y_ticks: Sequence[float]) -> None:
        width = WIDTH + 40 + CHARACTER * max((len(name) for name in names), default=0)
        size = {"width": str(width), "height": str(HEIGHT)}
        self.svg = Element("svg", {**size, "font-family": "sans-serif"})
        self.colours = {name: _colour(i) for i, name in enumerate(names)}
        self.x_range, self.y_range = x_range, (y_ticks[0], y_ticks[-1])
        SubElement(self.svg, "rect", {**size, "fill": PAPER})
        self.text(LEFT, 20, title, size=14, anchor="start")
        for tick in y_ticks:
            self.line((x_range[0], tick), (x_range[1], tick), GRID)
            self.text(LEFT - 8, self.y(tick) + 4, f"{tick:g}", anchor="end")
        line = min(18, (HEIGHT - TOP) // max(1, len(names)))
        for i, (name, colour) in enumerate(self.colours.items()):
            top = TOP + line * i
            box = {"x": str(WIDTH + 12), "y": str(top), "width": "10", "height": "10", "fill": colour}
            SubElement(self.svg, "rect", box)
            self.text(WIDTH + 28, top + 9, name, anchor="start")

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT) * _share(value, self.x_range)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, self.y_range)

    def text(self, x: float, y: float, text: str, *, size: int = 12, anchor: str = "middle", turn: int = 0) -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": str(size), "text-anchor": anchor, "fill": INK}
        if turn:
            place["transform"] = f"rotate({turn} {x:.1f} {y:.1f})"
        SubElement(self.svg, "text", place).text = text

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        (x1, y1), (x2, y2) = start, end
        ends = {"x1": self.x(x1), "y1": self.y(y1), "x2": self.x(x2), "y2": self.y(y2)}
        SubElement(self.svg, "line", {**{k: f"{v:.1f}" for k, v in ends.items()}, "stroke": colour})

    def labels(self, x_label: str, y_label: str) -> None:
        self.text((LEFT + WIDTH) / 2, HEIGHT - 6, x_label)
        self.text(14, (TOP + HEIGHT - BOTTOM) / 2, y_label, turn=-90)


def line_chart(title: str, lines: Mapping[str, Points], *, x_label: str = "", y_label: str = "") -> Element:
    """One line a name; points that are not finite are left out."""
    shown = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in lines.items()
    }
    xs = [x for points in shown.values() for x, _ in points] or [0.0]
    ys = [y for points in shown.values() for _, y in points] or [0.0]
    chart = _Chart(title, list(shown), (min(xs), max(xs)), ticks(min(ys), max(ys)))
    for tick in ticks(min(xs), max(xs)):
        if min(xs) <= tick <= max(xs):
            chart.text(chart.x(tick), HEIGHT - BOTTOM + 18, f"{tick:g}")
    for name, points in shown.items():
        path = " ".join(f"{chart.x(x):.1f},{chart.y(y):.1f}" for x, y in points)
        style = {"fill": "none", "stroke": chart.colours[name], "stroke-width": "1.5"}
        SubElement(chart.svg, "polyline", {"points": path, **style})
    chart.labels(x_label, y_label)
    return chart.svg


def bar_chart(
    title: str,
    groups: Sequence[str],
    bars: Mapping[str, Sequence[float | None]],
    *,
    intervals: Mapping[str, Sequence[Interval | None]] | None = None,
    y_label: str = "",
) -> Element:
    """One bar a name in each group, None where there is none, with its interval as a whisker; the axis holds zero."""
    whiskers = intervals or {}
    heights = [value for row in bars.values() for value in row if value is not None]
    heights += [end for row in whiskers.values() for pair in row if pair is not None for end in pair]
    chart = _Chart(title, list(bars), (0, max(1, len(groups))), ticks(min([0.0, *heights]), max([0.0, *heights])))
    width = 0.8 / max(1, len(bars))
    for g, group in enumerate(groups):
        chart.text(chart.x(g + 0.5), HEIGHT - BOTTOM + 18, group)
        for b, (name, row) in enumerate(bars.items()):
            value, left = row[g], g + 0.1 + b * width
            if value is None:
                continue
            top, bottom = sorted((chart.y(value), chart.y(0)))
            box = {"x": chart.x(left), "y": top, "width": chart.x(left + 0.95 * width) - chart.x(left)}
            box["height"] = bottom - top
            bar = SubElement(chart.svg, "rect", {k: f"{v:.1f}" for k, v in box.items()} | {"fill": chart.colours[name]})
            SubElement(bar, "title").text = f"{group}, {name}: {value:g}"
            if (interval := whiskers.get(name, [None] * len(groups))[g]) is not None:
                chart.line((left + width / 2, interval[0]), (left + width / 2, interval[1]), INK)
    chart.labels("", y_label)
    return chart.svg


def svg(*charts: Element) -> str:
    """One SVG document with the charts under each other."""
    width, height = max((int(chart.attrib["width"]) for chart in charts), default=WIDTH), HEIGHT * len(charts)
    size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
    document = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    for i, chart in enumerate(charts):
        chart.set("y", str(HEIGHT * i))
        document.append(chart)
    return ElementTree.tostring(document, encoding="unicode") + "\n"


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to eight, from at or below `low` to at or above `high`."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _colour(i: int) -> str:
    """The i-th colour: each round through COLOURS is darker than the one before."""
    shade = 0.6 ** (i // len(COLOURS))
    return "#" + bytes(round(shade * part) for part in bytes.fromhex(COLOURS[i % len(COLOURS)][1:])).hex()


def _share(value: float, between: Interval) -> float:
    low, high = between
    return (value - low) / (high - low) if high > low else 0.5
