from __future__ import annotations

import io
import re

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from dynatlas.figures.audit import figure_problems
from dynatlas.figures.palette import arm_styles, ordered_styles
from dynatlas.figures.save import figure_bytes, figure_files, read_provenance
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    legend_beside,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)

PROVENANCE = {"study": "räuber (beta) \\ 1", "seeds": [100, 101], "key": "ab" * 16}


@house_style()
def sound_figure(width=1):
    figure, panels = new_panels(1, 2, width=width)
    styles = arm_styles(["MP", "SEP"])
    for axes, title in zip(panels.flat, ("first", "second"), strict=True):
        for lift, style in enumerate(styles.values()):
            axes.plot([0, 1, 2], [lift + 2.0, lift + 0.0, lift + 1.0], **style.line)
        axes.set(xlabel="time (ms)", ylabel="rate (1/s)", title=title, ylim=(-0.5, 4))
    reference_line(panels[0, 0], 3.4, label="chance")
    letter_panels(panels)
    arm_legend(figure, styles)
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


def test_png_and_pdf_of_one_figure_are_laid_out_once(monkeypatch):
    layouts = []
    lay_out = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *of: layouts.append(of[1]) or lay_out(*of))
    figure = sound_figure()
    engine = figure.get_layout_engine()
    pictures = figure_files(figure, title="t", provenance=PROVENANCE)
    assert layouts == [figure]
    assert figure.get_layout_engine() is engine
    assert {kind: read_provenance(picture) for kind, picture in pictures.items()} == {
        "png": PROVENANCE,
        "pdf": PROVENANCE,
    }
    assert pictures["png"] == figure_bytes(sound_figure(), "png", title="t", provenance=PROVENANCE)


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="'svg'"):
        figure_bytes(sound_figure(), "svg", title="t", provenance={})


def test_style_is_undone_on_leaving():
    before = dict(matplotlib.rcParams)
    with house_style():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


def test_looking_at_a_figure_keeps_its_bytes():
    figure, twin = sound_figure(), sound_figure()
    assert figure_problems(figure) == []
    kept, expected = (figure_bytes(f, "png", title="t", provenance={}) for f in (figure, twin))
    assert kept == expected


def test_letters_in_reading_order():
    _, panels = new_panels(2, 2)
    letter_panels(panels)
    assert [axes.get_title(loc="left") for axes in np.ravel(panels)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("across", ["x", "y"])
def test_a_reference_line_has_a_name_that_may_stand_elsewhere(across, written):
    axes = new_panels()[1][0, 0]
    reference_line(axes, 0.3, label="chance", across=across, written=written)
    (line,) = axes.lines
    assert line.get_label() == "chance"
    place = line.get_xdata() if across == "x" else line.get_ydata()
    assert list(place) == [0.3, 0.3]
    assert [text.get_text() for text in axes.texts] == (["chance"] if written else [])


def test_a_legend_names_arms_lines_and_areas():
    figure, _ = new_panels()
    arm_legend(figure, arm_styles(["MP"]), others={"chance": REFERENCE}, patches={"ink": {"color": "#dfe2e6"}})
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MP", "chance", "ink"]
    assert legend.legend_handles[1].get_color() == REFERENCE["color"]


@pytest.mark.parametrize("names", ["gain {:g}", {0.5: "gain 0.5", 2: "gain 2"}])
def test_a_legend_calls_arms_by_a_format_or_by_name(names):
    figure, _ = new_panels()
    arm_legend(figure, ordered_styles([0.5, 2]), names=names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["gain 0.5", "gain 2"]


@pytest.mark.parametrize("low", [3e-6, 0.02, 1, 40, 7e4])
@pytest.mark.parametrize("factor", [1.3, 2, 8, 50, 1e3, 1e6])
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_names_two_numbers_where_they_belong(which, low, factor):
    with house_style():
        figure, panels = new_panels()
        axes = panels[0, 0]
        axes.plot([low, low * factor], [low, low * factor])
        log_axis(axes, which)
        FigureCanvasAgg(figure).draw()
    axis = getattr(axes, f"{which}axis")
    inside = [
        tick for tick in axis.get_major_ticks() if np.prod(np.array(axis.get_view_interval()) - tick.get_loc()) <= 0
    ]
    assert len(inside) >= 2
    for tick in inside:
        text = tick.label1.get_text()
        power = re.fullmatch(r"\$(?:([\d.]+)\\times)?10\^\{(-?\d+)\}\$", text)
        number = float(power[1] or 1) * 10.0 ** int(power[2]) if power else float(text)
        assert number == pytest.approx(tick.get_loc())


def test_a_logarithmic_axis_may_begin_at_zero():
    axes = new_panels()[1][0, 0]
    axes.plot([0, 10, 300], [1, 2, 3])
    axes.set_xlim(0, 300)
    log_axis(axes, linear_below=10)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10", "30", "100", "300"]
    assert axes.get_xlim() == (0, 300)
    axes.set_xlim(-100, 300)
    log_axis(axes, linear_below=10)
    assert axes.get_xlim() == (-3, 300), "most of the axis would be empty"


def test_a_legend_beside_a_panel_covers_none_of_it():
    figure, panels = new_panels(1, 1, width=2)
    axes = panels[0, 0]
    axes.plot([0, 1], [0, 1])
    legend_beside(axes, arm_styles(["one", "two"]), title="levels")
    figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1 - 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
