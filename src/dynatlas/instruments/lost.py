"""Members of an ensemble that were lost, since they diverged or answer every input alike, beside those to be measured.

An instrument refuses what is not finite and clouds of a single point; one such member would end the measure of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan

import torch
from torch import Tensor


def measurable(clouds: Sequence[Tensor]) -> Tensor:
    """(member,): all layers (member, example, unit) are finite, and none is the same for all inputs."""
    finite = [cloud.isfinite().flatten(1).all(dim=1) for cloud in clouds]
    spread = [(cloud != cloud[:, :1]).flatten(1).any(dim=1) for cloud in clouds]
    return torch.stack([*finite, *spread]).all(dim=0)


def measure_kept(
    kept: Tensor, names: Sequence[str], measure: Callable[..., Mapping[str, Tensor]], *clouds: Tensor
) -> dict[str, Tensor]:
    """What `measure` finds under `names` in the members that are `kept`, float64 (member,); NaN for the others.

    `measure` is given the clouds (member, example, unit) of those that are kept, and called only where there are any.
    """
    found = measure(*(cloud[kept] for cloud in clouds)) if bool(kept.any()) else {}
    whole = {name: torch.full(kept.shape, nan, dtype=torch.float64, device=kept.device) for name in names}
    for name in names if found else ():
        whole[name][kept] = found[name].to(whole[name])
    return whole
