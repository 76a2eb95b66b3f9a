"""Counts from sizes against counts of built tensors, and both against the published numbers."""

from __future__ import annotations

import pytest
import torch

from dynatlas.instruments.accounting import count_built
from dynatlas.studies.task_primitives.formulas import count_parameters, count_trainable

STRATEGIES = ("MP", "MPu", "DP", "MR", "RES", "SEP", "JOINT", "GP", "SEQ")
SEEN = ((0, 1, 2, 3, 4), (0, 1, 2), (0, 3, 4), (0, 1, 2, 3, 4))


def ones(*shape):
    return torch.ones(shape)


def build(strategy, modules, units):
    """The tensors of one seed, as a study would build them (members: 1, or one network per task)."""
    total = modules * units
    if strategy == "SEP":
        shapes = {"w_in": (5, units), "w_rec": (units, units), "b": (units,), "w_out": (units, 3), "b_out": (3,)}
        return {name: torch.rand(9, *shape) + 0.1 for name, shape in shapes.items()}
    if strategy in ("JOINT", "GP", "SEQ"):
        shapes = {"w_in": (14, total), "w_rec": (total, total), "b": (total,), "w_out": (total, 3), "b_out": (3,)}
        return {name: torch.rand(1, *shape) + 0.1 for name, shape in shapes.items()}
    blocks = [ones(units, units)] * modules
    w_rec = torch.block_diag(*blocks) if strategy in ("MP", "MPu", "MR") else ones(total, total)
    w_in = ones(5, total)
    for module in range(modules if strategy == "MP" else 0):
        unseen = sorted(set(range(5)) - set(SEEN[module % 4]))
        w_in[unseen, module * units : (module + 1) * units] = 0
    zero_biases = torch.zeros(1, total)
    return {
        "w_in": w_in[None],
        "w_rec": w_rec[None],
        "b": zero_biases,
        "w_out": ones(1, 9, total, 3),
        "b_out": ones(1, 9, 3),
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("modules", "units"), [(4, 40), (4, 7), (2, 16), (8, 5)])
def test_sizes_and_built_tensors_agree_exactly(strategy, modules, units):
    built = int(count_built(build(strategy, modules, units)).sum())
    assert built == count_parameters(strategy, modules=modules, units=units)


def test_published_numbers():
    def total(strategy):
        return count_parameters(strategy, modules=4, units=40)

    assert (total("MP"), total("SEP"), total("JOINT"), total("DP")) == (11_547, 17_667, 28_483, 30_907)
    assert total("MP") < total("SEP") < total("JOINT")


def test_one_more_task_costs_what_is_trained_for_it():
    for strategy in ("MP", "MPu", "DP", "MR", "RES", "SEP"):
        nine, ten = (count_parameters(strategy, modules=4, units=40, tasks=tasks) for tasks in (9, 10))
        assert ten - nine == count_trainable(strategy, modules=4, units=40)
    assert count_trainable("MP", modules=4, units=40) == 3 * 161 == 483
    assert count_trainable("SEP", modules=4, units=40) == 1_963


def test_projection_leaves_biases_alone():
    sizes = {"modules": 4, "units": 40}
    assert count_trainable("JOINT", **sizes) == count_parameters("JOINT", **sizes)
    assert count_trainable("JOINT", **sizes) - count_trainable("GP", **sizes) == 160 + 3


def test_modules_may_see_other_inputs():
    plain = count_parameters("MP", modules=4, units=40)
    assert count_parameters("MP", modules=4, units=40, module_inputs=[5, 5, 5, 5]) == plain + 4 * 40
    assert count_parameters("MP", modules=4, units=40, module_inputs=[5] * 4) == count_parameters(
        "MPu", modules=4, units=40
    )
    with pytest.raises(ValueError, match="each of the 4 modules"):
        count_parameters("MP", modules=4, units=40, module_inputs=[5, 3])


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="did you mean 'JOINT'"):
        count_parameters("JOIN", modules=4, units=40)
    with pytest.raises(ValueError, match="units = 0"):
        count_parameters("MP", modules=4, units=0)
