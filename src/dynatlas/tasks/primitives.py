"""Task primitives: streams of random stimulus events, and what a memory or a comparison module should make of them.

Pre-training of the modules of Marton et al. 2021 (arXiv 2105.14108); the paper does not list its primitives, these four
are our reading. Every primitive waits (fixation 1, values 0) until the go cue and then releases its value (fixation 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dynatlas.elementwise import angle_of
from dynatlas.tasks.draws import channel_noise, steps_within, uniforms
from dynatlas.tasks.multitask import MODALITY_CHANNELS, TOLERANCE, at_last_step, pair_angles, pair_strengths
from dynatlas.tasks.timing import Timing

STREAM_CHANNELS = ("fix", *MODALITY_CHANNELS)
SECOND_STIMULUS = 0.7
"""Probability that a second stimulus comes."""
SUSTAINED = 0.3
"""Probability that a first stimulus without a second stays on to the end."""


@dataclass(frozen=True)
class Primitive:
    """A module's job: the input channels that it sees, and its output channels."""

    name: str
    sees: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output channels: fixation first, then the values that are released."""
        return ("fix", *self.values)


PRIMITIVES = (
    Primitive("memory", STREAM_CHANNELS, MODALITY_CHANNELS),
    Primitive("comparison-1", STREAM_CHANNELS[:3], ("sin", "cos")),
    Primitive("comparison-2", ("fix", *STREAM_CHANNELS[3:]), ("sin", "cos")),
    Primitive("comparison-sum", STREAM_CHANNELS, ("sin", "cos")),
)


@dataclass(frozen=True)
class Stream:
    """Stimulus events and what each primitive should answer; a leading seed axis where several generators drew them."""

    x: Tensor
    """([seed,] time, trial, 5): channels as in STREAM_CHANNELS."""
    targets: dict[str, Tensor]
    """Primitive -> ([seed,] time, trial, output): channels as in its `outputs`."""
    weight: Tensor
    """([seed,] time, trial): of the squared error: 1 before go, 0 at the go step, 5 after it, 0 after the end."""
    go: Tensor
    """([seed,] trial): the first step with fixation 0."""
    t_last: Tensor
    """([seed,] trial): the last step."""

    def stacked_targets(self) -> Tensor:
        """([seed,] primitive, time, trial, 5): the targets padded with zero channels to the widest (`outputs_used`)."""
        widest = max(len(primitive.outputs) for primitive in PRIMITIVES)
        padded = [_pad(self.targets[primitive.name], widest) for primitive in PRIMITIVES]
        return torch.stack(padded, dim=-4)

    def joined_targets(self) -> Tensor:
        """([seed,] time, trial, 14): all outputs side by side, for one network that learns them together."""
        return torch.cat([self.targets[primitive.name] for primitive in PRIMITIVES], dim=-1)


def inputs_seen() -> Tensor:
    """(primitive, input): 1 where the module sees the channel, else 0; multiply W_in's rows with it."""
    return torch.tensor([[float(name in primitive.sees) for name in STREAM_CHANNELS] for primitive in PRIMITIVES])


def outputs_used() -> Tensor:
    """(primitive, output): 1 where `stacked_targets` holds a channel of the primitive, 0 where it is padding."""
    widest = max(len(primitive.outputs) for primitive in PRIMITIVES)
    return torch.tensor([[float(i < len(primitive.outputs)) for i in range(widest)] for primitive in PRIMITIVES])


def modules_loss(yhat: Tensor, stream: Stream) -> Tensor:
    """Weighted squared error of a module for each primitive, mean over time, streams and the channels that are its own.

    Outputs (seed, ..., primitive, time, stream, 5), padded as in `stacked_targets`, give (seed, ..., primitive).
    """
    between = (slice(None), *(None for _ in yhat.shape[1:-4]))
    used = outputs_used().to(yhat.device)
    weight = stream.weight[between][..., None, :, :, None] * (used / used.sum(1, keepdim=True))[:, None, None, :]
    return ((yhat - stream.stacked_targets()[between]).square() * weight).sum(-1).mean((-2, -1))


def together_loss(yhat: Tensor, stream: Stream) -> Tensor:
    """The same for networks that learn all primitives together, outputs (seed, time, stream, 14): (seed,)."""
    return ((yhat - stream.joined_targets()).square() * stream.weight[..., None]).mean((-3, -2, -1))


def make_stream(
    trials: int,
    timing: Timing,
    *,
    dt: float,
    sigma_x: float,
    generators: Generator | Sequence[Generator],
    tau: float = 100.0,
    dtype: torch.dtype = torch.float32,
) -> Stream:
    """Random streams, padded to `timing.steps(dt)`; one generator gives no seed axis, a sequence a leading one.

    One stimulus, then with probability .7 a second; the modalities shown (first, second, both) are drawn per stream,
    the strengths m +- c per modality. Without a second stimulus the first is held over the memory gap, and with
    probability .3 stays on. Go comes after the last event. Input noise as in `multitask.make_batch`.
    """
    sources = [generators] if isinstance(generators, Generator) else list(generators)
    u = uniforms(trials, len(_DRAWS), generators=sources)
    draw = dict(zip(_DRAWS, u.unbind(-1), strict=True))
    noise = channel_noise(
        (timing.steps(dt), trials, len(STREAM_CHANNELS)),
        sigma_x * math.sqrt(2 * tau / dt),
        generators=sources,
        dtype=dtype,
    )
    events = _draw_events(draw, timing, dt)
    stream = _build(events, _draw_vectors(draw, timing, events.second), noise)
    return _first_seed(stream) if isinstance(generators, Generator) else stream


