"""The program on docs/own-networks.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "own-networks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program():
    names: dict = {}
    exec(compile("\n".join(BLOCKS), "docs/own-networks.md", "exec"), names)
    return names


def test_everything_was_measured(program):
    table = program["table"]
    assert len(BLOCKS) == 4
    assert len(table) == 4 * 2 * 6
    assert np.isfinite(table["value"]).all()
    assert program["fitted"].diverged == 0


def test_weight_noise_hurts(program):
    measured = program["measured"]
    assert measured["error_with_weight_noise"].mean() > measured["squared_error"].mean()


def test_silenced_units_hurt_and_are_as_many_as_was_said(program):
    measured, masks = program["measured"], program["masks"]
    assert measured["error_with_silenced_units"].mean() > measured["squared_error"].mean()
    assert (masks == 0).sum(dim=1).tolist() == [5] * 12


def test_the_claim_is_decided_on_paired_seeds(program):
    row = program["row"]
    assert row.n == 6
    assert row.low < row.effect < row.high
    assert row.verdict in ("reproduced", "direction", "contradicted", "inconclusive")


def test_the_figure_is_a_png(program):
    assert program["picture"].startswith(b"\x89PNG")
