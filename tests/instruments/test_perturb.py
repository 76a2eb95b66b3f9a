"""Perturbations: each does what its name says, to exactly what exists, and leaves its input alone."""

from __future__ import annotations

import pytest
import torch

from dynatlas.instruments.perturb import (
    FAMILIES,
    Overrides,
    contiguous_lesions,
    family_named,
    lesion_matrix,
    perturb,
    random_lesions,
    silence,
    without_units,
)

WEIGHTS = ("absolute-weight-noise", "relative-weight-noise", "connection-silencing")
UNITS = ("unit-silencing", "localised-lesion")


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def network(members, units=40, blocks=4, seed=0):
    """Members with block-diagonal recurrent weights: three quarters of the synapses do not exist."""
    g = torch.Generator().manual_seed(seed)
    size = units // blocks
    w = torch.zeros(members, units, units, dtype=torch.float64)
    for i in range(blocks):
        part = slice(i * size, (i + 1) * size)
        w[:, part, part] = torch.randn(members, size, size, generator=g, dtype=torch.float64) / size**0.5
    return {
        "w_in": torch.randn(members, 5, units, generator=g, dtype=torch.float64),
        "w_rec": w,
        "b": torch.randn(members, units, generator=g, dtype=torch.float64),
        "w_out": torch.randn(members, units, 3, generator=g, dtype=torch.float64),
        "b_out": torch.randn(members, 3, generator=g, dtype=torch.float64),
    }


