"""What is trained: modules and dense networks on primitives, readouts on their frozen states, and all comparators.

Every run returns arrays named `<strategy>.<what>`. Networks (`w_in`, `w_rec`, `b`) have leading axes (seed, networks),
readouts (`w_out`, `b_out`) leading axes (seed, readouts); see `world.Strategy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every, LinearDecay
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job, Run
from dynatlas.models.modular import assemble_modules, split_copies
from dynatlas.models.rnn import readout, rollout
from dynatlas.optim.gradient_projection import GradientProjection
from dynatlas.studies.task_primitives.readouts import (
    Exam,
    learn_by_gradient,
    learned_in_turn,
    refitted_in_turn,
    ridge_readouts,
    sums_over_trials,
)
from dynatlas.studies.task_primitives.world import MODULES, NETWORK, TASKS, World
from dynatlas.tasks.multitask import INPUT_CHANNELS, OUTPUT_CHANNELS, SENSORY_INPUTS, masked_loss
from dynatlas.tasks.primitives import inputs_seen, outputs_used

Arrays = dict[str, Tensor]


def train_primitives(
    job: Job, *, strategies: list[str], units: int, steps: int, trials: int, learning_rate: float, world: dict[str, Any]
) -> Arrays:
    """Four modules of `units` units learn one primitive each, on `trials` streams a step.

    The modules of MP see only their primitive's modality, those of MPu see everything; both start from the same weights
    and learn on the same streams. Returns the assembled networks, and as `<strategy>.scalars` how many scalars learned.
    """
    setting, seeds, kinds = World(**world), len(job.seeds), len(strategies)
    used = outputs_used().to(job.device)
    rnn = setting.network(SENSORY_INPUTS, units, used.shape[1])
    start = rnn.initialise(job.generators("initialisation"), MODULES)
    start = {name: w.unflatten(0, (seeds, 1, MODULES)).repeat_interleave(kinds, 1) for name, w in start.items()}
    sees = torch.stack([inputs_seen() if name == "MP" else torch.ones_like(inputs_seen()) for name in strategies])
    sees = sees.to(job.device)
    start["w_in"] *= sees[..., None]
    streams, noise = job.generators("streams"), job.generators("primitives noise")

    def loss(params: Params, step: int) -> Tensor:
        stream = setting.streams(trials, streams)
        x = (stream.x[:, None, None] * sees[:, :, None, None, :]).flatten(0, 2)
        yhat = readout(params, rnn.rollout(params, x, noise=setting.noise(noise, kinds * MODULES)))
        errors = (yhat.unflatten(0, (seeds, kinds, MODULES)) - stream.stacked_targets()[:, None]).square()
        weight = stream.weight[:, None, None, ..., None] * (used / used.sum(1, keepdim=True))[:, None, None, :]
        return (errors * weight).sum(-1).mean((-2, -1)).flatten()

    flat = {name: w.flatten(0, 2) for name, w in start.items()}
    fitted = _fit(job, "primitives", loss, flat, steps=steps, learning_rate=learning_rate, streams=[*streams, *noise])
    result: Arrays = {}
    for which, name in enumerate(strategies):
        apart = {key: w.unflatten(0, (seeds, kinds, MODULES))[:, which] for key, w in fitted.parameters.items()}
        whole = assemble_modules([{key: w[:, m] for key, w in apart.items()} for m in range(MODULES)])
        readable = sees[which].sum() * units + used.sum() * (units + 1)
        result |= _named(name, whole)
        result[f"{name}.scalars"] = (readable + MODULES * (units**2 + units)).to(torch.int64)
    return result


def train_dense_primitives(
    job: Job, *, steps: dict[str, int], units: int, trials: int, learning_rate: float, world: dict[str, Any]
) -> Arrays:
    """One dense network of `units` units learns all primitives together (14 outputs, nothing masked).

    `steps` names the strategies and how long each one trains; all start from the same weights, on the same streams.
    """
    setting = World(**world)
    rnn = setting.network(SENSORY_INPUTS, units, int(outputs_used().sum()))
    start = rnn.initialise(job.generators("initialisation"))
    result: Arrays = {}
    for name, budget in steps.items():
        streams, noise = job.generators("streams"), job.generators("dense primitives noise")

        def loss(params: Params, step: int, streams: Any = streams, noise: Any = noise) -> Tensor:
            stream = setting.streams(trials, streams)
            yhat = readout(params, rnn.rollout(params, stream.x, noise=setting.noise(noise)))
            return ((yhat - stream.joined_targets()).square() * stream.weight[..., None]).mean((-3, -2, -1))

        fitted = _fit(job, name, loss, start, steps=budget, learning_rate=learning_rate, streams=[*streams, *noise])
        result |= _named(name, fitted.parameters)
        result[f"{name}.scalars"] = torch.tensor(sum(w[0].numel() for w in start.values()))
    return result


def draw_reservoirs(job: Job, *, draws: dict[str, str], units: int, gain: float, world: dict[str, Any]) -> Arrays:
    """Random networks that never learn, recurrent weights orthogonal: MR of four modules, RES dense and as large.

    `draws` gives the suffix of the names and the purpose of the random stream: {"2": second reservoir} is MR2 and RES2.
    """
    setting = World(**world)
    result: Arrays = {}
    for suffix, purpose in draws.items():
        block = setting.network(SENSORY_INPUTS, units, 1, gain=gain).initialise(job.generators(purpose), MODULES)
        whole = setting.network(SENSORY_INPUTS, MODULES * units, 1, gain=gain).initialise(job.generators(purpose))
        blocks = assemble_modules([{name: w[m::MODULES] for name, w in block.items()} for m in range(MODULES)])
        result |= _named(f"MR{suffix}", blocks) | _named(f"RES{suffix}", whole)
    return result


def train_separate(
    job: Job, *, units: int, steps: int, trials: int, learning_rate: float, every: int, world: dict[str, Any]
) -> Arrays:
    """SEP: a network of `units` units for each task and seed, without rule input; `trials` of its task a step."""
    setting, count = World(**world), len(TASKS)
    rnn = setting.network(SENSORY_INPUTS, units, len(OUTPUT_CHANNELS))
    start = rnn.initialise(job.generators("initialisation"), count)
    drawn, noise = job.generators("task"), job.generators("separate noise")
    names = [task for task in TASKS for _ in range(trials)]

    def loss(params: Params, step: int) -> Tensor:
        batch = setting.trials(names, drawn)
        x, y, mask = (
            w.unflatten(2, (count, trials)).movedim(2, 1).flatten(0, 1) for w in (batch.x, batch.y, batch.mask)
        )
        states = rnn.rollout(params, x[..., :SENSORY_INPUTS], noise=setting.noise(noise, count))
        return masked_loss(readout(params, states), y, mask)

    def own_task(params: Params, step: int) -> dict[str, Tensor]:
        parts = zip(split_copies(params, count), TASKS, strict=True)
        return {"accuracy": torch.stack([setting.accuracy(job, part, task) for part, task in parts], dim=1).flatten()}

    watch = Watch(own_task, at=Every(every))
    fitted = _fit(job, "separate", loss, start, steps=steps, learning_rate=learning_rate, streams=[*drawn, *noise],
                  watches={"evaluation": watch})  # fmt: skip
    return _solution("SEP", fitted.parameters, count) | _course("SEP", fitted, len(job.seeds))


def train_joint(
    job: Job, *, units: int, steps: int, trials: int, learning_rate: float, every: int, world: dict[str, Any]
) -> Arrays:
    """JOINT: one network of `units` units on all tasks interleaved, with rule input; `trials` of each task a step."""
    setting = World(**world)
    rnn = setting.network(len(INPUT_CHANNELS), units, len(OUTPUT_CHANNELS))
    drawn, noise = job.generators("task"), job.generators("joint noise")
    names = [task for task in TASKS for _ in range(trials)]

    def loss(params: Params, step: int) -> Tensor:
        batch = setting.trials(names, drawn)
        states = rnn.rollout(params, batch.x, noise=setting.noise(noise))
        return masked_loss(readout(params, states), batch.y, batch.mask)

    def all_tasks(params: Params, step: int) -> dict[str, Tensor]:
        return {"accuracy": torch.stack([setting.accuracy(job, params, task) for task in TASKS], dim=1)}

    start = rnn.initialise(job.generators("initialisation"))
    watch = Watch(all_tasks, at=Every(every))
    fitted = _fit(job, "joint", loss, start, steps=steps, learning_rate=learning_rate, streams=[*drawn, *noise],
                  watches={"evaluation": watch})  # fmt: skip
    return _solution("JOINT", fitted.parameters, 1) | _course("JOINT", fitted, len(job.seeds))


def train_sequential(
    job: Job, *, projections: dict[str, float], units: int, steps: int, trials: int, learning_rate: float,
    covariance_trials: int, world: dict[str, Any],
) -> Arrays:  # fmt: skip
    """SEQ and GP: one network learns the tasks in their order, `steps` steps each, the optimiser reset in between.

    `projections` names the strategies and their alpha; infinite is plain learning (SEQ). With a finite one, from the
    second task on every update is projected (Duncker et al. 2020), and biases do not learn. All start from the same
    weights and see the same trials. Also returns `<strategy>.learned` (seed, tasks learned, task): accuracies.
    """
    setting, kinds, seeds = World(**world), len(projections), len(job.seeds)
    rnn = setting.network(len(INPUT_CHANNELS), units, len(OUTPUT_CHANNELS))
    params = rnn.initialise(job.generators("initialisation"), kinds, shared=True)
    alpha = torch.tensor(list(projections.values()), dtype=torch.float64, device=job.device).repeat(seeds)
    projection = GradientProjection(alpha)
    plain = alpha.isinf()[:, None].to(params["b"])
    learned = []
    for task in TASKS:
        drawn, noise = job.generators(f"task {task}"), job.generators(f"sequential noise {task}")

        def loss(now: Params, step: int, task: str = task, drawn: Any = drawn, noise: Any = noise) -> Tensor:
            batch = setting.trials([task] * trials, drawn)
            x, y, mask = (w.repeat_interleave(kinds, 0) for w in (batch.x, batch.y, batch.mask))
            return masked_loss(readout(now, rnn.rollout(now, x, noise=setting.noise(noise, kinds))), y, mask)

        fitted = _fit(job, f"sequential {task}", loss, params, steps=steps, learning_rate=learning_rate,
                      streams=[*drawn, *noise], project=partial(_projected, projection, plain))  # fmt: skip
        params = fitted.parameters
        _remember(job, projection, setting, params, task, covariance_trials)
        parts = split_copies(params, kinds)
        learned.append(torch.stack([torch.stack([setting.accuracy(job, p, t) for t in TASKS], 1) for p in parts]))
    result: Arrays = {}
    for which, (name, part) in enumerate(zip(projections, split_copies(params, kinds), strict=True)):
        result |= _solution(name, part, 1)
        result[f"{name}.learned"] = torch.stack([row[which] for row in learned], dim=1)
    return result


def _projected(projection: GradientProjection, plain: Tensor, update: Params) -> Params:
    """The optimiser's update (member, ...) as it is added: projected, biases kept where a member is not `plain`."""
    n_in = update["w_in"].shape[1]
    whole, out = projection.project(torch.cat([update["w_in"], update["w_rec"]], dim=1), update["w_out"])
    return {
        "w_in": whole[:, :n_in],
        "w_rec": whole[:, n_in:],
        "w_out": out,
        "b": update["b"] * plain,
        "b_out": update["b_out"] * plain,
    }


