from __future__ import annotations

import numpy as np
import pytest

from dynatlas.figures.palette import COLOURS, DASHES, MARKERS, arm_styles

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, on linear RGB
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


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
