"""Stacks of starts and modes, what learns in them, and measures on cases with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.problems.sequences import SequenceBatch, permuted_images
from dynatlas.studies.adaptive_activation import dynamics, measure, train
from dynatlas.studies.adaptive_activation.cells import Schedule, cells_of, start
from dynatlas.studies.adaptive_activation.problems import accuracies, losses, network_for_task, problem_for

JOB = Job(study="adaptive-activation", seeds=[0, 1])
UPDATES = 6
TASKS = {
    "digits": {
        "units": 6, "updates": UPDATES, "learning_rate": 1e-2, "every": 3,
        "data": {"source": "digits", "train": 1397, "test": 30, "pixels_per_step": 8, "batch": 8},
    },
    "copy": {
        "units": 6, "updates": UPDATES, "learning_rate": 1e-2, "every": 3,
        "data": {"delay": 3, "count": 2, "symbols": 4, "batch": 8, "test": 20},
    },
}  # fmt: skip
GRIDS = {"starts": {"n": [1, 5], "s": [0, 0.5]}, "one": {"n": [5], "s": [0]}}
CELLS = {
    "static": ["starts"],
    "homogeneous": ["starts"],
    "heterogeneous": ["starts"],
    "frozen": ["one"],
    "late heterogeneous": ["one"],
}
MEMBERS = Members(seed=JOB.seeds, cell=cells_of(CELLS, GRIDS))
MANY = len(MEMBERS) // 2
"""Cells of each seed."""
CHANGES = {"ramp": {"kind": "ramp"}, "noise": {"kind": "noise", "sd": 0.2}}
IMAGES = {"source": "digits", "train": 1397, "test": 30, "pixels_per_step": 8}
SHAPE = {"n": 5.0, "s": 0.0, "units": 6, "batch": 8, "images": IMAGES, "changes": CHANGES}


def grid_run(task: str, job: Job = JOB, cells: dict = CELLS, together: int = 0) -> Run:
    settings = {"task": task, "tasks": TASKS, "cells": cells, "grids": GRIDS, "shape_ratio": 1.0, "together": together}
    return Run(train.train_grid(job, **settings), seeds=job.seeds, settings=settings)


def base_run() -> Run:
    return Run(train.train_on_changes(JOB, **SHAPE, updates=4, learning_rate=1e-2), seeds=JOB.seeds, settings={})


def adapted_run(base: Run, together: int = 0) -> Run:
    given = {name: SHAPE[name] for name in ("images", "units", "batch", "changes")}
    arrays = train.adapt(JOB, base=base, **given, updates=4, learning_rate=1e-2, together=together)
    return Run(arrays, seeds=JOB.seeds, settings={})


GRID = [grid_run("digits"), grid_run("copy")]
BASE = base_run()
ADAPTED = adapted_run(BASE)


def own(run: Run, name: str, mode: str) -> torch.Tensor:
    """(seed, cell of this mode, ...)."""
    return run["networks"].at(mode=mode)[name]


# ------------------------------------------------------------------ cells


def test_cells_are_the_products_of_their_grids_each_once():
    listed = cells_of({"static": ["one", "starts"], "frozen": ["one"]}, GRIDS)
    starts = [(5, 0), (1, 0), (1, 0.5), (5, 0.5)]
    assert listed == [
        *({"mode": "static", "n": n, "s": s} for n, s in starts),
        {"mode": "frozen", "n": 5, "s": 0},
    ]


@pytest.mark.parametrize(("cells", "message"), [({"still": ["one"]}, "'still'"), ({"static": ["two"]}, "'two'")])
def test_unknown_modes_and_grids_are_named(cells, message):
    with pytest.raises(ValueError, match=message):
        cells_of(cells, GRIDS)


def test_all_cells_of_a_seed_start_from_the_same_weights():
    n, s = MEMBERS.of("n"), MEMBERS.of("s")
    params = start(GainSaturationRNN(2, 4, 3), JOB.generators("initialisation"), n, s)
    for name, part in params.items():
        each = MEMBERS.split(part)
        if name in ("gain", "saturation"):
            wanted = torch.tensor(n if name == "gain" else s)
            assert torch.equal(part, wanted[:, None].expand(-1, 4))
        else:
            assert torch.equal(each, each[:, :1].expand_as(each)), name


def test_shape_learning_rate_is_a_ratio_that_scales_the_step_of_shapes_alone():
    ratios = Schedule.of(MEMBERS, updates=UPDATES, ratio=0.5, device="cpu").ratio
    assert {mode: float(ratio) for mode, ratio in zip(MEMBERS.of("mode"), ratios, strict=True)} == {
        **dict.fromkeys(("static", "homogeneous", "heterogeneous", "late heterogeneous"), 0.5),
        "frozen": 0.0,
    }


# ------------------------------------------------------------------ training


@pytest.mark.parametrize("run", GRID, ids=["digits", "copy"])
def test_each_mode_learns_what_it_may(run):
    for name in ("gain", "saturation"):
        for mode in ("static", "frozen"):
            begin = torch.tensor(MEMBERS.at(mode=mode).of({"gain": "n", "saturation": "s"}[name]))
            assert torch.equal(own(run, name, mode).flatten(0, 1), begin[:, None].expand(-1, 6)), mode
        shared = own(run, name, "homogeneous")
        assert torch.equal(shared, shared[..., :1].expand_as(shared))
        assert (shared.std(dim=0) > 0).all(), "seeds differ"
        assert (own(run, name, "heterogeneous").std(dim=-1) > 0).all()


def test_a_frozen_network_is_the_static_one_and_none_else_is():
    for run in GRID:
        of_start = run["networks"].at(n=5, s=0)
        modes = ("static", "frozen", "heterogeneous")
        static, frozen, other = (of_start.at(cell={"mode": mode}) for mode in modes)
        assert all(torch.equal(static[name], frozen[name]) for name in train.SETS["weights"])
        assert not torch.equal(static["w_rec"], other["w_rec"])


def test_late_networks_are_static_ones_up_to_the_middle():
    course = GRID[0]["course"].at(n=5, s=0)
    assert course.members.axes["update"] == [0, 3, 6]
    late, fixed = (course.at(mode=mode) for mode in ("late heterogeneous", "static"))
    assert torch.equal(late["loss"][:2], fixed["loss"][:2])
    assert late["saturation_sd"][:2].max() == 0
    assert late["saturation_sd"][2].min() > 0


def test_one_seed_or_one_cell_more_leaves_the_others_bits():
    alone = grid_run("digits", Job(study="adaptive-activation", seeds=[0]), {"homogeneous": ["starts"]})
    together = grid_run("digits", JOB, {"homogeneous": ["starts"]})
    for name in ("w_rec", "gain"):
        first = own(alone, name, "homogeneous")[0]
        assert torch.equal(own(together, name, "homogeneous")[0], first)
        torch.testing.assert_close(own(GRID[0], name, "homogeneous")[0], first, rtol=0, atol=1e-6)


def test_parts_of_a_stack_give_the_losses_and_gradients_of_the_whole():
    problem = problem_for(JOB, "copy", TASKS["copy"])
    rnn = network_for_task("copy", problem, 6)
    begin = start(rnn, JOB.generators("initialisation"), MEMBERS.of("n"), MEMBERS.of("s"))
    params = {name: p.double() for name, p in begin.items()}
    batch = problem.train(0).for_members(MANY)
    batch = replace(batch, x=batch.x.double())
    found = []
    for together in (0, 5):
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        loss = train.in_parts(rnn, leaves, batch, together)
        found.append([loss, *torch.autograd.grad(loss.sum(), list(leaves.values()))])
    for whole, parted in zip(*found, strict=True):
        torch.testing.assert_close(parted, whole, rtol=0, atol=1e-12)


def test_losses_and_accuracies_are_read_where_they_should_be():
    stream = torch.Generator().manual_seed(2)
    states = torch.randn(4, 5, 3, 6, generator=stream, dtype=torch.float64)
    params = {"w_out": torch.randn(4, 6, 3, generator=stream, dtype=torch.float64)}
    target = torch.randint(0, 3, (2, 3, 3), generator=stream)
    batch = SequenceBatch(torch.zeros(2, 5, 3, 1), target, read_from=2, counted_from=-1)
    loss, accuracy = losses(params, states, batch), accuracies(params, states, batch)
    for member in range(4):
        outputs = states[member, 2:] @ params["w_out"][member]
        wanted = target[member // 2]
        plain = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), wanted.flatten())
        assert float(loss[member]) == pytest.approx(float(plain), abs=1e-12)
        assert float(accuracy[member]) == pytest.approx(float((outputs[-1].argmax(-1) == wanted[-1]).double().mean()))


@pytest.mark.parametrize("task", ["digits", "copy", "text", "characters"])
def test_every_task_has_a_problem_and_a_network_of_its_sizes(task, tmp_path):
    (tmp_path / "ptb").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / "ptb" / f"{part}.txt").write_text(" t h e _ c a t\n" * 9)
    characters = {"updates": 2, "data": {"name": "ptb", "steps": 6, "batch": 3, "test": 4, "folder": str(tmp_path)}}
    text = {"updates": 2, "data": {"steps": 9, "symbols": 4, "lag": 3, "length": 80, "batch": 4, "test": 5}}
    problem = problem_for(JOB, task, (TASKS | {"text": text, "characters": characters})[task])
    params = network_for_task(task, problem, 7).initialise(JOB.generators("initialisation"))
    assert (params["w_in"].shape, params["w_out"].shape) == ((2, problem.n_in, 7), (2, 7, problem.n_out))
    big = network_for_task(task, problem, 4000).initialise(JOB.generators("initialisation"))["w_in"]
    spread = 2 / (problem.n_in + 4000) if task == "copy" else 2 / problem.n_in
    assert float(big.var()) == pytest.approx(spread, rel=0.05)
    with pytest.raises(KeyError, match="did you mean 'digits'"):
        problem_for(JOB, "digit", TASKS["digits"])


# ------------------------------------------------------------------ adaptation


def test_changed_inputs_come_change_by_change():
    x = torch.rand(2, 8, 3, 4, generator=torch.Generator().manual_seed(0))
    seen = train.changed(x, {"none": {}} | CHANGES, JOB.generators("input noise"))
    assert torch.equal(seen[:, 0], x)
    torch.testing.assert_close(seen[:, 1, 3], x[:, 3] * 4 / 8)
    assert float((seen[:, 2] - x).std()) == pytest.approx(0.2, rel=0.15)


def test_a_set_of_parameters_adapts_and_nothing_else():
    begin = BASE["networks"].at(change="none")
    for name in begin:
        for which, after in ADAPTED["networks"].each("parameters"):
            same = torch.equal(after[name], begin[name][:, None].expand_as(after[name]))
            assert same == (name not in train.SETS[which]), (name, which)
    one = ADAPTED["networks"].at(parameters="one shape")["gain"]
    assert torch.equal(one, one[..., :1].expand_as(one))


def test_adaptation_in_parts_is_the_same():
    parted = adapted_run(BASE, together=7)
    for name in ("gain", "w_rec", "b"):
        torch.testing.assert_close(parted["networks"][name], ADAPTED["networks"][name], rtol=0, atol=1e-5)


def test_adaptation_is_measured_from_what_networks_did_before():
    given = {name: SHAPE[name] for name in ("images", "units", "changes")}
    table = measure.measure_adaptation(JOB, base=BASE, adapted=ADAPTED, **given)
    wide = table.pivot_table(index=["seed", "change", "parameters"], columns="metric", values="value")
    before = wide["accuracy"].xs("nothing", level="parameters")
    for (seed, change, _), row in wide.dropna().iterrows():
        assert row["gain"] == pytest.approx(row["accuracy"] - before[seed, change])
    rnn, test = GainSaturationRNN(8, 6, 10), permuted_images(**IMAGES).test
    clean = BASE["networks"].at(seed=1, change="none").flat()
    outputs = rnn.rollout(clean, test.x.transpose(0, 1))[0, -1] @ clean["w_out"][0] + clean["b_out"][0]
    assert before[1, "none"] == pytest.approx(float((outputs.argmax(-1) == test.y).double().mean()))


# ------------------------------------------------------------------ measures


def made_up(task: str, accuracy: torch.Tensor, cells: dict, grids: dict, **arrays: torch.Tensor) -> Run:
    """A run with this accuracy (note, seed, cell); `diverged_at` and what else is noted, likewise."""
    notes, seeds, _ = accuracy.shape
    members = Members(seed=range(seeds), cell=cells_of(cells, grids))
    outcome = {"diverged_at": arrays.pop("diverged_at", torch.full(members.shape, -1))}
    course = {"accuracy": accuracy, "loss": -accuracy} | arrays
    groups = {
        "networks": Group(members, {"w_out": torch.zeros(*members.shape, 1, 10)}),
        "course": Group(Members(update=range(0, 10 * notes, 10), **members.axes), course),
        "outcome": Group(members, outcome),
        "chance": torch.tensor(0.1, dtype=torch.float64),
    }
    return Run(groups, seeds=list(range(seeds)), settings={"task": task})


def test_a_network_that_diverges_counts_at_chance_from_there():
    accuracy = torch.tensor([0.1, 0.5, 0.7, 0.9], dtype=torch.float64)[:, None, None].repeat(1, 1, 2)
    grids, second = {"g": {"n": [1, 5], "s": [0]}}, torch.tensor([[-1, 15]])
    run = made_up("digits", accuracy, {"static": ["g"]}, grids, diverged_at=second)
    assert measure.course_of(run)[:, 0].T.tolist() == [[0.1, 0.5, 0.7, 0.9], [0.1, 0.5, 0.1, 0.1]]
    scores = measure.scores_of(run)
    assert scores["final"][0].tolist() == [0.9, 0.1]
    assert scores["area"][0].tolist() == pytest.approx([(0.3 + 0.6 + 0.8) / 3, (0.3 + 0.3 + 0.1) / 3])
    late = math.log(10)  # the loss of a guess, from the third note on
    assert scores["loss_area"][0].tolist() == pytest.approx(
        [(0.3 + 0.6 + 0.8) / 3, (0.3 + (0.5 - late) / 2 - late) / 3]
    )


def test_gains_are_paired_over_starts():
    cells = {"static": ["g"], "heterogeneous": ["h"]}
    grids = {"g": {"n": [1, 5], "s": [0]}, "h": {"n": [5], "s": [0]}}
    accuracy = torch.zeros(2, 2, 3, dtype=torch.float64)
    accuracy[1] = torch.tensor([[0.3, 0.5, 0.6], [0.9, 0.5, 0.4]])
    accuracy[0, 1, 2] = 0.4
    found = measure.measure_gains(JOB, grid=[made_up("digits", accuracy, cells, grids)])
    wide = found.pivot_table(index="seed", columns="score", values="value")
    assert wide["final"].tolist() == pytest.approx([0.1, -0.1])
    assert wide["area"].tolist() == pytest.approx([0.05, 0.15])


def corner_runs(level: float) -> tuple[Job, list[Run]]:
    """Eight seeds of the corners and of one more cell, which is better than the corners by `level`."""
    job = Job(study="adaptive-activation", seeds=list(range(8)))
    grids = {"g": {"n": [1, 20], "s": [0, 1]}, "h": {"n": [5], "s": [0]}}
    noise = 0.01 * torch.randn(1, 8, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    accuracy = (0.5 + noise + level * torch.tensor([0, -3, 0, -3, 1.0])).repeat(2, 1, 1)
    return job, [made_up("digits", accuracy, {"static": ["g", "h"]}, grids)]


def test_the_best_cell_is_found_and_judged_on_other_seeds():
    job, runs = corner_runs(0.1)
    found = measure.measure_best(job, grid=runs).query("score == 'final'")
    chosen = found.query("cells == 'own' and corner == 'chosen' and metric == 'n'")
    assert (chosen["value"] == 5).all()
    gains = found.query("metric == 'gain' and corner == 'ReLU-like'").groupby("cells")["value"].mean()
    assert gains["own"] == pytest.approx(0.1, abs=0.01)
    assert gains["permuted"] < 0.02
    reached = found.query("cells == 'own' and metric == 'value'").pivot(index="seed", columns="corner", values="value")
    for corner in measure.CORNERS:
        gain = found.query(f"cells == 'own' and metric == 'gain' and corner == '{corner}'").set_index("seed")["value"]
        np.testing.assert_allclose(gain, reached["chosen"] - reached[corner])


def test_without_a_difference_the_best_cell_gains_nothing():
    job, runs = corner_runs(0.0)
    found = measure.measure_best(job, grid=runs).query("score == 'final' and cells == 'own' and metric == 'gain'")
    assert abs(found.query("corner == 'sigmoid'")["value"].mean()) < 0.01


def test_tasks_are_told_apart_by_how_shapes_moved_unless_labels_are_exchanged():
    job = Job(study="adaptive-activation", seeds=list(range(12)))
    grids, runs = {"g": {"n": [1, 5, 20], "s": [0, 0.5]}}, []
    stream = torch.Generator().manual_seed(1)
    for task, push in (("digits", 0.3), ("copy", -0.3)):
        n = torch.tensor([1.0, 1, 5, 5, 20, 20]).expand(12, -1)
        move = push + 0.05 * torch.randn(12, 6, generator=stream)
        shapes = {"gain_mean": torch.stack([n, n * (1 + move)]), "saturation_mean": torch.stack([0 * n, move])}
        runs.append(made_up(task, torch.zeros(2, 12, 6).double(), {"homogeneous": ["g"]}, grids, **shapes))
    found = measure.measure_decoding(job, grid=runs, tasks=["digits", "copy"], update=10).groupby("labels")["value"]
    assert found.mean()["own"] == 1
    assert abs(found.mean()["exchanged"] - 0.5) < 4 * found.std()["exchanged"] / np.sqrt(12)


def test_tables_of_the_grid_hold_every_cell():
    performance = measure.measure_performance(JOB, grid=GRID)
    course = measure.measure_course(JOB, grid=GRID)
    assert len(performance) == 2 * 2 * MANY * 6
    last = course.query(f"metric == 'accuracy' and update == {UPDATES}")
    both = last.merge(performance.query("metric == 'final'"), on=["task", "mode", "n", "s", "seed"])
    assert len(both) == 2 * 2 * MANY
    assert (both["value_x"] == both["value_y"]).all()
    units = measure.measure_units(JOB, grid=GRID)
    spread = units.query("metric == 'saturation'").groupby(["task", "n", "s", "seed"])["value"].std()
    wanted = performance.query("metric == 'saturation_sd' and mode == 'heterogeneous'")
    wanted = wanted.set_index(["task", "n", "s", "seed"])["value"]
    pd.testing.assert_series_equal(spread.sort_index(), wanted.sort_index(), check_names=False, atol=1e-6)


def test_exponents_of_a_network_whose_units_are_all_on():
    """Where every argument is far above 0 and s = 0, the network is linear: W = .2 x rotation has log .2."""
    rnn = GainSaturationRNN(1, 4, 2, n=50.0)
    params = rnn.initialise(JOB.generators("initialisation"), dtype=torch.float64)
    params["w_rec"], params["w_in"] = 0.2 * params["w_rec"], torch.ones_like(params["w_in"])
    x = torch.ones(60, 1, 1, dtype=torch.float64)
    found = dynamics.leading_exponent(rnn, params, x, burn_in=10)
    torch.testing.assert_close(found, torch.full((2,), math.log(0.2), dtype=torch.float64), rtol=0, atol=1e-9)
    norms = dynamics.jacobian_norms_along(rnn, params, x[10:])
    torch.testing.assert_close(norms["norm_2"], torch.full((2,), 0.2, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(norms["norm_vector"], params["w_rec"].sum(dim=-1).abs().amax(dim=-1), rtol=0, atol=1e-9)


def test_dynamics_are_those_of_the_start_and_of_what_was_trained():
    settings = {"sequences": 8, "burn_in": 5, "norm_steps": 8, "information": {"samples": 30, "components": 2, "k": 3}}
    table = dynamics.measure_dynamics(
        JOB, grid=GRID, task="digits", tasks=TASKS, grids=GRIDS, starts=["starts"], **settings
    )
    wide = table.pivot_table(index=["network", "seed", "n", "s"], columns="metric", values="value")
    assert (wide.loc["untrained", "closeness"] == -wide.loc["untrained", "lyapunov"].abs()).all()
    gauge = wide.loc["untrained", "lyapunov_autonomous"].unstack("n")
    np.testing.assert_allclose(gauge.xs(0.0, level="s")[1.0], gauge.xs(0.0, level="s")[5.0], atol=0.2)
    area = measure.measure_performance(JOB, grid=GRID).query(
        "task == 'digits' and mode == 'static' and metric == 'area'"
    )
    wanted = area.set_index(["seed", "n", "s"])["value"]
    pd.testing.assert_series_equal(wide.loc["untrained", "area"], wanted.sort_index(), check_names=False)
    assert (wide.loc["trained", "lyapunov"] != wide.loc["untrained", "lyapunov"]).all()
