"""Reference answers to the nine tasks: one that solves them from what a network sees, and one that knows nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from dynatlas.elementwise import angle_of
from dynatlas.tasks.multitask import SENSORY_INPUTS


def oracle(x: Tensor) -> Tensor:
    """Outputs (..., time, trial, 3) that solve noise-free inputs (..., time, trial, 14).

    It reads the rule cue, finds the onsets of the stimuli and compares what it saw there. Two stimuli need a gap of
    at least one step between them.
    """
    waiting = x[..., 0] > 0.5
    first, second = _stimuli_seen(x[..., 1:SENSORY_INPUTS])
    rule = x[..., 0, :, SENSORY_INPUTS:].argmax(dim=-1)
    answers = torch.stack(_answers(first, second), dim=-1)
    direction = torch.take_along_dim(answers, rule.unsqueeze(-1), dim=-1).squeeze(-1).unsqueeze(-2)
    return _respond(waiting, direction)


def ignorant(x: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Outputs (seed, time, trial, 3) that respond at go with a random direction; expected accuracy 0.1.

    `x` is (seed, time, trial, 14), with one generator a seed.
    """
    turns = torch.stack([torch.rand(x.shape[-2], generator=g, device=g.device) for g in generators])
    return _respond(x[..., 0] > 0.5, (2 * math.pi * turns).to(x.dtype).unsqueeze(-2))


def _stimuli_seen(channels: Tensor) -> tuple[Tensor, Tensor]:
    """First and second stimulus (..., trial, modality, 2) at their onsets in (..., time, trial, 4); zero where none."""
    vectors = channels.unflatten(-1, (2, 2))
    on = vectors.norm(dim=-1).sum(dim=-1) > 1e-6
    before = torch.nn.functional.pad(on, (0, 0, 1, 0))[..., :-1, :]
    onset = on & ~before
    count = onset.cumsum(dim=-2)
    first, second = ((vectors * (onset & (count == number))[..., None, None]).sum(dim=-4) for number in (1, 2))
    return first, second


def _answers(first: Tensor, second: Tensor) -> list[Tensor]:
    """The direction (..., trial) that each of the nine tasks wants, in their order."""
    angle1, angle2 = (angle_of(*seen.sum(dim=-2).unbind(-1)) for seen in (first, second))
    strength1, strength2 = first.norm(dim=-1), second.norm(dim=-1)
    by_mod1 = torch.where(strength1[..., 0] >= strength2[..., 0], angle1, angle2)
    by_mod2 = torch.where(strength1[..., 1] >= strength2[..., 1], angle1, angle2)
    by_sum = torch.where(strength1.sum(dim=-1) >= strength2.sum(dim=-1), angle1, angle2)
    pro, anti = angle1, angle1 + math.pi
    return [pro, anti, pro, anti, by_mod1, by_mod2, by_mod1, by_mod2, by_sum]


def _respond(waiting: Tensor, direction: Tensor) -> Tensor:
    go = (~waiting).to(direction.dtype)
    return torch.stack([1 - go, go * direction.sin(), go * direction.cos()], dim=-1)
