"""The contract of figures: a sound figure passes, and each fault that a program can see is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.figures.audit import figure_problems
from dynatlas.figures.marks import heat_map, points_with_interval
from dynatlas.figures.palette import NEUTRAL, arm_styles
from dynatlas.figures.style import (
    REFERENCE,
    SMALLEST_TEXT,
    arm_legend,
    house_style,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)

STYLES = arm_styles(["MP", "SEP"])
X = np.arange(5.0)


@house_style()
def sound_figure():
    """Two lines with bands, columns of seeds, and a table: one of each mark."""
    figure, panels = new_panels(1, 3, width=2, height=2.6)
    for lift, style in enumerate(STYLES.values()):
        panels[0, 0].plot(X, X + 2 * lift, **style.line)
        panels[0, 0].fill_between(X, X + 2 * lift - 0.2, X + 2 * lift + 0.2, color=style.color, alpha=0.2, linewidth=0)
    panels[0, 0].set(xlabel="time (ms)", ylabel="rate (1/s)", title="course", ylim=(-1, 7))
    reference_line(panels[0, 0], -0.5, label="rest")
    points_with_interval(panels[0, 1], {"MP": [0.5, 0.6, 0.9], "SEP": [0.1, 0.2, 0.2]}, styles=STYLES)
    panels[0, 1].set(ylabel="accuracy", title="end")
    table = pd.DataFrame(np.linspace(0, 1, 6).reshape(2, 3), index=["MP", "SEP"], columns=["one", "two", "three"])
    heat_map(panels[0, 2], table, unit="accuracy")
    panels[0, 2].set_title("tasks")
    letter_panels(panels)
    arm_legend(figure, STYLES)
    return figure


def test_a_sound_figure_has_no_problem():
    assert figure_problems(sound_figure()) == []


FAULTS = {}


def fault(complaint):
    """Enter a function that spoils the sound figure, with what must then be said about it."""

    def enter(spoil):
        FAULTS[spoil.__name__] = (spoil, complaint)
        return spoil

    return enter


@fault("width of 5.00 in")
def odd_width(figure, course, columns, table):
    figure.set_figwidth(5)


@fault("panel 'b end' shows nothing")
def empty_panel(figure, course, columns, table):
    for artist in [*columns.lines, *columns.collections]:
        artist.remove()
    columns.relim()
    columns.dataLim.set_points(np.array([[np.inf, np.inf], [-np.inf, -np.inf]]))


@fault("'tiny' of 6 pt")
def small_text(figure, course, columns, table):
    course.set_xlabel("tiny", fontsize=SMALLEST_TEXT - 0.5)


@fault("'far to the right of everything' sticks")
def text_outside(figure, course, columns, table):
    figure.text(0.9, 0.5, "far to the right of everything")


@fault("text '-0.00': zero has no sign")
def minus_zero(figure, course, columns, table):
    table.texts[0].set_text("-0.00")


@fault("text '\N{MINUS SIGN}0': zero has no sign")
def minus_zero_on_an_axis(figure, course, columns, table):
    course.set_xticks([0, 2, 4], ["\N{MINUS SIGN}0", "2", "4"])


@fault("text '0.60' is hard to read")
def white_on_tan(figure, course, columns, table):
    table.texts[3].set_color("white")


@fault("text 'upon the line' is hard to read")
def a_line_through_a_text(figure, course, columns, table):
    course.plot(X, 0 * X + 6, color=STYLES["MP"].color)
    course.text(2, 6, "upon the line", ha="center", va="center")


@fault("text 'pale' is hard to read: over 100%")
def pale_text(figure, course, columns, table):
    course.set_xlabel("pale", color="#bbbbbb")


@fault("texts 'one upon' and 'another' overlap")
def texts_upon_each_other(figure, course, columns, table):
    figure.text(0.5, 0.02, "one upon")
    figure.text(0.51, 0.03, "another")


@fault("texts 'turned' and 'level' overlap")
def turned_texts_upon_each_other(figure, course, columns, table):
    course.text(3, -0.1, "turned", rotation=60)
    course.text(3.2, 0.6, "level")


@fault("label 'a label that goes on and on for longer than there is room' is taller than its axes")
def long_label(figure, course, columns, table):
    course.set_ylabel("a label that goes on and on for longer than there is room")


@fault("panels have the letters ['a', '', 'c']: each of 3 panels has one, from a to c")
def no_letter(figure, course, columns, table):
    columns.set_title("", loc="left")


@fault("2 panels have the title 'course' and the same labels (x 'time (ms)', y 'rate (1/s)')")
def twins(figure, course, columns, table):
    columns.set(title="course", xlabel="time (ms)", ylabel="rate (1/s)")


@fault("panel 'a course': its y axis shows numbers and has no label")
def nameless_axis(figure, course, columns, table):
    course.set_ylabel("")


@fault("panel 'a course': its x axis has 1 tick labels")
def one_tick_label(figure, course, columns, table):
    course.set_xticks([2])


@fault("panel 'a course': its x axis has 0 tick labels")
def no_tick_labels(figure, course, columns, table):
    course.tick_params(labelbottom=False)


@fault("its y axis has 1 tick labels")
def a_colour_bar_of_one_number(figure, course, columns, table):
    table.collections[0].colorbar.set_ticks([0.5])


@fault(
    "panel 'a course': its x axis has numbers where they do not belong (1 stands at 0, 10 stands at 1, 100 stands at 2"
)
def irregular_values_at_regular_places(figure, course, columns, table):
    course.set_xticks([0, 1, 2], ["1", "10", "100"])


@fault("panel 'c tasks': 1 cells are blank and hold no word")
def blank_cell(figure, course, columns, table):
    mesh = table.collections[0]
    values = np.array(mesh.get_array(), dtype=float)
    values[0, 1] = np.nan
    mesh.set_array(np.ma.masked_invalid(values))
    table.texts[1].remove()


@fault("panel 'a course': nothing says what a line dashed (3, 1) of colour #123456 is")
def a_look_in_no_legend(figure, course, columns, table):
    course.plot(X, X + 1, color="#123456", linestyle=(0, (3, 1)))


@fault("panel 'a course': nothing says what a solid line with marker 'o' of colour #0d39b1 is")
def no_legend(figure, course, columns, table):
    figure.legends.clear()


@fault("nothing says what a line dashed (4, 2) of colour #5b6068 is")
def an_unnamed_reference_line(figure, course, columns, table):
    reference_line(course, 6.5, label="margin", written=False)


@fault("nothing says what a line dashed (4, 2) of colour #5b6068 is")
def a_reference_line_named_as_another(figure, course, columns, table):
    arm_legend(course, {}, others={"bound": REFERENCE})
    reference_line(course, 6.5, label="margin", written=False)


@fault("nothing says what an area of colour #dfe2e6 is")
def a_shade_without_a_word(figure, course, columns, table):
    course.axvspan(1, 2, color="#dfe2e6", zorder=0)


@fault("nothing says what an area of colour #00ff00 is")
def a_band_of_no_line(figure, course, columns, table):
    course.fill_between(X, 0 * X, 0 * X + 1, color="#00ff00", alpha=0.2)


@fault("nothing says what the colour scale 'viridis' is")
def colours_without_a_bar(figure, course, columns, table):
    course.scatter(X, X + 1, c=X, cmap="viridis", s=4)


@fault("nothing says what a cloud of colour #00ff00 is")
def a_cloud_without_a_word(figure, course, columns, table):
    course.scatter(X, X + 1, color="#00ff00", s=4)


@fault("marker 'o' of colour #0d39b1 and a solid line with marker 'X' of colour #0d39b1 have one colour")
def two_arms_of_one_colour(figure, course, columns, table):
    course.plot(X, X + 1, color=STYLES["MP"].color, marker="X")


@fault("legend: 'MP' and 'MPu' have one colour, #0d39b1")
def two_entries_of_one_colour(figure, course, columns, table):
    arm_legend(figure, {"MP": STYLES["MP"]}, others={"MPu": {"color": STYLES["MP"].color, "marker": "X"}})


@fault("are told apart by colour alone")
def lines_apart_by_colour_alone(figure, course, columns, table):
    course.plot(X, X + 1, color="#b01d04", linestyle=STYLES["SEP"].dash, marker=STYLES["SEP"].marker)


@fault("bars stand on a logarithmic axis: draw points")
def bars_on_a_logarithmic_axis(figure, course, columns, table):
    columns.bar([0, 1], [0.3, 0.4], color=[style.color for style in STYLES.values()])
    columns.set_yscale("log")


@fault("a solid line with marker 'o' of colour #0d39b1 leaves the panel")
def a_line_cut_off(figure, course, columns, table):
    course.set_ylim(-1, 3)


@fault("values lie beyond the maximum of the colour bar, which shows no arrow there")
def colours_cut_off(figure, course, columns, table):
    table.collections[0].set_clim(0, 0.7)


@fault("a line dashed (5, 1.6) with marker 's' of colour #fe8f2c is hidden under a solid line")
def a_line_under_another(figure, course, columns, table):
    course.plot(X, X + 2, **STYLES["MP"].line, zorder=5)


@fault("arrow to (3, 3) is shorter than its head")
def an_arrow_without_room(figure, course, columns, table):
    course.annotate("", xy=(3, 3), xytext=(2.98, 3), arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0})


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(name):
    spoil, complaint = FAULTS[name]
    figure = sound_figure()
    with house_style():
        spoil(figure, *figure.axes[:3])
    problems = figure_problems(figure)
    assert any(complaint in problem for problem in problems), problems


def allowed_thin_lines(figure, course, columns, table):
    course.plot(X, X + 1, color=NEUTRAL, linewidth=0.3)
    arm_legend(course, {}, others={"all networks": {"color": NEUTRAL, "linewidth": 0.3}}, loc="upper left")


def allowed_word_of_the_same_colour(figure, course, columns, table):
    course.plot([0, 4], [6, 6], color="#b01d04", linestyle=(0, (1, 1)))
    course.text(0, 6.2, "limit", color="#b01d04")


def allowed_reference_line_named_elsewhere(figure, course, columns, table):
    reference_line(columns, 0.3, label="rest", written=False)


def allowed_names_without_numbers(figure, course, columns, table):
    columns.set_ylabel("")
    columns.set_yticks([0.5], ["middle"])


def allowed_letters_as_markers(figure, course, columns, table):
    course.plot(X, X + 1, linestyle="none", marker="$7$", color="#b01d04")


def allowed_logarithmic_axis(figure, course, columns, table):
    course.set_xlim(0.1, 4)
    for line in course.lines[:2]:
        line.set_data(line.get_xdata()[1:], line.get_ydata()[1:])
    log_axis(course)


def allowed_intervals_up_to_what_is_possible(figure, course, columns, table):
    columns.set_ylim(0, 0.95)


@pytest.mark.parametrize("change", [value for name, value in list(globals().items()) if name.startswith("allowed_")])
def test_what_a_reader_understands_is_no_problem(change):
    figure = sound_figure()
    with house_style():
        change(figure, *figure.axes[:3])
    assert figure_problems(figure) == []
