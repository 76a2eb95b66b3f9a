"""The training loop: members learn as if alone, stop, diverge, are watched, saved and resumed to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import SGD, Adam
from dynatlas.ensemble.parameters import Layout, select_members
from dynatlas.ensemble.schedules import Every, LinearDecay
from dynatlas.ensemble.watch import Watch, first_crossing, snapshot_at
from dynatlas.jobs import Job
from dynatlas.models.rnn import ElmanRNN, readout, rollout
from dynatlas.models.torch_layout import to_torch


def by_step(step):
    """A batch that is the number of its step."""
    return step


def quadratic(params, step):
    return ((params["w"] - 1) ** 2).sum(1)


def start(members: int = 3) -> dict[str, torch.Tensor]:
    return {"w": torch.linspace(2, 3, members, dtype=torch.float64)[:, None].repeat(1, 4)}


class Regression:
    """A noisy regression: one torch and one numpy stream for each seed, all of it drawn step by step."""

    def __init__(self, job: Job):
        self.torch = job.generators("task")
        self.numpy = [job.rng("noise", seed) for seed in job.seeds]

    def draw(self, step):
        x = torch.stack([torch.randn(8, 5, generator=g) for g in self.torch])
        return x, torch.from_numpy(np.stack([rng.normal(size=(8, 1)) for rng in self.numpy])).float()

    def loss(self, params, batch):
        x, noise = batch
        return ((torch.tanh(x @ params["w"]) @ params["v"] - x[..., :1] + 0.1 * noise) ** 2).mean((1, 2))


def regress(job: Job, *, steps: int = 40, name: str = "fit", **settings):
    task = Regression(job)
    draws = job.generators("initialisation")
    tree = {
        "w": torch.stack([torch.randn(5, 6, generator=g) for g in draws]),
        "v": torch.stack([torch.randn(6, 1, generator=g) for g in draws]),
    }
    given = {"optimiser": Adam(lr=0.01), "schedule": LinearDecay(5), "clip_norm": 1.0, **settings}
    return fit(task.draw, task.loss, tree, steps=steps, job=job, name=name, **given)


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


def test_gradient_descent_on_a_quadratic_at_its_exact_rate():
    fitted = fit(by_step, quadratic, start(), steps=7, optimiser=SGD(lr=torch.tensor([0.1, 0.2, 0.3])), log_at=Every(1))
    shrink = (1 - 2 * torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))[:, None]
    torch.testing.assert_close(fitted.parameters["w"] - 1, shrink**7 * (start()["w"] - 1), rtol=1e-6, atol=0)
    assert fitted.losses.steps.tolist() == list(range(7))
    torch.testing.assert_close(fitted.losses.values["loss"][0], quadratic(start(), 0))
    assert fitted.diverged == 0


def test_parameters_that_came_in_are_left_alone():
    tree = start()
    fit(by_step, quadratic, tree, steps=3, optimiser=SGD(lr=0.1))
    assert torch.equal(tree["w"], start()["w"])


def test_adding_seeds_leaves_earlier_seeds_bits():
    few, many = regress(Job("t", range(3))), regress(Job("t", range(7)))
    assert same(few.parameters, select_members(many.parameters, slice(0, 3)))
    assert torch.equal(few.losses.values["loss"], many.losses.values["loss"][:, :3])


def test_every_member_has_its_own_budget_rate_and_clip():
    budget = torch.tensor([3, 10, 6])
    settings = {"lr": torch.tensor([0.1, 0.2, 0.3]), "clip": torch.tensor([0.5, 100.0, 1.0])}
    together = fit(
        by_step, quadratic, start(), steps=budget, optimiser=Adam(lr=settings["lr"]), clip_norm=settings["clip"]
    )
    for member in range(3):
        alone = fit(
            by_step,
            quadratic,
            select_members(start(), [member]),
            steps=int(budget[member]),
            optimiser=Adam(lr=float(settings["lr"][member])),
            clip_norm=float(settings["clip"][member]),
        )
        torch.testing.assert_close(together.parameters["w"][member], alone.parameters["w"][0], rtol=0, atol=1e-7)


def test_recurrent_networks_train_as_torch_trains_them_one_by_one():
    job = Job("t", range(3))
    params = ElmanRNN(4, 6, 2, activation="tanh").initialise(job.generators("initialisation"), dtype=torch.float64)
    x = torch.stack([torch.randn(7, 5, 4, generator=g, dtype=torch.float64) for g in job.generators("task")])

    def loss(now, step):
        return (
            (readout(now, rollout(now, x, activation="tanh")) - x[..., :2].roll(1 + step % 2, 1))
            .square()
            .mean((1, 2, 3))
        )

    fitted = fit(by_step, loss, params, steps=20, optimiser=Adam(lr=0.01), clip_norm=0.2)
    for member in range(3):
        rnn, out = torch.nn.RNN(4, 6).double(), torch.nn.Linear(6, 2).double()
        rnn.load_state_dict(to_torch(params, member))
        rnn.bias_hh_l0.requires_grad_(False)
        out.weight.data, out.bias.data = params["w_out"][member].T.clone(), params["b_out"][member].clone()
        learning = [p for p in (*rnn.parameters(), *out.parameters()) if p.requires_grad]
        optimiser = torch.optim.Adam(learning, lr=0.01)
        for step in range(20):
            optimiser.zero_grad()
            (out(rnn(x[member])[0]) - x[member, ..., :2].roll(1 + step % 2, 0)).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(learning, 0.2)
            optimiser.step()
        for name, ours in to_torch(fitted.parameters, member).items():
            torch.testing.assert_close(ours, rnn.state_dict()[name], rtol=0, atol=1e-10)
        torch.testing.assert_close(fitted.parameters["w_out"][member].T, out.weight.data, rtol=0, atol=1e-10)


def test_clipping_is_per_member():
    huge = start()
    huge["w"][2] *= 1e6
    both = [
        fit(by_step, quadratic, tree, steps=4, optimiser=SGD(lr=0.1), clip_norm=1.0).parameters["w"]
        for tree in (start(), huge)
    ]
    assert torch.equal(both[0][:2], both[1][:2])
    moved = (huge["w"][2] - both[1][2]).norm().item()
    assert moved == pytest.approx(0.4, rel=1e-5)


def test_a_member_whose_update_overflows_keeps_its_finite_parameters_and_its_log_ends():
    rates = torch.tensor([0.1, 1e308, 0.1], dtype=torch.float64)
    watch = Watch(lambda params, step: {"w": params["w"]}, at=Every(2))
    both = fit(by_step, quadratic, start(), steps=6, optimiser=SGD(lr=rates), watches={"w": watch})
    assert both.diverged_at[1] >= 0
    assert bool(both.parameters["w"].isfinite().all())
    alone = fit(
        by_step, quadratic, select_members(start(), [1]), steps=6, optimiser=SGD(lr=1e308), watches={"w": watch}
    )  # ends at once
    log = alone.logs["w"]
    assert len(log.steps) < 4
    assert torch.equal(log.at([0, 2, 6])["w"], both.logs["w"].values["w"][[0, 1, 3], 1:2])
    with pytest.raises(ValueError, match="notes begin at"):
        log.at([-1])


def test_a_diverged_member_stands_still_is_counted_and_troubles_nobody():
    def loss(params, step):
        scale = torch.ones(3, dtype=torch.float64)
        scale[1] = torch.inf if step == 4 else 1.0
        return quadratic(params, step) * scale

    fitted = fit(by_step, loss, start(), steps=9, optimiser=Adam(lr=0.1), clip_norm=1.0)
    sound = fit(by_step, quadratic, start(), steps=9, optimiser=Adam(lr=0.1), clip_norm=1.0)
    until = fit(by_step, quadratic, start(), steps=4, optimiser=Adam(lr=0.1), clip_norm=1.0)
    assert fitted.diverged_at.tolist() == [-1, 4, -1]
    assert fitted.diverged_by([0, 4, 5, 9]).tolist() == [[False] * 3, [False] * 3, *[[False, True, False]] * 2]
    assert fitted.diverged == 1
    assert torch.equal(fitted.parameters["w"][1], until.parameters["w"][1])
    assert torch.equal(fitted.parameters["w"][[0, 2]], sound.parameters["w"][[0, 2]])


def test_snapshots_are_the_parameters_after_so_many_updates():
    fitted = fit(by_step, quadratic, start(), steps=7, optimiser=SGD(lr=0.1), watches={"kept": snapshot_at([0, 3])})
    log = fitted.logs["kept"]
    assert log.steps.tolist() == [0, 3, 7]
    short = fit(by_step, quadratic, start(), steps=3, optimiser=SGD(lr=0.1)).parameters
    wanted = {0: start(), 3: short, 7: fitted.parameters}
    for place, step in enumerate(log.steps.tolist()):
        assert all(torch.equal(log.values[name][place], tensor) for name, tensor in wanted[step].items())


def test_watches_log_stop_and_keep():
    def measure(params, step):
        return {"loss": quadratic(params, step), "both": params["w"][:, :2]}

    low = {"measure": measure, "at": Every(2), "reached": lambda m: m["loss"] < 0.5}
    fitted = fit(
        by_step,
        quadratic,
        start(),
        steps=21,
        optimiser=SGD(lr=0.05),
        log_at=Every(1),
        watches={"plain": Watch(measure, at=Every(10)), "low": Watch(**low, stop=True, keep=True)},
    )
    free = fit(by_step, quadratic, start(), steps=21, optimiser=SGD(lr=0.05), watches={"low": Watch(**low)})
    end = int(fitted.stopped_at.max())  # all have stopped: so has the loop
    assert fitted.logs["plain"].steps.tolist() == [*(s for s in (0, 10, 20) if s < end), end]
    assert fitted.logs["plain"].values["both"].shape[1:] == (3, 2)
    crossed = first_crossing(free.logs["low"].values["loss"], free.logs["low"].steps, lambda v: v < 0.5)
    assert torch.equal(crossed, fitted.crossed_at["low"])
    assert torch.equal(crossed, free.crossed_at["low"])
    assert torch.equal(fitted.stopped_at, crossed)
    # by hand: 4 d^2 .9^(2 s) < .5 with d = 1, 1.5, 2
    by_hand = [next(s for s in range(0, 40, 2) if 4 * d * d * 0.9 ** (2 * s) < 0.5) for d in (1, 1.5, 2)]
    assert crossed.tolist() == by_hand
    assert torch.equal(fitted.parameters["w"], fitted.parameters_at["low"]["w"])
    assert not torch.equal(free.parameters["w"][0], fitted.parameters["w"][0])


def test_a_criterion_never_met_is_minus_one_and_keeps_nothing():
    never = Watch(lambda p, s: {"l": quadratic(p, s)}, reached=lambda m: m["l"] < 0, keep=True)
    fitted = fit(by_step, quadratic, start(), steps=5, optimiser=SGD(lr=0.1), watches={"never": never})
    assert fitted.crossed_at["never"].tolist() == [-1, -1, -1]
    assert fitted.parameters_at["never"]["w"].isnan().all()
    values = torch.tensor([[3.0, float("nan")], [1.0, float("nan")]])
    assert first_crossing(values, torch.tensor([0, 5]), lambda v: v < 2).tolist() == [5, -1]


def test_project_transforms_the_update_and_trainable_freezes_the_rest():
    tree = start() | {"fixed": torch.ones(3, 4, dtype=torch.float64)}

    def loss(params, step):
        return ((params["w"] - 2 * params["fixed"]) ** 2).sum(1)

    keep_first = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    fitted = fit(
        by_step,
        loss,
        tree,
        steps=50,
        optimiser=Adam(lr=0.05),
        trainable=["w"],
        project=lambda u: {"w": u["w"] * keep_first},
    )
    assert torch.equal(fitted.parameters["fixed"], tree["fixed"])
    assert torch.equal(fitted.parameters["w"][:, 1:], tree["w"][:, 1:])
    assert (fitted.parameters["w"][1:, 0] != tree["w"][1:, 0]).all()


class Killed(Exception):
    pass


def interrupted(job: Job, at: int):
    """A run that dies in the middle of update `at`, after its batch was drawn."""
    whole = Regression.draw

    def dying(self, step):
        batch = whole(self, step)
        if step == at:
            raise Killed
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Regression, "draw", dying)
        with pytest.raises(Killed):
            regress(job, watches=watches())


def watches():
    norm = Watch(
        lambda p, s: {"norm": p["w"].norm(dim=(1, 2))}, at=Every(4), reached=lambda m: m["norm"] > 5.5, keep=True
    )
    return {"norm": norm}


@pytest.mark.parametrize("at", [0, 1, 17, 39])
def test_resumed_run_has_the_bits_of_an_undisturbed_one(tmp_path, at):
    job = Job("t", range(4), scratch=tmp_path, checkpoint_seconds=0)
    interrupted(job, at)
    resumed = regress(job, watches=watches())
    undisturbed = regress(Job("t", range(4)), watches=watches())
    assert same(resumed.parameters, undisturbed.parameters)
    assert torch.equal(resumed.losses.values["loss"], undisturbed.losses.values["loss"])
    assert torch.equal(resumed.logs["norm"].values["norm"], undisturbed.logs["norm"].values["norm"])
    assert resumed.logs["norm"].steps.tolist() == undisturbed.logs["norm"].steps.tolist()
    assert torch.equal(resumed.crossed_at["norm"], undisturbed.crossed_at["norm"])
    torch.testing.assert_close(
        resumed.parameters_at["norm"], undisturbed.parameters_at["norm"], rtol=0, atol=0, equal_nan=True
    )


def test_a_finished_run_returns_at_once_and_leaves_its_streams_where_they_were(tmp_path):
    job = Job("t", range(2), scratch=tmp_path)
    first = regress(job)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Regression, "draw", lambda self, step: calls.append(step))
        again = regress(job)
    assert calls == []
    assert same(first.parameters, again.parameters)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign"])
def test_a_damaged_or_foreign_checkpoint_is_discarded(tmp_path, damage, capsys):
    job = Job("t", range(2), scratch=tmp_path, checkpoint_seconds=0)
    expected = regress(Job("t", range(2)))
    if damage == "foreign":
        regress(job, optimiser=Adam(lr=0.02))
    else:
        regress(job)
        path = job.checkpoint("fit")
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes({"flip": bytes(raw), "truncate": bytes(raw[:-7]), "empty": b""}[damage])
    assert same(regress(job).parameters, expected.parameters)
    assert "checkpoint discarded" in capsys.readouterr().err


PROGRAM = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_fit import regress
    from dynatlas.jobs import Job
    print("ready", flush=True)
    regress(Job("t", range(4), scratch=Path({scratch!r}), checkpoint_seconds=0), steps=600)
"""


