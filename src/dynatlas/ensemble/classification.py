"""Class labels and the networks' answers to them, for all members at once: cross-entropy and accuracy.

Axes: the leading one is the member, the last one of logits the class; what stands between (example; time and trial) is
averaged over, each with the same weight.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[y] in nats: logits (member, ..., class), classes y (member, ...), long -> (member,).

    It is torch's `cross_entropy`, member by member, in the type of the logits (whole numbers: in torch's default).
    Raises ValueError for labels of another shape.
    """
    logits = _checked(logits, y)
    each = torch.nn.functional.cross_entropy(logits.movedim(-1, 1), y, reduction="none")
    return _mean(each)


def cross_entropy_by_logsumexp(logits: Tensor, y: Tensor) -> Tensor:
    """The same number as `cross_entropy`, as log sum exp(logits) - logits[y]; shapes as there.

    Its gradient takes other roundings. Two studies were run with it (`dimensionality`, `adaptive-activation`) and keep
    it, since training enlarges a rounding; take `cross_entropy` for a new one.
    """
    logits = _checked(logits, y)
    right = logits.gather(-1, y[..., None]).squeeze(-1)
    return _mean(logits.logsumexp(dim=-1) - right)


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of places whose largest logit is the wanted one (the first of equal ones), float64.

    logits (member, ..., class), y (member, ...), or without the member axis where labels are the same for all members
    -> (member,). NaN logits are answered with the first NaN's class, as torch's argmax does.
    Raises ValueError for labels of another shape.
    """
    if y.shape != logits.shape[1:-1]:
        _checked(logits, y)
    return _mean((logits.argmax(dim=-1) == y).double())


def _checked(logits: Tensor, y: Tensor) -> Tensor:
    """The logits as real numbers; labels must have all their axes but the last."""
    if y.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels are {tuple(y.shape)}; wanted are those of logits {tuple(logits.shape)} without classes"
        )
    return logits if logits.is_floating_point() else logits.to(torch.get_default_dtype())


def _mean(each: Tensor) -> Tensor:
    """(member, ...) -> (member,)."""
    return each.mean(dim=tuple(range(1, each.dim()))) if each.dim() > 1 else each