def direction_accuracy(yhat: Tensor, target: Tensor, t_last: Tensor, tol: float = TOLERANCE) -> Tensor:
    """Share of streams whose released direction is within `tol` radians, among those where one is wanted: (...).

    `yhat` and `target` (..., time, trial, 3) are a comparison primitive's outputs [fix, sin, cos].
    """
    answer, wanted = at_last_step(yhat, t_last)[..., 1:], at_last_step(target, t_last)[..., 1:]
    asked = wanted.abs().sum(dim=-1) > 0
    error = angle_of(answer[..., 0], answer[..., 1]) - angle_of(wanted[..., 0], wanted[..., 1])
    right = (angle_of(error.sin(), error.cos()).abs() < tol) & asked
    return right.sum(dim=-1) / asked.sum(dim=-1)


_DRAWS = (
    *("onset", "stimulus1", "gap", "stimulus2", "delay", "response", "angle", "apart", "side"),
    *("second", "sustained", "modality", "mean1", "contrast1", "sign1", "mean2", "contrast2", "sign2"),
)


@dataclass(frozen=True)
class _Events:
    """Times in steps, (seed, trial); `second`: whether a second stimulus comes."""

    on1: Tensor
    off1: Tensor
    on2: Tensor
    off2: Tensor
    go: Tensor
    end: Tensor
    second: Tensor


def _draw_events(draw: dict[str, Tensor], timing: Timing, dt: float) -> _Events:
    def steps(name: str, span: tuple[float, float]) -> Tensor:
        return steps_within(draw[name], span, dt)

    second = draw["second"] < SECOND_STIMULUS
    on1 = steps("onset", timing.onset_two)
    off1 = on1 + steps("stimulus1", timing.stimulus)
    on2 = off1 + steps("gap", timing.gap)
    off2 = on2 + torch.where(second, steps("stimulus2", timing.stimulus), 0)
    go = off2 + torch.where(second, steps("delay", timing.delay), 0)
    end = go + steps("response", timing.response)
    stays = ~second & (draw["sustained"] < SUSTAINED)
    return _Events(on1, torch.where(stays, end, off1), on2, off2, go, end, second)


def _draw_vectors(draw: dict[str, Tensor], timing: Timing, second: Tensor) -> Tensor:
    """Strength times (sine, cosine), (seed, trial, stimulus, modality, 2); zero where nothing is shown."""
    angles = torch.stack(pair_angles(draw), dim=-1)
    unit = torch.stack([angles.sin(), angles.cos()], dim=-1).unsqueeze(-2)
    pairs = [pair_strengths(draw, modality, mean=timing.mean, contrast=timing.contrast) for modality in (1, 2)]
    kind = (3 * draw["modality"]).floor()
    shown = torch.stack([kind != 1, kind != 0], dim=-1).unsqueeze(-2)
    comes = torch.stack([torch.ones_like(second), second], dim=-1).unsqueeze(-1)
    return (torch.stack(pairs, dim=-1) * shown * comes).unsqueeze(-1) * unit


def _build(events: _Events, vectors: Tensor, noise: Tensor) -> Stream:
    dtype = noise.dtype
    clock = torch.arange(noise.shape[-3], device=noise.device).unsqueeze(-1)
    on1, off1, on2, off2, go, end = (
        time.unsqueeze(-2) for time in (events.on1, events.off1, events.on2, events.off2, events.go, events.end)
    )
    fixate, alive = (clock < go).to(dtype), (clock < end).to(dtype)
    x = noise.clone()
    x[..., 0].add_(fixate)
    for which, (on, off) in enumerate(((on1, off1), (on2, off2))):
        shown = ((clock >= on) & (clock < off)).to(dtype)
        x[..., 1:].addcmul_(shown.unsqueeze(-1), vectors[..., which, :, :].flatten(-2).to(dtype).unsqueeze(-3))
    released = (alive - fixate).unsqueeze(-1)
    targets = {
        name: torch.cat([fixate.unsqueeze(-1), released * value.to(dtype).unsqueeze(-3)], dim=-1)
        for name, value in _values(vectors, events.second).items()
    }
    weight = fixate + 5 * alive * (clock > go)
    return Stream(x=x, targets=targets, weight=weight, go=events.go, t_last=events.end - 1)


def _values(vectors: Tensor, second: Tensor) -> dict[str, Tensor]:
    """What each primitive releases, (seed, trial, value)."""
    last = torch.where(second[..., None, None], vectors[..., 1, :, :], vectors[..., 0, :, :])
    strength = vectors.norm(dim=-1)
    return {
        "memory": last.flatten(-2),
        "comparison-1": _stronger(vectors[..., 0, :], strength[..., 0]),
        "comparison-2": _stronger(vectors[..., 1, :], strength[..., 1]),
        "comparison-sum": _stronger(vectors.sum(dim=-2), strength.sum(dim=-1)),
    }


def _stronger(vectors: Tensor, strength: Tensor) -> Tensor:
    """Unit vector (..., 2) of the stronger of two stimuli (..., stimulus, 2); zero where there was none."""
    first = strength[..., :1] >= strength[..., 1:]
    return torch.nn.functional.normalize(torch.where(first, vectors[..., 0, :], vectors[..., 1, :]), dim=-1)


def _pad(target: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(target, (0, width - target.shape[-1]))


def _first_seed(stream: Stream) -> Stream:
    targets = {name: target[0] for name, target in stream.targets.items()}
    return Stream(stream.x[0], targets, stream.weight[0], stream.go[0], stream.t_last[0])