@pytest.mark.slow
def test_survives_sigkill_at_any_moment(tmp_path):
    """A real process killed three times, at whatever it is doing, then finished here."""
    text = textwrap.dedent(PROGRAM).format(tests=str(Path(__file__).parent), scratch=str(tmp_path))
    for wait in (0.05, 0.21, 0.13):
        process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    job = Job("t", range(4), scratch=tmp_path)
    assert job.checkpoint("fit").exists()
    assert same(regress(job, steps=600).parameters, regress(Job("t", range(4)), steps=600).parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps must be"),
        ({"steps": torch.tensor([1, 2])}, r"tensor \(3,\)"),
        ({"loss": lambda p, s: p["w"].sum()}, r"loss must give \(3,\)"),
        ({"parameters": {}}, "no parameters"),
        ({"parameters": {"a": torch.ones(2, 1), "b": torch.ones(3, 1)}}, "'b'"),
        ({"clip_norm": torch.ones(2)}, r"\(3,\)"),
    ],
)
def test_mistakes_are_named(change, message):
    settings = {"loss": quadratic, "parameters": start(), "steps": 2, "optimiser": SGD(lr=0.1), **change}
    with pytest.raises(ValueError, match=message):
        fit(by_step, settings.pop("loss"), settings.pop("parameters"), **settings)


def test_layout_packs_and_views():
    tree = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(8.0).view(2, 2, 2)}
    layout = Layout.of(tree)
    flat = layout.pack(tree)
    assert flat.shape == (2, layout.size) == (2, 7)
    assert same(layout.unpack(flat), tree)
    layout.unpack(flat)["b"][1, 0, 0] = -1
    assert flat[1, 3] == -1


FAULTS = """
import resource
import torch
from dynatlas.ensemble.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2_000_000) for _ in range(3)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if keep_freed_memory():
    print(*(faults() for _ in range(6)))
"""


def test_freed_memory_is_kept_where_glibc_allows():
    """Once blocks have found their places, a further round of large ones needs no new pages from the system."""
    shown = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout.split()
    if not shown:
        pytest.skip("no glibc here")
    first, *_, last = map(int, shown)
    assert first > 5000
    assert last < 300
