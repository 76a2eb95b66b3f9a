"""Nine cognitive tasks on a ring of directions: fixation, two modalities, one rule cue per task.

The two-dimensional (sine, cosine) version of the tasks of Yang et al. 2019 (Nature Neuroscience), as in Duncker et al.
2020 (NeurIPS); the nine of Marton et al. 2021 (arXiv 2105.14108). Times are in milliseconds where a user meets them,
in whole steps (`floor(ms / dt)`) inside. Drawing (`draw_trials`) is apart from building (`build_batch`), so that a
trial can also be written by hand (`build_trial`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Generator, Tensor

from dynatlas.elementwise import angle_of
from dynatlas.names import named
from dynatlas.tasks.draws import channel_noise, sign, steps_within, uniforms, within
from dynatlas.tasks.timing import Timing

MODALITY_CHANNELS = ("mod1_sin", "mod1_cos", "mod2_sin", "mod2_cos")
OUTPUT_CHANNELS = ("fix", "sin", "cos")
TOLERANCE = 0.1 * math.pi
"""An answer is right within this circular distance; chance is TOLERANCE / pi = 0.1."""

Numbers = float | Sequence[float] | Tensor


@dataclass(frozen=True)
class Task:
    """What is shown, and which direction is wanted."""

    name: str
    lineage: str
    family: str
    """delay: the stimulus stays on; memory: it goes off before go; decision: two stimuli, one after the other."""
    shown: str
    """Modalities: either (one, drawn per trial), mod1, mod2, both (independent), split (around one base)."""
    answer: str
    """pro: the stimulus; anti: its opposite; mod1, mod2, sum: the stronger stimulus in that modality, in both."""


TASKS = (
    Task("DelayPro", "fdgo", "delay", "either", "pro"),
    Task("DelayAnti", "fdanti", "delay", "either", "anti"),
    Task("MemPro", "delaygo", "memory", "either", "pro"),
    Task("MemAnti", "delayanti", "memory", "either", "anti"),
    Task("MemDm1", "delaydm1", "decision", "mod1", "mod1"),
    Task("MemDm2", "delaydm2", "decision", "mod2", "mod2"),
    Task("CtxMemDm1", "contextdelaydm1", "decision", "both", "mod1"),
    Task("CtxMemDm2", "contextdelaydm2", "decision", "both", "mod2"),
    Task("MultiMem", "multidelaydm", "decision", "split", "sum"),
)
NINE_TASKS = tuple(task.name for task in TASKS)
INPUT_CHANNELS = ("fix", *MODALITY_CHANNELS, *(f"rule_{name}" for name in NINE_TASKS))
SENSORY_INPUTS = 1 + len(MODALITY_CHANNELS)
"""The leading input channels without the rule cue: what frozen primitives and one-task networks see."""


@dataclass(frozen=True)
class Trials:
    """Everything that a trial is made of; times in steps (long), shapes (..., trial)."""

    task: Tensor
    on1: Tensor
    off1: Tensor
    on2: Tensor
    off2: Tensor
    go: Tensor
    """The first step with fixation 0."""
    end: Tensor
    """The first step that is no longer part of the trial."""
    angle1: Tensor
    angle2: Tensor
    strength: Tensor
    """(..., trial, stimulus, modality)."""


@dataclass(frozen=True)
class Batch:
    """Trials as a network sees them; a leading seed axis where several generators drew them."""

    x: Tensor
    """([seed,] time, trial, input): channels as in INPUT_CHANNELS."""
    y: Tensor
    """([seed,] time, trial, output): channels as in OUTPUT_CHANNELS."""
    mask: Tensor
    """As y: the factor c of the error (not squared): 0 where not scored."""
    loc: Tensor
    """([seed,] trial): the wanted direction in radians, in [0, 2 pi); negative: no response wanted."""
    t_last: Tensor
    """([seed,] trial): the trial's last step, where it is scored."""
    trials: Trials

    @property
    def epochs(self) -> dict[str, Tensor]:
        """Name -> ([seed,] trial, 2): first step and the step after the last; an absent epoch has length 0."""
        t = self.trials
        two = _has(t.task, "family", "decision")
        spans = {
            "fixation": (torch.zeros_like(t.on1), t.on1),
            "stimulus1": (t.on1, t.off1),
            "gap": (t.off1, torch.where(two, t.on2, torch.maximum(t.off1, t.go))),
            "stimulus2": (t.on2, t.off2),
            "delay": (t.off2, torch.where(two, t.go, t.off2)),
            "response": (t.go, t.end),
        }
        return {name: torch.stack(span, dim=-1) for name, span in spans.items()}


