"""Mutual information of two recordings from nearest neighbours, continuous, discrete or mixed."""

from __future__ import annotations

import torch
from torch import Tensor

from dynatlas.instruments.given import whole
from dynatlas.instruments.neighbours import checked_clouds

BUDGET = 2**22
"""Distances held at once."""


def mixed_ksg(x: Tensor, y: Tensor, *, k: int = 5) -> Tensor:
    """Mutual information in nats between samples x (..., sample, p) and y (..., sample, q) -> (...), float64.

    Gao, Kannan, Oh and Viswanath 2017 (NeurIPS): with rho_i the maximum-norm distance from sample i to its k-th nearest
    neighbour in the joint space,

        I = mean over i of psi(k_i) + ln N - psi(n_x) - psi(n_y).

    n_x, n_y count the samples (i included) strictly nearer than rho_i in x, in y, and k_i = k; where rho_i = 0, all
    three count the samples that coincide with i. Strictly means `<`: the published code subtracts 1e-15 from the
    radius, which on large data changes nothing and lets the k-th neighbour in, and counts as coinciding what lies
    within 1e-15, which on small data is everything.
    Estimates can be negative. Time grows with N^2. Raises ValueError for k outside 1 ... N - 1, recordings of unequal
    length and values that are not finite.
    """
    x, y = checked_clouds(x), checked_clouds(y)
    if x.shape[:-1] != y.shape[:-1]:
        raise ValueError(f"x {tuple(x.shape)} and y {tuple(y.shape)} must have the same samples")
    n, k = x.shape[-2], whole(k, "k")
    if not 1 <= k < n:
        raise ValueError(f"k = {k}: wanted is 1 to {n - 1} for {n} samples")
    pairs = zip(x.reshape(-1, n, x.shape[-1]), y.reshape(-1, n, y.shape[-1]), strict=True)
    return torch.stack([_one(a, b, k) for a, b in pairs]).view(x.shape[:-2])


def _one(x: Tensor, y: Tensor, k: int) -> Tensor:
    n = len(x)
    terms = []
    for mine in torch.arange(n, device=x.device).split(max(1, BUDGET // n)):
        far_x, far_y = (torch.cdist(part[mine], part, p=torch.inf) for part in (x, y))
        joint = torch.maximum(far_x, far_y)
        rho = joint.topk(k + 1, dim=1, largest=False).values[:, -1:]  # the sample itself is the nearest, at 0
        coincide = rho == 0
        counted = torch.where(coincide[:, 0], (joint == 0).sum(dim=1), k)
        n_x, n_y = (torch.where(coincide, far == 0, far < rho).sum(dim=1) for far in (far_x, far_y))
        psi, psi_x, psi_y = (torch.digamma(count.to(x.dtype)) for count in (counted, n_x, n_y))
        terms.append(psi - psi_x - psi_y)
    found: Tensor = torch.cat(terms).mean() + torch.log(torch.tensor(float(n), dtype=x.dtype, device=x.device))
    return found
