"""Perturbation curves: what `perturb` does, at each magnitude, on the same draws, one row a member."""

from __future__ import annotations

import pytest
import torch

from dynatlas.instruments.perturb import perturb
from dynatlas.instruments.perturbation_curve import perturbation_curve

MAGNITUDES = {"absolute-weight-noise": (0.1, 0.3), "connection-silencing": (0.25,)}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def params():
    return {"w": torch.randn(4, 6, 5, generator=generators(9)[0], dtype=torch.float64), "b": torch.ones(4, 5)}


def curve(score, params, magnitudes=MAGNITUDES, seeds=(0, 1)):
    return perturbation_curve(score, params, magnitudes, generators=generators(*seeds), weights=["w"])


def test_every_family_magnitude_and_member_once_the_intact_network_first(params):
    table = curve(lambda tree: tree["w"].sum((1, 2)), params)
    assert list(table.columns) == ["family", "magnitude", "member", "value"]
    assert len(table) == (3 + 2) * 4
    assert not table.duplicated(["family", "magnitude", "member"]).any()
    intact = table[table["magnitude"] == 0].pivot_table(index="member", columns="family", values="value")
    for family in MAGNITUDES:
        assert intact[family].tolist() == params["w"].sum((1, 2)).tolist()


def test_scores_are_those_of_the_perturbed_weights(params):
    table = curve(lambda tree: tree["w"][:, 0, 0], params)
    changed, _ = perturb(params, "absolute-weight-noise", magnitude=0.3, generators=generators(0, 1), weights=["w"])
    own = table[(table["family"] == "absolute-weight-noise") & (table["magnitude"] == 0.3)]
    assert own["value"].tolist() == changed["w"][:, 0, 0].tolist()


def test_a_member_is_disturbed_in_one_direction_at_all_magnitudes(params):
    table = curve(lambda tree: tree["w"][:, 1, 2] - params["w"][:, 1, 2], params)
    noise = table[table["family"] == "absolute-weight-noise"].pivot_table(
        index="member", columns="magnitude", values="value"
    )
    torch.testing.assert_close(torch.tensor((noise[0.3] / noise[0.1]).to_numpy()), torch.full((4,), 3.0).double())
    assert (noise[0.1] != 0).all()


def test_one_more_seed_leaves_the_earlier_members_values(params):
    more = {name: torch.cat([tensor, tensor[:2]]) for name, tensor in params.items()}
    few = curve(lambda tree: tree["w"].sum((1, 2)), params)
    many = curve(lambda tree: tree["w"].sum((1, 2)), more, seeds=(0, 1, 2))
    assert many[many["member"] < 4].reset_index(drop=True).equals(few)


def test_families_that_change_the_run_and_unknown_ones_are_refused(params):
    with pytest.raises(ValueError, match=r"'input-noise' changes how a network is run.*relative-weight-noise"):
        curve(lambda tree: tree["w"].sum((1, 2)), params, {"input-noise": (0.1,)})
    with pytest.raises(ValueError, match="did you mean 'connection-silencing'"):
        curve(lambda tree: tree["w"].sum((1, 2)), params, {"conection-silencing": (0.1,)})


def test_a_score_that_writes_over_its_weights_leaves_the_network(params):
    before = params["w"].clone()
    curve(lambda tree: tree["w"].zero_().sum((1, 2)), params)
    assert torch.equal(params["w"], before)