def task_ids(names: Sequence[str]) -> Tensor:
    """Indices into NINE_TASKS, long (trial,); ValueError with the nearest name."""
    indices = {name: index for index, name in enumerate(NINE_TASKS)}
    return torch.tensor([named(indices, name, "task") for name in names], dtype=torch.long)


def make_batch(
    tasks: Tensor,
    timing: Timing,
    *,
    dt: float,
    sigma_x: float,
    generators: Generator | Sequence[Generator],
    tau: float = 100.0,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Random trials of the given tasks, padded to the longest that the timing allows.

    `tasks` is long (trial,), or (seed, trial). One generator gives no seed axis, a sequence gives a leading one: each
    seed's draws come from its own generator and do not depend on the others. Every input channel, rule included, gets
    noise sigma_x sqrt(2 / alpha) N(0, 1), alpha = dt / tau.
    """
    sources = [generators] if isinstance(generators, Generator) else list(generators)
    device = sources[0].device
    trials = draw_trials(tasks.to(device), timing, dt=dt, generators=sources)
    shape = (timing.steps(dt), trials.go.shape[-1], len(INPUT_CHANNELS))
    noise = channel_noise(shape, sigma_x * math.sqrt(2 * tau / dt), generators=sources, dtype=dtype)
    batch = build_batch(trials, noise, grace=int(timing.grace // dt))
    return _without_seed_axis(batch) if isinstance(generators, Generator) else batch


def build_trial(
    task: str | Sequence[str],
    *,
    on1: Numbers,
    go: Numbers,
    end: Numbers,
    angle1: Numbers,
    off1: Numbers | None = None,
    on2: Numbers | None = None,
    off2: Numbers | None = None,
    angle2: Numbers = 0.0,
    strength1: tuple[Numbers, Numbers] = (1.0, 0.0),
    strength2: tuple[Numbers, Numbers] = (0.0, 0.0),
    dt: float = 20.0,
    tau: float = 100.0,
    grace: float = 100.0,
    steps: int | None = None,
    noise: bool = False,
    sigma_x: float = 0.01,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Trials written by hand: times in ms, angles in radians, strengths per stimulus as (modality 1, modality 2).

    Each argument is one value, or one per trial. What a task does not use is ignored: the offset in Delay tasks (the
    stimulus stays on), the second stimulus in one-stimulus tasks, modality 2 in MemDm1, modality 1 in MemDm2.
    `steps` pads. Times must satisfy on1 <= off1 <= on2 <= off2 <= go < end.
    Raises ValueError for an unknown task and for times that are missing or out of order.
    """
    names = [task] if isinstance(task, str) else list(task)
    given = {"on1": on1, "off1": off1, "on2": on2, "off2": off2, "go": go, "end": end}
    columns: list[Numbers] = [
        *(math.nan if value is None else value for value in given.values()),
        *(angle1, angle2, *strength1, *strength2),
    ]
    rows = torch.broadcast_tensors(task_ids(names), *(torch.as_tensor(c, dtype=torch.float64) for c in columns))
    times = _times_in_steps(rows[0], dict(zip(given, rows[1:7], strict=True)), dt)
    strength = torch.stack(rows[9:13], dim=-1).unflatten(-1, (2, 2))
    trials = Trials(task=rows[0], **times, angle1=rows[7], angle2=rows[8], strength=strength)
    shape = (steps or int(times["end"].max()), rows[0].shape[-1], len(INPUT_CHANNELS))
    if shape[0] < int(times["end"].max()):
        raise ValueError(f"steps = {steps}: the longest trial has {int(times['end'].max())} steps")
    background = torch.zeros(shape, dtype=dtype)
    if noise:
        if generator is None:
            raise ValueError("noise=True needs a generator")
        scale = sigma_x * math.sqrt(2 * tau / dt)
        background = channel_noise(shape, scale, generators=[generator], dtype=dtype)[0]
    return build_batch(trials, background, grace=int(grace // dt))


def draw_trials(tasks: Tensor, timing: Timing, *, dt: float, generators: Sequence[Generator]) -> Trials:
    """Random times, angles and strengths, shapes (seed, trial): section 3.1 of the nine tasks, vectorised over both.

    Each interval is a whole number of steps, `floor(ms / dt)`.
    """
    u = uniforms(tasks.shape[-1], len(_DRAWS), generators=generators)
    draw = dict(zip(_DRAWS, u.unbind(-1), strict=True))
    task = tasks.expand(u.shape[:-1])
    delay, two = _has(task, "family", "delay"), _has(task, "family", "decision")

    def steps(name: str, span: tuple[float, float]) -> Tensor:
        return steps_within(draw[name], span, dt)

    on1 = torch.where(two, steps("onset", timing.onset_two), steps("onset", timing.onset_one))
    off1 = on1 + steps("stimulus1", timing.stimulus)
    on2 = off1 + steps("gap", timing.gap)
    off2 = on2 + torch.where(two, steps("stimulus2", timing.stimulus), 0)
    go = torch.where(two, off2 + steps("delay", timing.delay), on2)
    go = torch.where(delay, on1 + steps("gap", timing.hold), go)
    angle1, angle2 = pair_angles(draw)
    return Trials(
        task=task,
        on1=on1,
        off1=off1,
        on2=on2,
        off2=off2,
        go=go,
        end=go + steps("response", timing.response),
        angle1=angle1,
        angle2=angle2,
        strength=_draw_strengths(task, timing, draw),
    )


_DRAWS = (
    *("onset", "stimulus1", "gap", "stimulus2", "delay", "response", "angle", "apart", "side", "modality"),
    *("mean1", "contrast1", "sign1", "mean2", "contrast2", "sign2"),
    *("imbalance1", "favour1", "imbalance2", "favour2"),
)


def _draw_strengths(task: Tensor, timing: Timing, draw: dict[str, Tensor]) -> Tensor:
    """(seed, trial, stimulus, modality)."""
    pairs = [pair_strengths(draw, modality, mean=timing.mean, contrast=timing.contrast) for modality in (1, 2)]
    both = torch.stack(pairs, dim=-1)
    base = both[..., 0]
    imbalance = torch.stack([within(draw[f"imbalance{i}"], timing.imbalance) for i in (1, 2)], dim=-1)
    half = base * imbalance * torch.stack([sign(draw[f"favour{i}"]) for i in (1, 2)], dim=-1) / 2
    split = torch.stack([base + half, base - half], dim=-1)
    first = (draw["modality"] < 0.5).to(torch.float64)
    either = torch.stack([first, 1 - first], dim=-1).unsqueeze(-2).expand_as(both)
    strength = torch.where(_has(task, "shown", "split")[..., None, None], split, both)
    return torch.where(_has(task, "shown", "either")[..., None, None], either, strength)


def pair_angles(draw: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Directions of two stimuli in radians: the first anywhere, the second at least a quarter turn from it."""
    first = within(draw["angle"], (0, 2 * math.pi))
    apart = within(draw["apart"], (0.5 * math.pi, 1.5 * math.pi))
    return first, first + sign(draw["side"]) * apart


def pair_strengths(
    draw: dict[str, Tensor], modality: int, *, mean: tuple[float, float], contrast: tuple[float, float]
) -> Tensor:
    """Strengths (m + c, m - c) of the two stimuli in one modality, (..., stimulus)."""
    m = within(draw[f"mean{modality}"], mean)
    c = within(draw[f"contrast{modality}"], contrast) * sign(draw[f"sign{modality}"])
    return torch.stack([m + c, m - c], dim=-1)


def build_batch(trials: Trials, noise: Tensor, *, grace: int) -> Batch:
    """Inputs, targets and masks of given trials (..., trial) on top of `noise` (..., time, trial, input), in its dtype.

    After a trial's end nothing is shown (but noise), nothing wanted, nothing scored. `grace` is in steps.
    """
    trials = _only_what_is_used(trials)
    loc = wanted_direction(trials)
    clock = torch.arange(noise.shape[-3], device=noise.device).unsqueeze(-1)
    on1, off1, on2, off2, go, end = (
        time.unsqueeze(-2) for time in (trials.on1, trials.off1, trials.on2, trials.off2, trials.go, trials.end)
    )
    dtype = noise.dtype
    fixate, alive = (clock < go).to(dtype), (clock < end).to(dtype)
    x = noise.clone()
    x[..., 0].add_(fixate)
    for which, (on, off) in enumerate(((on1, off1), (on2, off2))):
        shown = ((clock >= on) & (clock < off)).to(dtype)
        x[..., 1:SENSORY_INPUTS].addcmul_(shown.unsqueeze(-1), _stimulus(trials, which, dtype))
    rule = torch.nn.functional.one_hot(trials.task, len(TASKS)).to(dtype)
    x[..., SENSORY_INPUTS:].addcmul_(alive.unsqueeze(-1), rule.unsqueeze(-3))
    answer = torch.stack([torch.zeros_like(loc), loc.sin(), loc.cos()], dim=-1).to(dtype).unsqueeze(-3)
    y = answer * (alive - fixate).unsqueeze(-1) + 0.05 * alive.unsqueeze(-1)
    y[..., 0].add_(fixate, alpha=0.75)
    weight = fixate * (clock >= grace) + 5 * alive * (clock >= go + grace)
    mask = torch.stack([2 * weight, weight, weight], dim=-1)
    return Batch(x=x, y=y, mask=mask, loc=loc.to(dtype), t_last=trials.end - 1, trials=trials)


def wanted_direction(trials: Trials) -> Tensor:
    """The direction of the stronger stimulus in the modalities that count (the first on a tie), or its opposite."""
    counts1, counts2 = ~_has(trials.task, "answer", "mod2"), ~_has(trials.task, "answer", "mod1")
    evidence = trials.strength[..., 0] * counts1.unsqueeze(-1) + trials.strength[..., 1] * counts2.unsqueeze(-1)
    angle = torch.where(evidence[..., 0] >= evidence[..., 1], trials.angle1, trials.angle2)
    return (angle + math.pi * _has(trials.task, "answer", "anti")).remainder(2 * math.pi)


def correct(y_last: Tensor, loc: Tensor, tol: float = TOLERANCE) -> Tensor:
    """1 where the final outputs (..., 3) answer `loc` (...), else 0: fixation let go, direction within `tol` radians.

    loc < 0 means that no response is wanted: correct iff fixation is held (> 0.5).
    """
    error = angle_of(y_last[..., 1], y_last[..., 2]) - loc
    distance = angle_of(error.sin(), error.cos()).abs()
    answered = (y_last[..., 0] < 0.5) & (distance < tol)
    return torch.where(loc < 0, y_last[..., 0] > 0.5, answered).to(y_last.dtype)


def circular_accuracy(yhat: Tensor, loc: Tensor, t_last: Tensor, tol: float = TOLERANCE) -> Tensor:
    """Fraction of trials answered correctly at their own last step, shape (...).

    `yhat` is (..., time, trial, 3), `loc` and `t_last` are (trial,) or (..., trial).
    """
    return correct(at_last_step(yhat, t_last), loc, tol).mean(dim=-1)


def at_last_step(values: Tensor, t_last: Tensor) -> Tensor:
    """`values` (..., time, trial, channel) at each trial's own last step: (..., trial, channel)."""
    index = t_last.unsqueeze(-2).unsqueeze(-1)
    return torch.take_along_dim(values, index.expand(*values.shape[:-3], 1, *values.shape[-2:]), dim=-3).squeeze(-3)


def masked_loss(yhat: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean over time, trials and channels of ((y - yhat) mask)^2, one value a member: (..., T, B, 3) -> (...)."""
    return ((y - yhat) * mask).square().mean(dim=(-3, -2, -1))


def _stimulus(trials: Trials, which: int, dtype: torch.dtype) -> Tensor:
    """Strength times (sine, cosine) in each modality, (..., 1, trial, 4)."""
    angle = (trials.angle1, trials.angle2)[which]
    unit = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return (trials.strength[..., which, :, None] * unit.unsqueeze(-2)).flatten(-2).to(dtype).unsqueeze(-3)


def _only_what_is_used(trials: Trials) -> Trials:
    """Stimuli of Delay tasks stay on; one-stimulus tasks have no second; MemDm tasks have one modality."""
    delay, two = _has(trials.task, "family", "delay"), _has(trials.task, "family", "decision")
    shown1, shown2 = ~_has(trials.task, "shown", "mod2"), ~_has(trials.task, "shown", "mod1")
    strength = trials.strength * torch.stack([shown1, shown2], dim=-1).unsqueeze(-2)
    return replace(
        trials,
        off1=torch.where(delay, trials.end, trials.off1),
        on2=torch.where(two, trials.on2, trials.go),
        off2=torch.where(two, trials.off2, trials.go),
        strength=strength * torch.stack([torch.ones_like(two), two], dim=-1).unsqueeze(-1),
    )


def _times_in_steps(task: Tensor, times: dict[str, Tensor], dt: float) -> dict[str, Tensor]:
    """floor(ms / dt), unused times filled in so that the order can be checked; ValueError names what is amiss."""
    delay, two = _has(task, "family", "delay"), _has(task, "family", "decision")
    used = dict(times)
    used["off1"] = torch.where(delay, times["go"], times["off1"])
    used["on2"] = torch.where(two, times["on2"], used["off1"])
    used["off2"] = torch.where(two, times["off2"], used["on2"])
    steps = {name: (ms / dt).floor() for name, ms in used.items()}
    previous = torch.zeros_like(steps["on1"])
    for name, step in steps.items():
        bad = torch.isnan(step) | (step < previous) | ((step <= previous) if name == "end" else False)
        if bad.any():
            i = int(bad.nonzero()[0])
            raise ValueError(
                f"trial {i} ({NINE_TASKS[int(task[i])]}): {name} = {float(times[name][i])} ms; wanted are times with "
                f"0 <= on1 <= off1 <= on2 <= off2 <= go < end, in steps of dt = {dt} ms"
            )
        previous = step
    return {name: step.long() for name, step in steps.items()}


def _has(task: Tensor, field: str, value: str) -> Tensor:
    """Where the task's `field` is `value`, bool, shape of `task`."""
    return torch.tensor([getattr(entry, field) == value for entry in TASKS], device=task.device)[task]


def _without_seed_axis(batch: Batch) -> Batch:
    trials = Trials(**{field.name: getattr(batch.trials, field.name)[0] for field in fields(Trials)})
    own = {name: getattr(batch, name)[0] for name in ("x", "y", "mask", "loc", "t_last")}
    return Batch(**own, trials=trials)
