"""How curved a loss is, for all members of an ensemble at once: traces of the Hessian and of its Gauss-Newton part, and
what noise on the weights adds to the loss.

Parameters are a tree of tensors with leading axis member. Both traces are Hutchinson estimates from random signs
(Hutchinson 1990, Communications in Statistics 19, 433), unbiased, with their standard errors over probes. Every member
has a generator of its own. Parameters of half precision reach the loss in float32. A member with NaN has NaN, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Generator, Tensor

from dynatlas.instruments.given import whole, widened
from dynatlas.instruments.scale import scaled
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.names import named
from dynatlas.reductions import mean_over_first, std_over_first, sum_over_first

Params = dict[str, Tensor]


@dataclass(frozen=True)
class Estimate:
    """A mean over random draws."""

    mean: Tensor
    """(member,), float64."""
    standard_error: Tensor
    """(member,), float64."""

    @classmethod
    def over(cls, values: Tensor) -> Estimate:
        """Of independent draws (draw, member)."""
        sized, power = scaled(values, dim=0)
        return cls(mean_over_first(values), std_over_first(sized) * power[0] / len(values) ** 0.5)


def hessian_trace(
    loss: Callable[[Params], Tensor], params: Params, *, probes: int, generators: Sequence[Generator]
) -> Estimate:
    """tr H of each member's loss at `params`, from v' H v with random signs v.

    `loss` gives (member,), and no member's loss depends on another's parameters. A product with H costs a second pass
    backward; H is never formed. 0 where the loss is linear in pieces. Raises ValueError for fewer than 2 probes, and
    for a loss that does not hang on the parameters.
    """
    leaves = _leaves(params)
    with torch.enable_grad():
        first = _gradient(_hanging(loss(leaves), "loss").sum(), leaves, again=True)

    def probe() -> Tensor:
        signs = [_signs(leaf, generators) for leaf in leaves.values()]
        with torch.enable_grad():
            along = _inner(first, signs)
            total = along.sum()
        if not total.requires_grad:  # no gradient depends on a parameter
            return torch.zeros_like(along)
        return _inner(_gradient(total, leaves), signs)

    return _over(probe, probes)


def gauss_newton_trace(
    outputs: Callable[[Params], Tensor],
    params: Params,
    *,
    probes: int,
    generators: Sequence[Generator],
    loss: str = "squared",
) -> Estimate:
    """tr of the Gauss-Newton matrix E_x J' A J of each member, the Hessian without the curvature of the network.

    `outputs` gives (member, example, output), J is their Jacobian. A is the Hessian of the loss in the outputs:
    "squared" 1/2 |f - y|^2, A = 1; "cross_entropy" of logits, A = diag(p) - p p'. Raises ValueError for another loss
    for fewer than 2 probes, and for outputs that do not hang on the parameters.
    """
    leaves = _leaves(params)
    with torch.enable_grad():
        found = _hanging(outputs(leaves), "outputs")
    root = _root(loss, found.detach())

    def probe() -> Tensor:
        # signs of different examples are independent: the square of their sum has no cross terms on average
        pull = root(_signs(found, generators))
        with torch.enable_grad():
            pulled = (found * pull).sum()
        gradient = _gradient(pulled, leaves)
        return _inner(gradient, gradient) / found.shape[-2]

    return _over(probe, probes)


def increase_under_noise(
    loss: Callable[[Params], Tensor],
    params: Params,
    sigma: float,
    *,
    generators: Sequence[Generator],
    pairs: int,
    error: Tensor | float = inf,
    limit: int = 100,
) -> Estimate:
    """Mean of L(w + sigma xi) - L(w) for xi ~ N(0, 1) over antithetic pairs of draws; to second order sigma^2 / 2 tr H.

    `loss` as in `hessian_trace`; where it has kinks, as with ReLU, the trace misses them and this does not. Draws
    `pairs` at a time until every standard error is below `error` (member,), at most `limit` times. Raises ValueError
    for fewer than 2 pairs, and for parameters that are whole numbers.
    """
    if whole(pairs, "pairs") < 2:
        raise ValueError(f"pairs = {pairs}: a standard error needs at least 2")
    params = {name: leaf.detach() for name, leaf in _leaves(params).items()}
    noise, device = WeightNoise(generators, 1.0), generators[0].device
    zero = {name: torch.zeros_like(value, device=device) for name, value in params.items()}
    base, seen = loss(params), []
    for _ in range(limit):
        for _ in range(pairs):
            step = noise.add(zero)
            moved = [{n: w + sign * sigma * step[n].to(w.device) for n, w in params.items()} for sign in (1, -1)]
            seen.append((loss(moved[0]) + loss(moved[1])) / 2 - base)
        found = Estimate.over(torch.stack(seen).to(torch.float64))
        if not bool((found.standard_error >= error).any()):  # a member with NaN keeps nobody waiting
            break
    return found


def _root(loss: str, outputs: Tensor) -> Callable[[Tensor], Tensor]:
    """r -> B r with B B' = A for every example."""
    p = outputs.softmax(dim=-1)
    roots: dict[str, Callable[[Tensor], Tensor]] = {
        "squared": lambda r: r,
        "cross_entropy": lambda r: p.sqrt() * r - p * (p.sqrt() * r).sum(dim=-1, keepdim=True),
    }
    return named(roots, loss, "loss")


def _leaves(params: Params) -> Params:
    """Parameters to be differentiated by; ValueError for whole numbers, which cannot be."""
    for name, value in params.items():
        if not value.is_floating_point():
            raise ValueError(f"parameters {name!r} are {value.dtype}: only floating point has derivatives")
    return {name: widened(value, name).detach().requires_grad_() for name, value in params.items()}


def _hanging(value: Tensor, what: str) -> Tensor:
    """`value`, unless no parameter can be seen from it."""
    if not value.requires_grad:
        raise ValueError(f"{what}: does not hang on the parameters; was it detached, or computed under no_grad?")
    return value


def _gradient(value: Tensor, leaves: Params, *, again: bool = False) -> tuple[Tensor, ...]:
    """Of a number, by all leaves, 0 for those that it does not hang on; `again`: it can be differentiated in turn."""
    return torch.autograd.grad(
        value, list(leaves.values()), retain_graph=True, create_graph=again, allow_unused=True, materialize_grads=True
    )


def _signs(like: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Random signs of the shape of `like`, each member's from its own generator."""
    if len(generators) != like.shape[0]:
        raise ValueError(f"there are {like.shape[0]} members and {len(generators)} generators: wanted is one for each")
    drawn = [torch.randint(2, like.shape[1:], generator=g, device=g.device) for g in generators]
    return (2 * torch.stack(drawn) - 1).to(like)


def _inner(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Sum over all but the member axis, (member,)."""
    return sum_over_first(torch.stack([(a * b).flatten(1).sum(dim=1) for a, b in zip(left, right, strict=True)]))


def _over(probe: Callable[[], Tensor], probes: int) -> Estimate:
    if whole(probes, "probes") < 2:
        raise ValueError(f"probes = {probes}: a standard error needs at least 2")
    return Estimate.over(torch.stack([probe().detach() for _ in range(probes)]).to(torch.float64))
