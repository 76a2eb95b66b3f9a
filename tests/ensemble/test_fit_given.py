"""What the training loop is given and hands out: half precision, memory of its own, and settings with no meaning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from dynatlas.ensemble.checkpoint import describe
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import SGD, Adam, AdamW
from dynatlas.ensemble.parameters import Layout, select_members
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job

HALVES = [torch.float16, torch.bfloat16]
OPTIMISERS = [Adam(lr=1e-3), AdamW(lr=1e-3), SGD(lr=1e-3), SGD(lr=1e-3, momentum=0.9, nesterov=True)]


def start(dtype=torch.float64, members: int = 3) -> dict[str, torch.Tensor]:
    """Weights (member, 4), of which the last is a dead unit's: it has no gradient."""
    return {"w": torch.linspace(1, 2, members, dtype=torch.float64)[:, None].repeat(1, 4).to(dtype)}


def by_step(step):
    """A batch that is the number of its step."""
    return step


def loss(params, step):
    return (params["w"][:, :3] - 3).square().sum(1)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "optimiser", OPTIMISERS, ids=lambda one: f"{type(one).__name__} {getattr(one, 'momentum', '')}"
)
def test_half_precision_learns_as_float64_does_up_to_the_rounding_of_its_weights(dtype, optimiser):
    """Updates of 1e-3 on weights near 1, where bfloat16 has steps of 8e-3: each of them alone would be lost."""
    half, exact = (fit(by_step, loss, start(kind), steps=60, optimiser=optimiser) for kind in (dtype, torch.float64))
    assert half.diverged == 0
    assert half.parameters["w"].dtype == dtype
    moved = (exact.parameters["w"] - start()["w"])[:, :3].abs().min()
    assert moved > 0.05
    rounding = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(half.parameters["w"].double(), exact.parameters["w"], rtol=rounding, atol=rounding)


@pytest.mark.parametrize("optimiser", [Adam(lr=1e-3), AdamW(lr=1e-3), SGD(lr=1e-3, momentum=0.9)])
@pytest.mark.parametrize("dtype", HALVES)
def test_an_optimiser_by_itself_is_finite_in_half_precision(optimiser, dtype):
    parameters, gradient = torch.ones(2, 3, dtype=dtype), torch.tensor([[0.0, 1e-4, 1.0]] * 2, dtype=dtype)
    state = optimiser.start(parameters)
    rate = torch.full((2, 1), 1e-3, dtype=dtype)
    update = optimiser.update(gradient, state, parameters=parameters, step=0, rate=rate)
    exact = optimiser.start(parameters.double())
    wanted = optimiser.update(gradient.double(), exact, parameters=parameters.double(), step=0, rate=rate.double())
    assert update.dtype == dtype
    torch.testing.assert_close(update.double(), wanted, rtol=0.02, atol=1e-6)


def test_a_large_sum_of_sound_weights_is_no_divergence_and_too_large_a_weight_is_one():
    """65504 is float16's largest number."""
    many = {"w": torch.full((2, 100_000), 2.0, dtype=torch.float16)}
    assert fit(by_step, lambda p, s: p["w"][:, 0], many, steps=2, optimiser=SGD(lr=0.1)).diverged == 0
    rates = torch.tensor([1e-3, 1e5])
    fitted = fit(by_step, lambda p, s: -p["w"].sum(1), start(torch.float16, 2), steps=4, optimiser=SGD(lr=rates))
    assert fitted.diverged_at.tolist() == [-1, 0]
    assert torch.equal(fitted.parameters["w"][1], start(torch.float16, 2)["w"][1])


class Killed(Exception):
    pass


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_resumes_with_the_same_bits(tmp_path, dtype):
    tree = start(dtype) | {"fixed": torch.ones(3, 2, dtype=dtype)}
    watch = Watch(lambda p, s: {"w": p["w"]}, at=Every(5), reached=lambda m: m["w"][:, 0] > 1.51, keep=True)
    job = Job("t", range(3), scratch=tmp_path, checkpoint_seconds=0)
    seen = []

    def dying(params, step):
        seen.append(params["w"].dtype)
        if step == 12:
            raise Killed
        return loss(params, step)

    def run(what, **given):
        return fit(
            by_step, what, tree, steps=20, optimiser=Adam(lr=0.01), trainable=["w"], watches={"w": watch}, **given
        )

    with pytest.raises(Killed):
        run(dying, job=job)
    resumed, whole = run(loss, job=job), run(loss)
    assert set(seen) == {dtype}
    assert len(seen) == 13
    assert torch.equal(resumed.parameters["w"], whole.parameters["w"])
    assert torch.equal(resumed.logs["w"].values["w"], whole.logs["w"].values["w"])
    assert resumed.logs["w"].values["w"].dtype == resumed.parameters_at["w"]["w"].dtype == dtype
    assert torch.equal(resumed.crossed_at["w"], whole.crossed_at["w"])
    assert len(set(whole.crossed_at["w"].tolist())) > 1