def outputs(params, x, mask=None):
    """A plain rate network, step by step: the independent path."""
    state = torch.zeros(len(x), params["w_rec"].shape[-1], dtype=torch.float64)
    found = []
    for step in x.unbind(1):
        state = torch.relu(step @ params["w_in"][0] + state @ params["w_rec"][0] + params["b"][0])
        state = state if mask is None else state * mask
        found.append(state @ params["w_out"][0] + params["b_out"][0])
    return torch.stack(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_changes_only_what_its_kind_says_and_nothing_in_place(family):
    params = network(6)
    before = {name: value.clone() for name, value in params.items()}
    entry = FAMILIES[family]
    for magnitude in entry.magnitudes:
        changed, overrides = perturb(params, family, magnitude=magnitude, generators=generators(0, 1))
        assert all(torch.equal(params[name], before[name]) for name in params)
        different = {name for name in params if not torch.equal(params[name], changed[name])}
        assert different == ({"w_rec"} if entry.kind == "weights" else set())
        assert (overrides == Overrides()) == (entry.kind == "weights")


@pytest.mark.parametrize("family", [*WEIGHTS, *UNITS])
def test_one_more_seed_leaves_the_earlier_members(family):
    params = network(6)
    few = {name: value[:4] for name, value in params.items()}
    magnitude = FAMILIES[family].magnitudes[-1]
    many, many_over = perturb(params, family, magnitude=magnitude, generators=generators(3, 4, 5))
    less, less_over = perturb(few, family, magnitude=magnitude, generators=generators(3, 4))
    assert torch.equal(many["w_rec"][:4], less["w_rec"])
    if less_over.unit_mask is not None:
        assert torch.equal(many_over.unit_mask[:4], less_over.unit_mask)


@pytest.mark.parametrize("family", WEIGHTS)
def test_no_synapse_is_made_and_members_differ(family):
    params = {name: value.repeat(4, 1, 1) for name, value in network(1).items() if value.ndim == 3}
    changed, _ = perturb(params, family, magnitude=0.2, generators=generators(0))
    absent = params["w_rec"] == 0
    assert not changed["w_rec"][absent].any()
    change = changed["w_rec"] - params["w_rec"]
    assert not torch.equal(change[0], change[1]), "equal members get their own draws"


def test_weight_noise_has_the_stated_size():
    params = network(1, units=400)
    existing = params["w_rec"] != 0
    absolute, _ = perturb(params, "absolute-weight-noise", magnitude=0.08, generators=generators(0))
    change = (absolute["w_rec"] - params["w_rec"])[existing]
    assert float(change.std()) == pytest.approx(0.08, rel=0.02)
    rms = float(params["w_rec"][existing].square().mean().sqrt())
    relative, _ = perturb(params, "relative-weight-noise", magnitude=0.4, generators=generators(0))
    change = (relative["w_rec"] - params["w_rec"])[existing]
    assert float(change.std()) == pytest.approx(0.4 * rms, rel=0.02)


def test_relative_noise_scales_with_the_weights_and_absolute_noise_does_not():
    params = network(2)
    larger = {**params, "w_rec": 3 * params["w_rec"]}
    for family, factor in (("relative-weight-noise", 3.0), ("absolute-weight-noise", 1.0)):
        small, big = (
            perturb(p, family, magnitude=0.2, generators=generators(1))[0]["w_rec"] - p["w_rec"]
            for p in (params, larger)
        )
        torch.testing.assert_close(big, factor * small)


def test_connections_are_cut_in_the_stated_number():
    params = network(3)
    cut, _ = perturb(params, "connection-silencing", magnitude=0.2, generators=generators(0, 1, 2))
    assert ((cut["w_rec"] != 0).sum(dim=(1, 2)) == 320).all(), "400 synapses exist in each member"
    kept = cut["w_rec"] != 0
    assert torch.equal(cut["w_rec"][kept], params["w_rec"][kept])
    assert not torch.equal(kept[0], kept[1])


def test_units_are_silenced_in_the_stated_number_and_everywhere():
    masks = random_lesions(40, 0.1, generators=generators(*range(50)), copies=4)
    assert masks.shape == (200, 40)
    assert ((masks == 0).sum(dim=1) == 4).all()
    share = (masks == 0).double().mean(dim=0)
    assert abs(share - 0.1).max() < 5 * (0.1 * 0.9 / 200) ** 0.5


def test_magnitude_may_be_one_value_per_member():
    params = network(2)
    both, _ = perturb(params, "connection-silencing", magnitude=torch.tensor([0.0, 0.5]), generators=generators(0))
    assert torch.equal(both["w_rec"][0], params["w_rec"][0])
    assert int((both["w_rec"][1] != 0).sum()) == 200
    _, overrides = perturb(params, "unit-silencing", magnitude=torch.tensor([0.0, 0.5]), generators=generators(0))
    assert (overrides.unit_mask == 0).sum(dim=1).tolist() == [0, 20]


@pytest.mark.parametrize("units", [40, 10, 7])
def test_the_lesion_cuts_four_contiguous_quarters_that_tile(units):
    params = {"w_rec": torch.randn(2, units, units, generator=torch.Generator().manual_seed(0))}
    masks = [
        perturb(params, "localised-lesion", magnitude=0.25, generators=generators(0), part=part)[1].unit_mask
        for part in range(FAMILIES["localised-lesion"].parts)
    ]
    torch.testing.assert_close(torch.stack(masks)[:, 0], contiguous_lesions(units))
    assert torch.equal(torch.stack(masks)[:, 1], contiguous_lesions(units))
    assert torch.equal((1 - contiguous_lesions(units)).sum(dim=0), torch.ones(units))
    gone = (contiguous_lesions(units) == 0).int()
    assert (gone.diff(dim=1).abs().sum(dim=1) <= 2).all(), "each lesion is one stretch"


def test_evaluation_families_say_what_is_replaced():
    params = network(1)

    def overrides(family):
        return perturb(params, family, magnitude=700.0, generators=generators(0))[1]

    assert overrides("input-noise") == Overrides(sigma_x=700.0)
    assert overrides("transition-noise") == Overrides(sigma_rec=700.0)
    assert overrides("activity-noise") == Overrides(activity=700.0)
    assert overrides("longer-delay") == Overrides(gap=700.0)


def test_silenced_units_written_into_the_weights_give_the_clamped_outputs():
    params = network(1)
    mask = silence([0, 3, 17, 38], of=40)
    x = torch.randn(6, 12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    clamped, cut = outputs(params, x, mask=mask.double()), outputs(without_units(params, mask), x)
    torch.testing.assert_close(clamped, cut)
    assert not torch.allclose(cut, outputs(params, x))


def test_lesion_matrix_is_what_is_lost():
    def evaluate(mask):
        first, second = (1.0, 1.0) if mask is None else (float(mask[:2].mean()), float(mask[2:].mean()))
        return torch.tensor([[first, second], [first, 1.0]])

    lost = lesion_matrix(evaluate, contiguous_lesions(4, parts=2))
    torch.testing.assert_close(lost, torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]]))


