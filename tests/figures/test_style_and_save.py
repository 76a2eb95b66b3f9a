from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from dynatlas.figures.audit import figure_problems
from dynatlas.figures.palette import arm_styles
from dynatlas.figures.save import figure_bytes, read_provenance
from dynatlas.figures.style import SMALLEST_TEXT, arm_legend, house_style, letter_panels, new_panels, reference_line

PROVENANCE = {"study": "räuber (beta) \\ 1", "seeds": [100, 101], "key": "ab" * 16}


@house_style()
def sound_figure(width=1):
    figure, panels = new_panels(1, 2, width=width)
    for axes in panels.flat:
        axes.plot([0, 1, 2], [3.0, 1.0, 2.0], marker="o")
        axes.set(xlabel="time (ms)", ylabel="rate (1/s)")
    reference_line(panels[0, 0], 2.5, label="chance")
    letter_panels(panels)
    arm_legend(figure, arm_styles(["MP", "SEP"]))
    return figure


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_same_figure_same_bytes(kind):
    first, second = (figure_bytes(sound_figure(), kind, title="t", provenance=PROVENANCE) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_bytes_do_not_depend_on_user_settings(kind):
    expected = figure_bytes(sound_figure(), kind, title="t", provenance=PROVENANCE)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "pink", "savefig.dpi": 31, "pdf.fonttype": 3}):
        assert figure_bytes(sound_figure(), kind, title="t", provenance=PROVENANCE) == expected


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_provenance_comes_back(kind):
    data = figure_bytes(sound_figure(), kind, title="a (b)", provenance=PROVENANCE)
    assert read_provenance(data) == PROVENANCE


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_other_provenance_other_bytes(kind):
    figure = sound_figure()
    one, other = (figure_bytes(figure, kind, title="t", provenance={"seed": seed}) for seed in (1, 2))
    assert one != other


def test_pdf_holds_no_date_and_no_program():
    data = figure_bytes(sound_figure(), "pdf", title="t", provenance={})
    for word in (b"CreationDate", b"ModDate", b"Producer", b"atplotlib v"):
        assert word not in data


def test_png_is_as_wide_as_printed():
    image = Image.open(io.BytesIO(figure_bytes(sound_figure(2), "png", title="t", provenance={})))
    assert image.width == 1440
    assert "Software" not in image.text


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_damage_is_noticed(kind):
    data = figure_bytes(sound_figure(), kind, title="t", provenance=PROVENANCE)
    with pytest.raises(ValueError):
        read_provenance(data[: len(data) // 2])


def test_flipped_byte_in_png_is_noticed():
    data = bytearray(figure_bytes(sound_figure(), "png", title="t", provenance=PROVENANCE))
    data[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        read_provenance(bytes(data))


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="'svg'"):
        figure_bytes(sound_figure(), "svg", title="t", provenance={})


def test_style_is_undone_on_leaving():
    before = dict(matplotlib.rcParams)
    with house_style():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


def test_sound_figure_passes_the_audit_and_keeps_its_bytes():
    figure, twin = sound_figure(), sound_figure()
    assert figure_problems(figure) == []
    kept, expected = (figure_bytes(f, "png", title="t", provenance={}) for f in (figure, twin))
    assert kept == expected


def small_text(figure):
    figure.axes[0].set_xlabel("tiny", fontsize=SMALLEST_TEXT - 0.5)


def odd_width(figure):
    figure.set_figwidth(5)


def nameless_axis(figure):
    figure.axes[1].set_ylabel("")


def text_outside(figure):
    figure.text(0.9, 0.5, "far to the right of everything")


def empty_panel(figure):
    figure.axes[0].clear()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (small_text, "'tiny' of 6 pt"),
        (odd_width, "width of 5.00 in"),
        (nameless_axis, "its y axis shows numbers and has no label"),
        (text_outside, "sticks"),
        (empty_panel, "shows nothing"),
    ],
)
def test_audit_names_each_fault(spoil, complaint):
    figure = sound_figure()
    with house_style():
        spoil(figure)
    assert any(complaint in problem for problem in figure_problems(figure))


def test_letters_in_reading_order():
    _, panels = new_panels(2, 2)
    letter_panels(panels)
    assert [axes.get_title(loc="left") for axes in np.ravel(panels)] == ["a", "b", "c", "d"]