def test_nothing_handed_out_or_back_shares_memory():
    """A watch, a loss and a caller who write over what they are given, and tensors that change afterwards."""
    tree = start() | {"fixed": torch.ones(3, 2, dtype=torch.float64)}
    before = {name: tensor.clone() for name, tensor in tree.items()}

    def spoiling(params, step):
        seen = {name: tensor.clone() for name, tensor in params.items()}
        for tensor in params.values():
            tensor.fill_(99.0)
        return seen

    def plain(params, step):
        return {name: tensor.clone() for name, tensor in params.items()}

    def run(measure):
        watch = Watch(measure, at=Every(2), reached=lambda m: m["w"][:, 0] > 1.2, keep=True)
        return fit(by_step, loss, tree, steps=9, optimiser=Adam(lr=0.05), trainable=["w"], watches={"seen": watch})

    spoiled, sound = run(spoiling), run(plain)
    assert torch.equal(spoiled.parameters["w"], sound.parameters["w"])
    assert torch.equal(spoiled.logs["seen"].values["fixed"], sound.logs["seen"].values["fixed"])
    kept = sound.parameters_at["seen"]["fixed"].clone()
    for name, tensor in sound.parameters.items():
        tensor.fill_(7.0)
        assert torch.equal(tree[name], before[name])
    assert torch.equal(sound.parameters_at["seen"]["fixed"], kept)
    again = run(plain)
    tree["fixed"].fill_(5.0)
    assert torch.equal(again.parameters["fixed"], before["fixed"])


def test_a_loss_that_writes_over_what_does_not_learn_leaves_the_callers_tensors():
    tree = start() | {"fixed": torch.zeros(3, dtype=torch.float64)}

    def counting(params, step):
        params["fixed"].add_(1)
        return loss(params, step)

    fit(by_step, counting, tree, steps=3, optimiser=SGD(lr=0.1), trainable=["w"])
    assert not tree["fixed"].any()


@pytest.mark.parametrize("index", [slice(0, 2), [1, 0], torch.tensor([True, False, True])])
def test_selected_members_are_new_tensors(index):
    tree = start()
    some = select_members(tree, index)
    assert torch.equal(some["w"], tree["w"][index])
    some["w"].zero_()
    assert torch.equal(tree["w"], start()["w"])


def test_strided_expanded_and_read_only_parameters_and_one_or_two_members_learn_the_same():
    for members in (1, 2, 3):
        plain = fit(by_step, loss, start(members=members), steps=5, optimiser=Adam(lr=0.1)).parameters["w"]
        frozen = start(members=members)["w"].numpy().copy()
        frozen.setflags(write=False)
        with warnings.catch_warnings(action="ignore"):  # torch's own, once a process
            read_only = torch.as_tensor(frozen)
        expanded = start(members=members)["w"][:, :1].expand(members, 4)
        for given in (start(members=members)["w"].mT.contiguous().mT, expanded, read_only):
            assert torch.equal(fit(by_step, loss, {"w": given}, steps=5, optimiser=Adam(lr=0.1)).parameters["w"], plain)
        assert np.array_equal(frozen, start(members=members)["w"].numpy())


def test_a_member_that_begins_with_nan_is_counted_and_troubles_nobody():
    tree = start()
    tree["w"][1, 0] = torch.nan
    fitted = fit(by_step, loss, tree, steps=5, optimiser=Adam(lr=0.1), clip_norm=1.0)
    assert fitted.diverged_at.tolist() == [-1, 0, -1]
    sound = fit(by_step, loss, start(), steps=5, optimiser=Adam(lr=0.1), clip_norm=1.0)
    assert torch.equal(fitted.parameters["w"][[0, 2]], sound.parameters["w"][[0, 2]])


