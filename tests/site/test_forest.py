from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dynatlas.claims.verdicts import VERDICTS
from dynatlas.site.forest import MIDDLE, WIDTH, describe, forest_svg, interval_text, number
from dynatlas.site.shapes import icon


def a_row(test="greater", margin=0.1, **over):
    values = {"effect": 0.3, "low": 0.2, "high": 0.4, "control_effect": 0.0, "control_low": -0.1, "control_high": 0.1}
    return {"test": test, "margin": margin, "target": 0.0, "verdict": "reproduced", **values, **over}


def drawn(row):
    return ElementTree.fromstring(forest_svg(row))


def lines(svg, kind):
    """Horizontal positions (left, right) of lines of a class, or of the whisker in a group of that class."""
    found = [e for e in svg.iter("line") if e.get("class") == kind]
    found += [e for g in svg.iter("g") if kind in g.get("class").split() for e in g.iter("line")]
    return [(float(e.get("x1")), float(e.get("x2"))) for e in found]


def region(svg):
    rect = svg.find("rect")
    return float(rect.get("x")), float(rect.get("x")) + float(rect.get("width"))


def test_null_stands_in_the_middle_and_margins_of_all_rows_in_line():
    margins = set()
    for size in (1e-4, 1.0, 5e6):
        values = {name: size * (a_row()[name] or 0) for name in a_row() if name.endswith(("effect", "low", "high"))}
        svg = drawn(a_row(margin=0.1 * size, **values))
        assert lines(svg, "null") == [(MIDDLE, MIDDLE)]
        margins.add(lines(svg, "margin")[0])
    assert len(margins) == 1
    assert margins.pop()[0] > MIDDLE


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_units_do_not_matter(factor):
    names = ("effect", "low", "high", "control_effect", "control_low", "control_high", "margin")
    scaled = a_row(**{name: factor * a_row()[name] for name in names})
    positions = [e.attrib for e in drawn(scaled).iter("line")]
    assert positions == [e.attrib for e in drawn(a_row()).iter("line")]


@pytest.mark.parametrize(
    ("test", "margin", "target", "inside", "outside"),
    [
        ("greater", 0.1, 0.0, (0.2, 0.4), (-0.3, 0.05)),
        ("greater", -0.05, 0.0, (-0.04, 0.4), (-0.3, -0.06)),
        ("less", -0.1, 0.0, (-0.4, -0.2), (-0.05, 0.3)),
        ("at_least", 0.85, 0.0, (0.86, 0.9), (0.7, 0.84)),
        ("at_most", 0.2, 0.0, (0.1, 0.15), (0.3, 0.4)),
        ("equivalent", 0.1, 2.0, (1.95, 2.05), (2.2, 2.4)),
        ("identity", 1e-6, 0.0, (1e-9, 1e-9), (1e-3, 1e-3)),
    ],
)
def test_what_is_claimed_lies_in_the_shade_and_nothing_else_does(test, margin, target, inside, outside):
    for (low, high), expected in ((inside, True), (outside, False)):
        row = a_row(test, margin, target=target, low=low, high=high, effect=(low + high) / 2, control_effect=None)
        svg = drawn(row)
        left, right = lines(svg, "own")[0]
        shade = region(svg)
        assert (shade[0] < left and right < shade[1]) is expected
        assert (right < shade[0] or shade[1] < left) is not expected


@pytest.mark.parametrize(
    ("test", "margin", "good"), [("greater", 0.1, 0.3), ("less", -0.1, -0.3), ("at_most", 0.2, 0.1)]
)
def test_the_stated_side_is_right(test, margin, good):
    svg = drawn(a_row(test, margin, effect=good, low=good, high=good))
    assert lines(svg, "own")[0][0] > MIDDLE


def test_order_is_kept():
    positions = [
        lines(drawn(a_row(effect=x, low=x, high=x, control_effect=None)), "own")[0][0]
        for x in (-5, -0.5, -0.1, 0, 0.05, 0.1, 0.2, 1.4, 1.5)
    ]
    assert positions == sorted(positions)
    assert len(set(positions)) > 7


def test_what_lies_beyond_the_edge_becomes_an_arrow():
    def arrows(row):
        return len([e for e in drawn(row).iter("path") if e.get("class") is None])

    assert arrows(a_row()) == 0
    assert arrows(a_row(high=1e9)) == 1
    assert arrows(a_row(low=-1e9, high=1e9)) == 2
    left, right = lines(drawn(a_row(low=-1e9, high=1e9)), "own")[0]
    assert 0 <= left < right <= WIDTH


def test_where_margin_and_null_coincide_the_row_fills_its_own_range():
    svg = drawn(
        a_row(margin=0, effect=1e-8, low=-1e-9, high=2e-8, control_effect=None, control_low=None, control_high=None)
    )
    left, right = lines(svg, "own")[0]
    assert left < MIDDLE < MIDDLE + 50 < right


def test_a_compound_has_no_plot():
    assert forest_svg(a_row("all_of", None, effect=None, control_effect=None)) == ""


def test_an_exploratory_row_has_no_shade_and_no_margin():
    svg = drawn(a_row(None, None, verdict="reported"))
    assert svg.find("rect") is None
    assert lines(svg, "margin") == []
    assert lines(svg, "own")


def test_a_treatment_that_never_reached_has_its_control_alone():
    svg = drawn(a_row(effect=None, low=None, high=None, verdict="contradicted"))
    assert lines(svg, "own") == []
    assert lines(svg, "control")


def test_every_verdict_has_a_shape_of_its_own():
    shapes = {re.sub(r'class="icon [^"]*"', "", icon(verdict)) for verdict in VERDICTS}
    assert len(shapes) == len(VERDICTS)


def test_words_for_those_who_do_not_see_it():
    assert describe(a_row()) == "effect 0.3 [0.2, 0.4]; margin 0.1; control 0 [−0.1, 0.1]; reproduced"


def test_numbers():
    assert number(-0.00123456) == "−0.00123"
    assert number(None) == ""
    assert interval_text(a_row(low=0.3, high=0.3)) == "0.3"