def test_own_names_of_the_recurrent_matrices():
    cell = torch.nn.LSTM(3, 8)
    own = {"weight_hh_l0": cell.weight_hh_l0.detach()[None]}
    noisy, _ = perturb(own, "absolute-weight-noise", magnitude=0.1, generators=generators(0), weights=["weight_hh_l0"])
    assert noisy["weight_hh_l0"].shape == (1, 32, 8)
    assert not torch.equal(noisy["weight_hh_l0"], own["weight_hh_l0"])
    with pytest.raises(KeyError, match="weight_hh_l0"):
        perturb(own, "absolute-weight-noise", magnitude=0.1, generators=generators(0))


def test_kernels_of_convolutions_are_perturbed_as_one_matrix_would_be():
    """A member's kernel (out, in, row, column) is (out, in x row x column): the same noise, the same number cut."""
    kernels = torch.randn(4, 5, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for family in WEIGHTS:
        found, matrix = (
            perturb({"w": w}, family, magnitude=0.3, generators=generators(1, 2), weights=["w"])[0]["w"]
            for w in (kernels, kernels.flatten(2))
        )
        torch.testing.assert_close(found.flatten(2), matrix, rtol=0, atol=1e-12)
    biases, _ = perturb({"b": torch.ones(4, 9)}, WEIGHTS[0], magnitude=0.3, generators=generators(1, 2), weights=["b"])
    assert biases["b"].shape == (4, 9)


def test_units_of_a_layer_have_another_way():
    layer = {"0.weight": torch.ones(2, 5, 3)}
    for family in UNITS:
        with pytest.raises(ValueError, match=r"'0.weight' is \(2, 5, 3\): draw masks by random_lesions"):
            perturb(layer, family, magnitude=0.25, generators=generators(1, 2), weights=["0.weight"])
    with pytest.raises(ValueError, match="at least one more"):
        perturb({"s": torch.ones(2)}, WEIGHTS[0], magnitude=0.1, generators=generators(1, 2), weights=["s"])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_comes_back_shares_memory_with_nothing(family):
    params = network(4)
    before = {name: value.clone() for name, value in params.items()}
    changed, overrides = perturb(params, family, magnitude=0.25, generators=generators(1, 2))
    for tensor in changed.values():
        tensor.fill_(7.0)
    assert all(torch.equal(params[name], before[name]) for name in params)
    if overrides.unit_mask is not None:
        second = overrides.unit_mask[1].clone()
        overrides.unit_mask[0].fill_(7.0)
        assert torch.equal(overrides.unit_mask[1], second)
    cut = without_units(params, torch.ones(40))
    cut["b"].fill_(7.0)
    assert torch.equal(params["b"], before["b"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", WEIGHTS)
def test_half_precision_is_perturbed_as_single_is_and_comes_back_in_its_type(family, dtype):
    """Squares of weights of 1e-4 are 0 in half precision: the noise was, too."""
    params = {"w_rec": (1e-4 * network(2)["w_rec"]).to(dtype)}
    single = {"w_rec": params["w_rec"].float()}
    magnitude = 2e-5 if family == "absolute-weight-noise" else 0.3
    found, wanted = (perturb(p, family, magnitude=magnitude, generators=generators(1))[0] for p in (params, single))
    assert found["w_rec"].dtype == dtype
    assert torch.equal(found["w_rec"], wanted["w_rec"].to(dtype))
    assert not torch.equal(found["w_rec"], params["w_rec"])


def test_more_synapses_than_half_precision_can_count_are_cut_in_the_stated_number():
    params = {"w_rec": torch.ones(1, 100, 100, dtype=torch.float16)}
    cut, _ = perturb(params, "connection-silencing", magnitude=0.3, generators=generators(0))
    assert int((cut["w_rec"] == 0).sum()) == 3000


def test_units_are_silenced_by_number_or_by_a_mask_of_booleans():
    wanted = torch.tensor([1.0, 1.0, 0.0, 0.0])
    for units in ([2, 3], torch.tensor([2, 3]), torch.tensor([2, 3], dtype=torch.uint8), range(2, 4)):
        assert torch.equal(silence(units, of=4), wanted)
    for mask in ([False, False, True, True], torch.tensor([False, False, True, True])):
        assert torch.equal(silence(mask, of=4), wanted)
    assert torch.equal(silence([], of=2), torch.ones(2))


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([4], "unit 4: there are units 0 to 3"),
        ([0, -1], "unit -1"),
        ([0.5], "whole numbers or booleans"),
        ([True, False], "does not fit 4 units"),
        (torch.zeros(2, 4, dtype=torch.bool)[:, :3], "does not fit 4 units"),
    ],
)
def test_units_out_of_range_are_named(units, message):
    with pytest.raises(ValueError, match=message):
        silence(units, of=4)


def test_masks_are_masks_wherever_one_is_taken():
    params = network(2)
    mask = torch.rand(40, generator=generators(0)[0]) < 0.7
    by_numbers, by_booleans = (without_units(params, given) for given in (mask.double(), mask))
    assert all(torch.equal(by_numbers[name], by_booleans[name]) for name in params)
    for wrong, message in ((torch.arange(40), "0 and 1"), (torch.tensor([2, 3]), "does not fit 40 units")):
        with pytest.raises(ValueError, match=message):
            without_units(params, wrong)
    with pytest.raises(ValueError, match="0 and 1"):
        lesion_matrix(lambda mask: torch.ones(2), torch.arange(8).view(2, 4))


def test_accuracies_that_are_counts_do_not_wrap_around():
    lost = lesion_matrix(lambda mask: torch.tensor([5 if mask is None else 7], dtype=torch.uint8), torch.ones(1, 4))
    assert lost.tolist() == [[-2.0]]


@pytest.mark.parametrize(
    ("family", "magnitude", "message"),
    [
        ("connection-silencing", 1.5, "= 1.5: wanted is 0 to 1"),
        ("unit-silencing", -0.1, "= -0.1: wanted is 0 to 1"),
        ("localised-lesion", 2.0, "= 2.0: wanted is 0 to 1"),
        ("relative-weight-noise", -1.0, "= -1.0: wanted is a finite number >= 0"),
        ("input-noise", float("nan"), "= nan: wanted is a finite number >= 0"),
        ("longer-delay", torch.tensor([700.0, 900.0]), "all members share one gap"),
        ("relative-weight-noise", torch.tensor([0.1, 0.2, 0.3]), "3 magnitudes for 2 members"),
    ],
)
def test_magnitudes_out_of_range_are_named(family, magnitude, message):
    with pytest.raises(ValueError, match=message):
        perturb(network(2), family, magnitude=magnitude, generators=generators(0))


def test_fractions_of_units_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"fraction = 1\.2: wanted is 0 to 1"):
        random_lesions(10, 1.2, generators=generators(0))
    with pytest.raises(ValueError, match="parts = 0"):
        contiguous_lesions(10, 0)


