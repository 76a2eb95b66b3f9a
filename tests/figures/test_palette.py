from __future__ import annotations

import numpy as np
import pytest

from dynatlas.figures.palette import COLOURS, DASHES, MARKERS, arm_styles

from .vision import BLINDNESS, lab, linear_rgb, smallest_distance


def test_colours_differ_in_greyscale():
    lightness = np.sort(lab(linear_rgb(COLOURS))[:, 0])
    assert np.diff(lightness).min() > 7.5


def test_every_colour_is_visible_on_white_paper():
    assert lab(linear_rgb(COLOURS))[:, 0].max() < 80


def test_colours_differ_for_normal_vision():
    assert smallest_distance(linear_rgb(COLOURS)) > 38


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_colour_blind_readers(kind):
    assert smallest_distance(linear_rgb(COLOURS) @ np.array(BLINDNESS[kind]).T) > 30


def test_vision_model_knows_the_classic_confusion():
    """A red and a green of like lightness collapse for deuteranopes: the check above can fail."""
    pair = linear_rgb(("#b05a00", "#6b7d00"))
    assert smallest_distance(pair) > 30
    assert smallest_distance(pair @ np.array(BLINDNESS["deuteranopia"]).T) < 15


def test_an_arm_looks_the_same_in_every_figure_of_a_study():
    arms = ["MP", "DP", "SEP", "JOINT"]
    assert arm_styles(arms)["SEP"] == arm_styles([*arms, "late"])["SEP"]


def test_arms_of_one_colour_differ_in_marker_and_dash():
    styles = list(arm_styles([f"arm {i}" for i in range(24)]).values())
    for i, one in enumerate(styles):
        for other in styles[i + 1 :]:
            assert one.color != other.color or (one.marker != other.marker and one.dash != other.dash)


def test_as_many_looks_as_promised():
    count = len(COLOURS) * len(MARKERS) * len(DASHES)
    assert len(set(arm_styles([str(i) for i in range(count)]).values())) == count == 360


def test_an_arm_named_twice_is_refused():
    with pytest.raises(ValueError, match="named twice: MP"):
        arm_styles(["MP", "DP", "MP"])