def _remember(job: Job, projection: GradientProjection, setting: World, params: Params, task: str, trials: int) -> None:
    """Take what the networks do on `trials` new trials of the task just learned into the projections."""
    batch = setting.trials([task] * trials, job.generators(f"covariance {task}"))
    copies = params["w_in"].shape[0] // len(job.seeds)
    x, y, t_last = (w.repeat_interleave(copies, 0) for w in (batch.x, batch.y, batch.t_last))
    noise = setting.noise(job.generators(f"covariance noise {task}"), copies)
    states = rollout(params, x, alpha=setting.alpha, noise=noise)
    alive = (torch.arange(x.shape[1], device=x.device)[:, None] <= t_last[:, None])[..., None]
    # padded steps are no samples: they weigh nothing, and the covariances divide by the number of the others
    alive = alive * alive.mean((1, 2), keepdim=True, dtype=x.dtype).rsqrt()
    z = (torch.cat([x, states], dim=-1) * alive).flatten(1, 2)
    weights = torch.cat([params["w_in"], params["w_rec"]], dim=1)
    projection.update_covariances(z, (y * alive).flatten(1, 2), weights)


def train_readouts(
    job: Job, *, primitives: Run, dense_primitives: Run, reservoirs: Run, penalty: float, trials: int, steps: int,
    learning_rate: float, world: dict[str, Any],
) -> Arrays:  # fmt: skip
    """One linear readout a task on the states of every frozen network: nothing else learns.

    Ridge in closed form on `trials` trials of each task, one task after the other: `<strategy>.learned` (seed, tasks
    learned, task) are accuracies with the readouts fitted by then. `shared.learned` belongs to one readout on MP's
    states that is refitted to each task in turn. For MP the readouts are learned once more, by full-batch Adam from
    the weights that a network starts with: `MP.course` (step, seed, task).
    """
    setting = World(**world)
    result: Arrays = {}
    for name, network in frozen_networks(primitives, dense_primitives, reservoirs).items():
        network = {key: w[:, 0].to(job.device) for key, w in network.items()}
        exam = Exam.of(job, setting, network)
        sums = [sums_over_trials(job, setting, network, task, trials=trials) for task in TASKS]
        w_out, b_out = ridge_readouts([for_ridge for for_ridge, _ in sums], penalty=penalty)
        result |= _named(name, network) | {f"{name}.w_out": w_out, f"{name}.b_out": b_out}
        result[f"{name}.learned"] = learned_in_turn(exam, w_out, b_out)
        if name == "MP":
            result["shared.learned"] = refitted_in_turn(exam, w_out, b_out)
            for_loss = [one for _, one in sums]
            fitted = learn_by_gradient(job, for_loss, exam, steps=steps, learning_rate=learning_rate)
            result |= _course(name, fitted, len(job.seeds))
    return result


