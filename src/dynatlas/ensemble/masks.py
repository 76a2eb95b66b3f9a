"""Which tensors of which members learn, and how fast beside the others: factors on the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from dynatlas.ensemble.parameters import Params


def scaled_updates(factors: Mapping[str, Tensor]) -> Callable[[Params], Params]:
    """For `fit(project=...)`: the update of each named tensor times its factor (member,); 0 freezes it, 1 leaves it.

    A factor other than these is a ratio of learning rates. So members that learn different parts of the same network
    train in one stack. Tensors that are not named are left. The transform raises KeyError for one that is not there.
    """

    def scaled(update: Params) -> Params:
        changed = dict(update)
        for name, factor in factors.items():
            tensor = changed[name]
            changed[name] = tensor * factor.to(tensor).view(-1, *(1,) * (tensor.dim() - 1))
        return changed

    return scaled
