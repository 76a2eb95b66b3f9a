from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dynatlas.site.markdown import math_ml, render_markdown


@pytest.mark.parametrize("latex", [r"\alpha^2", r"\frac{a}{b} \le \sum_{i=1}^n x_i", r"W_{\mathrm{in}}"])
def test_mathematics_is_well_formed_mathml(latex):
    tree = ElementTree.fromstring(math_ml(latex))
    assert tree.tag == "{http://www.w3.org/1998/Math/MathML}math"


def test_a_formula_that_cannot_be_read_stays_as_written():
    assert math_ml(r"\left( a<b") == r"<code>\left( a&lt;b</code>"


def test_inline_and_display_mathematics():
    html = render_markdown("a $x^2$ b\n\n$$\ny_1\n$$\n")
    assert html.count("<math") == 2
    assert 'display="block"' in html
    assert "$" not in html


def test_code_keeps_its_dollars():
    html = render_markdown("`$HOME` and\n\n```sh\necho $A$\n```\n")
    assert "<math" not in html
    assert "<code>$HOME</code>" in html


def test_headings_move_down_and_stop_at_six():
    html = render_markdown("# one\n\n##### five\n", shift=2)
    assert "<h3>one</h3>" in html
    assert "<h6>five</h6>" in html


def test_tables_and_unknown_languages():
    html = render_markdown("| a |\n|---|\n| 1 |\n\n```no-such-language\nx < 1\n```\n")
    assert "<td>1</td>" in html
    assert "x &lt; 1" in html
