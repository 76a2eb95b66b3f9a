from __future__ import annotations

import re
from xml.etree import ElementTree

import jupytext
import pytest

from dynatlas.nodes import ROOT
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


@pytest.mark.parametrize("text", ["$x^2$", "$ x^2 $", "$x^2 $", "$ x^2$", "$x^2\n$", "$`x^2`$"])
def test_blanks_within_the_dollars_count_for_nothing_as_in_jupyter(text):
    assert render_markdown(f"a {text} b") == render_markdown("a $x^2$ b")
    assert "<msup>" in render_markdown(f"a {text} b")


@pytest.mark.parametrize("text", ["costs $5 and $10", r"costs \$5 or 6 \$", "one $ alone", "none $ $ here"])
def test_money_stays_money(text):
    html = render_markdown(text)
    assert "<math" not in html
    assert html == f"<p>{text}</p>\n".replace("\\", "")


@pytest.mark.parametrize("text", ["$x$", "$$x$$", "$$\nx\n$$", "- a\n\n  $$\n  x\n  $$"])
def test_every_formula_stands_in_a_box_that_can_scroll(text):
    assert re.search(r'<span class="math(?: block)?"><math', render_markdown(text))


TEXTS = [*ROOT.glob("src/dynatlas/studies/*/README.md"), *ROOT.glob("workflow/notebooks/**/*.py")]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.parent.name + "/" + path.stem)
def test_no_text_of_the_atlas_leaves_a_raw_dollar(path):
    text = path.read_text()
    if path.suffix == ".py":
        cells = jupytext.reads(text, fmt="py:percent").cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    prose = re.sub(r"<(code|pre|math)\b.*?</\1>", "", render_markdown(text), flags=re.DOTALL)
    assert "$" not in prose