def frozen_networks(*runs: Run) -> dict[str, Params]:
    """Strategy -> its network (seed, networks, ...), of all that the runs hold."""
    return {
        key.removesuffix(".w_rec"): {part: run[key.replace(".w_rec", f".{part}")] for part in NETWORK}
        for run in runs
        for key in run
        if key.endswith(".w_rec")
    }


def _fit(job: Job, name: str, loss: Callable[[Params, int], Tensor], start: Mapping[str, Tensor], *,
         steps: int | Tensor, learning_rate: float, streams: list[Generator], **more: Any) -> Fitted:  # fmt: skip
    """What all networks share: Adam, warm-up, linear decay to a tenth, the norm of each member's gradient at most 1."""
    return fit(loss, start, steps=steps, optimiser=Adam(lr=learning_rate), schedule=LinearDecay(warmup=20, final=0.1),
               clip_norm=1.0, streams=streams, job=job, name=name, **more)  # fmt: skip


def _named(name: str, network: Mapping[str, Tensor]) -> Arrays:
    """One network a seed under the strategy's name, with an axis of length 1 for networks."""
    return {f"{name}.{key}": network[key][:, None] for key in NETWORK}


def _solution(name: str, params: Mapping[str, Tensor], networks: int) -> Arrays:
    """Networks with their readouts, (seed, networks, ...)."""
    return {f"{name}.{key}": params[key].unflatten(0, (-1, networks)) for key in (*NETWORK, "w_out", "b_out")}


def _course(name: str, fitted: Fitted, seeds: int) -> Arrays:
    """Accuracies along training, `course` (noted, seed, task), after `course_steps` (noted,) updates."""
    log = fitted.logs["evaluation"]
    return {
        f"{name}.course": log.values["accuracy"].reshape(len(log.steps), seeds, -1),
        f"{name}.course_steps": log.steps,
    }
