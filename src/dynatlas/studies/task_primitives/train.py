"""What is trained: modules and dense networks on primitives, readouts on their frozen states, and all comparators.

Every run returns a group `networks` (`w_in`, `w_rec`, `b`), and where they have learned the tasks a group `readouts`
(`w_out`, `b_out`): axes (seed, strategy), and `task` where there is one of them for each task; see `Strategy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.methods import Draw, Loss
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every, LinearDecay
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members, concatenate, stack
from dynatlas.models.rnn import ElmanRNN, readout
from dynatlas.optim.gradient_projection import GradientProjection
from dynatlas.problems.cognitive import NineTasks
from dynatlas.problems.cognitive_readouts import Exam, ridge_readouts, sums_over_trials
from dynatlas.studies.task_primitives.readouts import learn_by_gradient, learned_in_turn, refitted_in_turn
from dynatlas.studies.task_primitives.strategies import MODULES, NETWORK, READOUT, SHARED, TASKS, Strategy, assembled
from dynatlas.tasks.multitask import INPUT_CHANNELS, OUTPUT_CHANNELS, SENSORY_INPUTS, Batch
from dynatlas.tasks.primitives import Stream, inputs_seen, modules_loss, outputs_used, together_loss

if TYPE_CHECKING:
    from dynatlas.studies.task_primitives.settings import (
        DenseSteps,
        Draws,
        Gain,
        Interval,
        LearningRate,
        Modular,
        Penalty,
        Projections,
        Setting,
        Steps,
        Trials,
        Units,
    )


Groups = dict[str, Group]
IN_TURN: dict[str, Any] = {"learned": range(1, len(TASKS) + 1), "task": TASKS}
"""Axes of accuracies on every task after so many tasks were learned."""


def train_primitives(
    job: Job, *, strategy: Modular, units: Units, steps: Steps, trials: Trials, learning_rate: LearningRate,
    world: Setting,
) -> Groups:  # fmt: skip
    """Four modules of `units` units learn one primitive each, on `trials` streams a step.

    The modules of MP see only their primitive's modality, those of MPu see everything; both start from the same weights
    and learn on the same streams. Returns the assembled networks, and in `sizes` how many `scalars` learned.
    """
    setting, kinds = NineTasks(**world), len(strategy)
    members = Members(seed=job.seeds, strategy=strategy, module=range(MODULES))
    used = outputs_used()
    rnn = setting.network(SENSORY_INPUTS, units, used.shape[1])
    drawn = rnn.initialise(job.generators("initialisation"), MODULES)
    modules = Members(seed=job.seeds, module=range(MODULES)).group(drawn)
    start = {name: members.spread(w, "seed", "module") for name, w in modules.items()}
    sees = torch.stack([inputs_seen() if name == "MP" else torch.ones_like(inputs_seen()) for name in strategy])
    start["w_in"] *= members.spread(sees, "strategy", "module")[..., None]
    scalars = sees.sum((1, 2)) * units + used.sum() * (units + 1) + MODULES * (units**2 + units)
    sees = sees.to(job.device)
    streams, noise = job.generators("streams"), job.generators("primitives noise", device=job.device)

    def draw(step: int) -> Stream:
        return moved(setting.streams(trials, streams), job.device)

    def loss(params: Params, stream: Stream) -> Tensor:
        x = (stream.x[:, None, None] * sees[:, :, None, None, :]).flatten(0, 2)
        yhat = readout(params, rnn.rollout(params, x, noise=setting.noise(noise, kinds * MODULES)))
        return modules_loss(members.split(yhat), stream).flatten()

    fitted = _fit(job, "primitives", draw, loss, start, steps=steps, learning_rate=learning_rate)
    learned = members.group(fitted.parameters)
    whole = {name: assembled(own) for name, own in learned.each("strategy")}
    return {
        "networks": stack(whole, "strategy"),
        "sizes": Group(Members(strategy=strategy), {"scalars": scalars.to(torch.int64)}),
    }


def train_dense_primitives(
    job: Job, *, steps: DenseSteps, units: Units, trials: Trials, learning_rate: LearningRate, world: Setting
) -> Groups:
    """One dense network of `units` units learns all primitives together (14 outputs, nothing masked).

    `steps` names the strategies and how long each one trains; all start from the same weights, on the same streams.
    """
    setting = NineTasks(**world)
    rnn = setting.network(SENSORY_INPUTS, units, int(outputs_used().sum()))
    start, networks = rnn.initialise(job.generators("initialisation")), {}
    for name, budget in steps.items():
        streams = job.generators("streams")
        noise = job.generators("dense primitives noise", device=job.device)

        def draw(step: int, streams: Any = streams) -> Stream:
            return moved(setting.streams(trials, streams), job.device)

        def loss(params: Params, stream: Stream, noise: Any = noise) -> Tensor:
            yhat = readout(params, rnn.rollout(params, stream.x, noise=setting.noise(noise)))
            return together_loss(yhat, stream)

        fitted = _fit(job, name, draw, loss, start, steps=budget, learning_rate=learning_rate)
        networks[name] = Members(seed=job.seeds).group(fitted.parameters).only(*NETWORK)
    return {"networks": stack(networks, "strategy")}


def draw_reservoirs(job: Job, *, draws: Draws, units: Units, gain: Gain, world: Setting) -> Groups:
    """Random networks that never learn, recurrent weights orthogonal: MR of four modules, RES dense and as large.

    `draws` gives the suffix of the names and the purpose of the random stream: {"2": second reservoir} is MR2 and RES2.
    """
    setting, members, found = NineTasks(**world), Members(seed=job.seeds), {}
    for suffix, purpose in draws.items():
        block = setting.network(SENSORY_INPUTS, units, 1, gain=gain).initialise(job.generators(purpose), MODULES)
        whole = setting.network(SENSORY_INPUTS, MODULES * units, 1, gain=gain).initialise(job.generators(purpose))
        found[f"MR{suffix}"] = assembled(members.times(module=range(MODULES)).group(block))
        found[f"RES{suffix}"] = members.group(whole).only(*NETWORK)
    return {"networks": stack(found, "strategy")}


def train_separate(
    job: Job, *, units: Units, steps: Steps, trials: Trials, learning_rate: LearningRate, every: Interval,
    world: Setting,
) -> Groups:  # fmt: skip
    """SEP: a network of `units` units for each task and seed, without rule input; `trials` of its task a step."""
    rnn = NineTasks(**world).network(SENSORY_INPUTS, units, len(OUTPUT_CHANNELS))
    return _learn_all(job, "separate", "SEP", rnn, Members(seed=job.seeds, task=TASKS), steps=steps, trials=trials,
                      learning_rate=learning_rate, every=every, world=world)  # fmt: skip


def train_joint(
    job: Job, *, units: Units, steps: Steps, trials: Trials, learning_rate: LearningRate, every: Interval,
    world: Setting,
) -> Groups:  # fmt: skip
    """JOINT: one network of `units` units on all tasks interleaved, with rule input; `trials` of each task a step."""
    rnn = NineTasks(**world).network(len(INPUT_CHANNELS), units, len(OUTPUT_CHANNELS))
    return _learn_all(job, "joint", "JOINT", rnn, Members(seed=job.seeds), steps=steps, trials=trials,
                      learning_rate=learning_rate, every=every, world=world)  # fmt: skip


def _learn_all(
    job: Job, name: str, strategy: str, rnn: ElmanRNN, members: Members, *, steps: int, trials: int,
    learning_rate: float, every: int, world: Setting,
) -> Groups:  # fmt: skip
    """All tasks at once, by one network a seed or one for each of its tasks; with the `course` of the accuracy."""
    setting, copies = NineTasks(**world), len(members) // len(job.seeds)
    drawn, noise = job.generators("task"), job.generators(f"{name} noise", device=job.device)
    names = [task for task in TASKS for _ in range(trials)]

    def draw(step: int) -> Batch:
        return moved(setting.trials(names, drawn), job.device)

    def loss(params: Params, batch: Batch) -> Tensor:
        x, y, mask = (w.unflatten(2, (copies, -1)).movedim(2, 1).flatten(0, 1) for w in (batch.x, batch.y, batch.mask))
        return setting.loss(params, x, y, mask, setting.noise(noise, copies))

    def examine(params: Params, step: int) -> dict[str, Tensor]:
        return {"accuracy": members.flat(_accuracies(job, setting, members.group(params)))}

    start = rnn.initialise(job.generators("initialisation"), copies)
    watches = {"evaluation": Watch(examine, at=Every(every))}
    fitted = _fit(job, name, draw, loss, start, steps=steps, learning_rate=learning_rate, watches=watches)
    learned = stack({strategy: members.group(fitted.parameters)}, "strategy")
    return _solutions(learned) | _course(strategy, fitted, job.seeds)


def train_sequential(
    job: Job, *, projections: Projections, units: Units, steps: Steps, trials: Trials, learning_rate: LearningRate,
    covariance_trials: Trials, world: Setting,
) -> Groups:  # fmt: skip
    """SEQ and GP: one network learns the tasks in their order, `steps` steps each, the optimiser reset in between.

    `projections` names the strategies and their alpha; infinite is plain learning (SEQ). With a finite one, from the
    second task on every update is projected (Duncker et al. 2020), and biases do not learn. All start from the same
    weights and see the same trials. Also returns `learned`: the accuracy on each task after so many were learned.
    """
    setting, kinds = NineTasks(**world), len(projections)
    members = Members(seed=job.seeds, strategy=list(projections))
    rnn = setting.network(len(INPUT_CHANNELS), units, len(OUTPUT_CHANNELS))
    params = moved(rnn.initialise(job.generators("initialisation"), kinds, shared=True), job.device)
    alpha = torch.tensor(list(projections.values()), dtype=torch.float64, device=job.device)
    projection, learned = GradientProjection(members.spread(alpha, "strategy")), []
    for task in TASKS:
        drawn = job.generators(f"task {task}")
        noise = job.generators(f"sequential noise {task}", device=job.device)

        def draw(step: int, task: str = task, drawn: Any = drawn) -> Batch:
            return moved(setting.trials([task] * trials, drawn), job.device)

        def loss(now: Params, batch: Batch, noise: Any = noise) -> Tensor:
            x, y, mask = (members.spread(w, "seed") for w in (batch.x, batch.y, batch.mask))
            return setting.loss(now, x, y, mask, setting.noise(noise, kinds))

        fitted = _fit(job, f"sequential {task}", draw, loss, params, steps=steps, learning_rate=learning_rate,
                      project=projection.project_network)  # fmt: skip
        params = fitted.parameters
        batch = moved(setting.trials([task] * covariance_trials, job.generators(f"covariance {task}")), job.device)
        x, y, t_last = (members.spread(w, "seed") for w in (batch.x, batch.y, batch.t_last))
        noise = job.generators(f"covariance noise {task}", device=job.device)
        states = rnn.rollout(params, x, noise=setting.noise(noise, kinds))
        projection.take_in(params, x, states, y, t_last)
        parts = members.group(params).each("strategy")
        learned.append(torch.stack([_accuracies(job, setting, part) for _, part in parts]))
    accuracy = {"accuracy": torch.stack(learned, dim=2)}
    axes = Members(strategy=list(projections), seed=job.seeds, **IN_TURN)
    return _solutions(members.group(params)) | {"learned": Group(axes, accuracy)}


def train_readouts(
    job: Job, *, primitives: Run, dense_primitives: Run, reservoirs: Run, penalty: Penalty, trials: Trials,
    steps: Steps, learning_rate: LearningRate, world: Setting,
) -> Groups:  # fmt: skip
    """One linear readout a task on the states of every frozen network: nothing else learns.

    Ridge in closed form on `trials` trials of each task, one task after the other: `learned` are accuracies with the
    readouts fitted by then; those of `SHARED` belong to one readout on MP's states that is refitted to each task in
    turn. For MP the readouts are learned once more, by full-batch Adam from the weights that a network starts with:
    `course`.
    """
    setting, seeds = NineTasks(**world), Members(seed=job.seeds)
    networks = concatenate([run["networks"] for run in (primitives, dense_primitives, reservoirs)], "strategy")
    readouts, learned, course = {}, {}, {}
    for name, network in networks.to(job.device).each("strategy"):
        exam = Exam.of(job, setting, network)
        sums = [sums_over_trials(job, setting, network, task, trials=trials) for task in TASKS]
        w_out, b_out = ridge_readouts([for_ridge for for_ridge, _ in sums], penalty=penalty)
        readouts[name] = Group(seeds.times(task=TASKS), {"w_out": w_out, "b_out": b_out})
        learned[name] = Group(seeds.times(**IN_TURN), {"accuracy": learned_in_turn(exam, w_out, b_out)})
        if name == "MP":
            learned[SHARED] = Group(seeds.times(**IN_TURN), {"accuracy": refitted_in_turn(exam, w_out, b_out)})
            for_loss = [one for _, one in sums]
            fitted = learn_by_gradient(job, for_loss, exam, steps=steps, learning_rate=learning_rate)
            course = _course(name, fitted, job.seeds)
    found = {"networks": networks, "readouts": stack(readouts, "strategy"), "learned": stack(learned, "strategy")}
    return found | course


def _fit(job: Job, name: str, draw: Draw, loss: Loss, start: Mapping[str, Tensor], *, steps: int | Tensor,
         learning_rate: float, **more: Any) -> Fitted:  # fmt: skip
    """What all networks share: Adam, warm-up, linear decay to a tenth, the norm of each member's gradient at most 1."""
    return fit(draw, loss, moved(dict(start), job.device), steps=steps, optimiser=Adam(lr=learning_rate),
               schedule=LinearDecay(warmup=20, final=0.1), clip_norm=1.0, job=job, name=name, **more)  # fmt: skip


def _accuracies(job: Job, setting: NineTasks, learned: Group) -> Tensor:
    """(seed, task) of networks with their readouts."""
    return setting.accuracies(job, Strategy(learned.only(*NETWORK), learned.only(*READOUT)).for_task)


def _solutions(learned: Group) -> Groups:
    """Networks with their readouts."""
    return {"networks": learned.only(*NETWORK), "readouts": learned.only(*READOUT)}


def _course(name: str, fitted: Fitted, seeds: Sequence[int]) -> Groups:
    """The accuracy on each task along training, in updates."""
    log = fitted.logs["evaluation"]
    axes = Members(strategy=[name], update=log.steps, seed=seeds, task=TASKS)
    return {"course": Group(axes, {"accuracy": log.values["accuracy"].reshape(axes.shape)})}
