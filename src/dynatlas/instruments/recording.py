"""What happens inside a network that is not ours: the outputs of its parts, caught by hooks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dynatlas.names import named

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def record(module: nn.Module, *inputs: Any, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of parts of `module` while it computes `module(*inputs)`, by name, in the order in which they come.

    `layers` are names as in `named_modules()`; by default all parts that have no parts themselves (a module without
    any stands under its class's name). Of a part that gives a tuple, such as an LSTM, the first entry is kept. Tensors
    are detached and have the module's own shapes. The module is left as it was.

    Raises ValueError for a name that is not there (naming the nearest), a part that runs more than once or gives no
    tensor, active dropout, and batch norm in training mode.
    """
    parts = {name or type(module).__name__: part for name, part in module.named_modules()}
    leaves = [name for name, part in parts.items() if not list(part.children())]
    chosen = {name: named(parts, name, "layer") for name in (leaves if layers is None else layers)}
    for name, part in parts.items():
        _check_at_rest(name, part)
    found: dict[str, Tensor] = {}
    hooks = [part.register_forward_hook(partial(_keep, name, found)) for name, part in chosen.items()]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _keep(name: str, found: dict[str, Tensor], part: nn.Module, given: Any, output: Any) -> None:
    tensor = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(tensor, Tensor):
        raise ValueError(f"layer {name!r} gives {type(output).__name__}, not a tensor: name others in `layers`")
    if name in found:
        raise ValueError(f"layer {name!r} runs more than once: which output is wanted? Name others in `layers`")
    found[name] = tensor.detach()


def _check_at_rest(name: str, part: nn.Module) -> None:
    """What would make the outputs random, or change the module."""
    dropping = isinstance(part, _DROPOUTS) and part.p > 0
    between = isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1
    if part.training and (dropping or between or getattr(part, "track_running_stats", False)):
        raise ValueError(f"layer {name!r} ({type(part).__name__}) is in training mode: call .eval() first")
