import itertools
import math
from xml.etree import ElementTree

import pytest

from textpro.evaluation.chart import HEIGHT, bar_chart, line_chart, svg, ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3, 17), (0.0012, 0.0013), (5, 5), (-1e6, 3e7), (0, 0), (99.9, 100.1), (1e-9, 1)]
)
def test_ticks_are_few_evenly_spaced_and_reach_both_ends(low: float, high: float) -> None:
    made = ticks(low, high)
    assert made[0] <= low
    assert made[-1] >= high
    assert 2 <= len(made) <= 8
    steps = [b - a for a, b in itertools.pairwise(made)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_a_line_goes_through_its_points_in_order_and_skips_what_is_not_finite() -> None:
    document = ElementTree.fromstring(svg(line_chart("t", {"a": [(0, 0), (1, math.nan), (5, 2), (10, 1)]})))
    (line,) = document.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == 3
    xs, ys = zip(*points, strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1])
    assert ys[1] < ys[2] < ys[0]  # the page grows downward


def test_bars_are_as_high_as_their_values_and_missing_ones_are_not_drawn() -> None:
    bars = {"x": [1.0, None], "y": [2.0, -1.0]}
    chart = bar_chart("t", ["g", "h"], bars, intervals={"x": [(0.5, 1.5), None]})
    drawn = [r for r in ElementTree.fromstring(svg(chart)).iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    heights = [float(bar.attrib["height"]) for bar in drawn]
    assert heights == pytest.approx([heights[0], 2 * heights[0], heights[0]], abs=0.2)
    assert [bar.findtext(f"{SVG}title") for bar in drawn] == ["g, x: 1", "g, y: 2", "h, y: -1"]


@pytest.mark.parametrize("n", [1, 10, 20])
def test_every_name_has_its_own_colour_and_room_in_the_picture(n: int) -> None:
    names = [f"a system whose name takes as much room as names of systems do, {i}" for i in range(n)]
    document = ElementTree.fromstring(svg(bar_chart("t", ["g"], {name: [1.0] for name in names})))
    drawn = [r for r in document.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert len({bar.attrib["fill"] for bar in drawn}) == n
    legend = [node for node in document.iter(f"{SVG}text") if node.text in names]
    assert [node.text for node in legend] == names
    for node in legend:
        assert float(node.attrib["x"]) + 6 * len(names[0]) < float(document.attrib["width"])
        assert float(node.attrib["y"]) < HEIGHT


def test_charts_stand_under_each_other_and_names_are_escaped() -> None:
    text = svg(line_chart("a < b & c", {"<x>": [(0, 1)]}), bar_chart("empty", [], {}))
    document = ElementTree.fromstring(text)
    assert document.attrib["height"] == str(2 * HEIGHT)
    assert [chart.attrib["y"] for chart in document] == ["0", str(HEIGHT)]
    assert "a < b & c" in [node.text for node in document.iter(f"{SVG}text")]
