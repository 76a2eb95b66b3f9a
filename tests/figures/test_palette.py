from __future__ import annotations

import numpy as np
import pytest
from matplotlib.markers import MarkerStyle

from dynatlas.figures.palette import COLOURS, arm_styles, direction_styles, ordered_styles, without_markers

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, on linear RGB
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
MAIN = COLOURS[:8]
APART = {"protanopia": (30, 21), "deuteranopia": (30, 21), "tritanopia": (18, 15)}
"""Smallest distances of the main colours and of all; 15 and more are told apart without hesitation."""


def linear_rgb(colours: tuple[str, ...]) -> np.ndarray:
    """Hex colours to linear sRGB, (colour, 3)."""
    encoded = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(linear: np.ndarray) -> np.ndarray:
    """Linear sRGB to CIE L*a*b* (D65), (colour, 3)."""
    t = linear @ TO_XYZ.T / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def smallest_distance(linear: np.ndarray) -> float:
    """Smallest CIE 1976 colour difference between any two colours."""
    points = lab(np.clip(linear, 0, 1))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances[np.triu_indices(len(points), 1)].min())


def seen_by(kind: str, linear: np.ndarray) -> np.ndarray:
    """Linear sRGB as it looks to a reader with the deficiency."""
    return linear @ np.array(BLINDNESS[kind]).T


def test_the_main_colours_differ_in_greyscale():
    lightness = np.sort(lab(linear_rgb(MAIN))[:, 0])
    assert np.diff(lightness).min() > 7.5


def test_every_colour_is_visible_on_white_paper():
    assert lab(linear_rgb(COLOURS))[:, 0].max() < 80


def test_colours_differ_for_normal_vision():
    assert smallest_distance(linear_rgb(MAIN)) > 38
    assert smallest_distance(linear_rgb(COLOURS)) > 29


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_colour_blind_readers(kind):
    for colours, least in zip((MAIN, COLOURS), APART[kind], strict=True):
        assert smallest_distance(seen_by(kind, linear_rgb(colours))) > least


@pytest.mark.parametrize("count", [2, 5, 8])
@pytest.mark.parametrize("kind", [None, *BLINDNESS])
def test_ordered_colours_are_in_order_for_every_reader(kind, count):
    linear = linear_rgb(tuple(style.color for style in ordered_styles([str(i) for i in range(count)]).values()))
    lightness = lab(np.clip(linear if kind is None else seen_by(kind, linear), 0, 1))[:, 0]
    assert np.diff(lightness).min() > 7
    assert lightness.max() < 82


def test_ordered_conditions_differ_in_more_than_colour():
    styles = list(ordered_styles([str(i) for i in range(8)]).values())
    looks = {(style.marker, style.dash) for style in styles}
    assert len(looks) == 8


def test_one_ordered_condition_has_a_look():
    assert set(ordered_styles(["only"])) == {"only"}


def test_vision_model_knows_the_classic_confusion():
    """A red and a green of like lightness collapse for deuteranopes: the check above can fail."""
    pair = linear_rgb(("#b05a00", "#6b7d00"))
    assert smallest_distance(pair) > 30
    assert smallest_distance(pair @ np.array(BLINDNESS["deuteranopia"]).T) < 15


def test_an_arm_looks_the_same_in_every_figure_of_a_study():
    arms = ["MP", "DP", "SEP", "JOINT"]
    assert arm_styles(arms)["SEP"] == arm_styles([*arms, "late"])["SEP"]


def test_no_two_arms_share_a_colour_or_marker_and_dash():
    styles = list(arm_styles([f"arm {i}" for i in range(len(COLOURS))]).values())
    assert len({style.color for style in styles}) == len(styles) == 13
    assert len({(style.marker, style.dash) for style in styles}) == len(styles)


def test_more_arms_than_colours_are_refused():
    with pytest.raises(ValueError, match=r"14 arms and 13 colours.*ordered_styles"):
        arm_styles([str(i) for i in range(14)])


def test_without_markers_the_rest_stays():
    styles = arm_styles(["MP", "SEP"])
    bare = without_markers(styles)
    assert [style.marker for style in bare.values()] == ["", ""]
    assert [(s.color, s.dash) for s in bare.values()] == [(s.color, s.dash) for s in styles.values()]


def test_a_directions_triangle_points_there():
    styles = direction_styles(8)
    assert list(styles) == ["0°", "45°", "90°", "135°", "180°", "225°", "270°", "315°"]
    for turn, style in zip(range(0, 360, 45), styles.values(), strict=True):
        tip = MarkerStyle(style.marker).get_transform().transform([[0, 2]])[0]  # upright, half as large
        np.testing.assert_allclose(tip, [np.cos(np.radians(turn)), np.sin(np.radians(turn))], atol=1e-9)


@pytest.mark.parametrize("styles_of", [arm_styles, ordered_styles])
def test_an_arm_named_twice_is_refused(styles_of):
    with pytest.raises(ValueError, match="named twice: MP"):
        styles_of(["MP", "DP", "MP"])