def watch(**change):
    return {"watches": {"seen": Watch(**{"measure": lambda p, s: {"w": p["w"]}, **change})}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be"),
        ({"steps": torch.tensor([True, False, True])}, "steps must be"),
        ({"steps": float("inf")}, "steps must be"),
        ({"steps": float("nan")}, "steps must be"),
        ({"parameters": {"w": torch.ones(3, 4, dtype=torch.long)}}, "'w' is torch.int64, wanted are real numbers"),
        ({"parameters": {"w": torch.ones(3, 4, dtype=torch.complex64)}}, "two real ones"),
        ({"parameters": {"w": np.ones((3, 4))}}, "'w' is ndarray: wanted is a tensor, see torch.as_tensor"),
        ({"parameters": start() | {"v": start(torch.float16)["w"]}}, "'v' is .* all need the same"),
        ({"trainable": "w"}, r"wanted is a list of names, such as \['w'\]"),
        ({"trainable": ["v"]}, r"unknown parameter 'v' \(known: w\)"),
        ({"trainable": []}, "no parameters to train"),
        ({"clip_norm": -1.0}, "clip_norm must be >= 0"),
        ({"clip_norm": torch.tensor([1.0, float("nan"), 1.0])}, "clip_norm must be >= 0"),
        ({"loss": lambda p, s: p["w"].detach().sum(1)}, "loss does not depend on any of w"),
        ({"watches": {"loss": Watch(lambda p, s: {"w": p["w"]})}}, "cannot be called 'loss'"),
        ({"watches": {"a|b": Watch(lambda p, s: {"w": p["w"]})}}, "cannot be called"),
        (watch(measure=lambda p, s: {"w": p["w"].mean()}), r"watch 'seen': 'w' is \(\)"),
        (watch(measure=lambda p, s: {"w": 3.0}), "'w' is float; wanted are tensors with leading axis member, 3"),
        (watch(reached=lambda m: m["w"].mean() > 0), r"reached gives \(\) torch.bool; wanted are booleans \(3,\)"),
        (watch(reached=lambda m: m["w"][:, 0]), "reached gives .*float64"),
    ],
)
def test_settings_with_no_meaning_are_named(change, message):
    given = {"loss": loss, "parameters": start(), "steps": 2, "optimiser": SGD(lr=0.1)} | change
    with pytest.raises(ValueError, match=message):
        fit(by_step, given.pop("loss"), given.pop("parameters"), **given)


@pytest.mark.parametrize("steps", [3, 3.0, np.int64(3), torch.tensor(3), torch.tensor([3.0, 3.0, 3.0])])
def test_a_whole_number_of_any_type_is_a_number_of_steps(steps):
    assert len(fit(by_step, loss, start(), steps=steps, optimiser=SGD(lr=0.1), log_at=Every(1)).losses.steps) == 3


def test_a_checkpoint_of_other_fixed_tensors_or_watches_is_not_taken_up(tmp_path, capsys):
    job = Job("t", range(3), scratch=tmp_path, checkpoint_seconds=0)

    def towards(params, step):
        return (params["w"] - params["goal"]).square().sum(1)

    def run(goal, at=2, where=job):
        tree = start() | {"goal": torch.full((3, 4), goal, dtype=torch.float64)}
        seen = Watch(lambda p, s: {"w": p["w"]}, at=Every(at))
        return fit(
            by_step, towards, tree, steps=6, optimiser=SGD(lr=0.1), trainable=["w"], watches={"seen": seen}, job=where
        )

    run(0.0)
    found, wanted = run(5.0), run(5.0, where=None)
    assert torch.equal(found.parameters["w"], wanted.parameters["w"])
    assert run(5.0, at=3).logs["seen"].steps.tolist() == [0, 3, 6]
    assert capsys.readouterr().err.count("checkpoint discarded") == 2


def test_what_a_checkpoint_must_agree_on_counts_bit_by_bit():
    long = np.zeros(5000)
    other = long.copy()
    other[2500] = 1e-300
    assert describe(long) != describe(other)
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.int64):
        assert describe(torch.ones((), dtype=dtype)) != describe(torch.zeros((), dtype=dtype))
    assert describe(torch.ones(2, dtype=torch.bfloat16)) != describe(torch.ones(2, dtype=torch.float16))
    assert describe(loss) == describe(loss) != describe(start)
    made = [(lambda: lambda p: p)() for _ in range(2)]  # as in two processes: two objects, one name
    assert describe(made[0]) == describe(made[1])


def test_a_watch_may_name_what_it_measures_as_it_likes(tmp_path):
    job = Job("t", range(3), scratch=tmp_path, checkpoint_seconds=0)
    seen = {"seen": Watch(lambda p, s: {"a|b": p["w"], "c": p["w"]}, at=Every(2))}
    first, again = (
        fit(by_step, loss, start(), steps=4, optimiser=SGD(lr=0.1), watches=seen, job=job) for _ in range(2)
    )
    assert first.logs["seen"].values.keys() == again.logs["seen"].values.keys() == {"a|b", "c"}


def test_the_buffer_of_half_precision_is_float32():
    for dtype, wide in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2):
        layout = Layout.of(start(dtype))
        assert layout.dtype == dtype
        assert layout.pack(start(dtype)).dtype == wide