def test_errors_name_themselves():
    broken = network(2)
    broken["w_rec"][0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"weights 'w_rec' .* NaN"):
        perturb(broken, "relative-weight-noise", magnitude=0.1, generators=generators(0))
    with pytest.raises(ValueError, match="did you mean 'input-noise'"):
        family_named("input_noise")
    with pytest.raises(ValueError, match="parts 0 to 3"):
        perturb(network(1), "localised-lesion", magnitude=0.25, generators=generators(0), part=4)
    with pytest.raises(ValueError, match="5 members"):
        perturb(network(5), "unit-silencing", magnitude=0.25, generators=generators(0, 1))


def test_there_are_nine_families_in_the_order_of_the_table():
    kinds = {"inputs", "states", "weights", "units", "delays"}
    assert len(FAMILIES) == 9
    assert {family.kind for family in FAMILIES.values()} == kinds
    assert all(list(family.magnitudes) == sorted(family.magnitudes) for family in FAMILIES.values())


@pytest.mark.parametrize("units", [4.0, -3, 0])
def test_a_number_of_units_that_is_none_is_named(units):
    with pytest.raises(ValueError, match=f"units = {units}"):
        random_lesions(units, 0.5, generators=[torch.Generator()])


def test_draws_without_a_generator_are_refused():
    with pytest.raises(ValueError, match="one for each seed"):
        random_lesions(4, 0.5, generators=[])
    with pytest.raises(ValueError, match="one for each seed"):
        perturb({"w_rec": torch.ones(2, 3, 3)}, "relative-weight-noise", magnitude=0.1, generators=[])
