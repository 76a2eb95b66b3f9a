"""What happens inside a network that is not ours: the outputs of its parts, caught by hooks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dynatlas.names import named

if TYPE_CHECKING:
    from collections.abc import Iterator

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def record(module: nn.Module, *inputs: Any, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of parts of `module` while it computes `module(*inputs)`, by name, in the order in which they come.

    `layers` are names as in `named_modules()`; by default all parts that have no parts themselves and do run (a module
    without any stands under its class's name). Of a part that gives a tuple, such as an LSTM, the first entry is kept.
    Tensors are detached copies, as the part gave them whatever a later one writes over them, in the module's own
    shapes and types: of images (point, channel, row, column), of which `.flatten(1)` makes a cloud. Module and inputs
    are left as they were.

    Raises ValueError for a name that is not there (naming the nearest) or does not run, a part that runs more than
    once or gives no tensor, anything random (active dropout), batch norm in training mode, and lazy parts.
    """
    if isinstance(layers, str):
        raise ValueError(f"layers = {layers!r}: wanted is a list of names, such as [{layers!r}]")
    parts = {name or type(module).__name__: part for name, part in module.named_modules()}
    leaves = [name for name, part in parts.items() if not list(part.children())]
    chosen = {name: named(parts, name, "layer") for name in (leaves if layers is None else layers)}
    for name, part in parts.items():
        _check_at_rest(name, part)
    found: dict[str, Tensor] = {}
    hooks = [part.register_forward_hook(partial(_keep, name, found)) for name, part in chosen.items()]
    try:
        with torch.no_grad(), _undone(module), _nothing_drawn():
            module(*(_copied(one) for one in inputs))
    finally:
        for hook in hooks:
            hook.remove()
    idle = [name for name in chosen if name not in found]
    if idle and layers is not None:
        raise ValueError(f"layers that did not run: {', '.join(idle)}; those that did: {', '.join(found) or 'none'}")
    return found


def _keep(name: str, found: dict[str, Tensor], part: nn.Module, given: Any, output: Any) -> None:
    first = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(first, Tensor):
        raise ValueError(f"layer {name!r} gives {type(first).__name__}, not a tensor: name others in `layers`")
    if name in found:
        raise ValueError(f"layer {name!r} runs more than once: which output is wanted? Name others in `layers`")
    found[name] = first.detach().clone()


def _copied(given: Any) -> Any:
    """Inputs that an in-place layer may write over."""
    if isinstance(given, Tensor):
        return given.clone()
    if isinstance(given, dict):
        copied = copy.copy(given)  # of its own class, with what else it carries
        copied.update({key: _copied(one) for key, one in given.items()})
        return copied
    if isinstance(given, tuple) and hasattr(given, "_fields"):
        return type(given)(*map(_copied, given))
    return type(given)(_copied(one) for one in given) if type(given) in (tuple, list) else given


@contextmanager
def _undone(module: nn.Module) -> Iterator[None]:
    """Parameters, buffers, their values and all attributes (lists and dicts among them) are what they were."""
    before = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    held = [one for _, attributes, _ in before for one in attributes.values() if type(one) in (list, dict)]
    holds = [(one, copy.copy(one)) for one in held]
    values = [(tensor, tensor.detach().clone()) for tensor in (*module.parameters(), *module.buffers())]
    try:
        yield
    finally:
        for part, attributes, buffers in before:
            for own, kept in ((vars(part), attributes), (part._buffers, buffers)):
                own.clear()
                own.update(kept)
        for one, kept in holds:
            one.clear()
            (one.update if isinstance(one, dict) else one.extend)(kept)
        for tensor, kept_values in values:
            if not torch.equal(tensor, kept_values):  # versions do not tell of what `.data` does; NaN is put back too
                tensor.detach().copy_(kept_values)


@contextmanager
def _nothing_drawn() -> Iterator[None]:
    """ValueError if numbers were drawn from torch's global generator, which is set back."""
    before = torch.get_rng_state()
    yield
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        raise ValueError(
            "the module draws random numbers: call .eval() first, or draw them outside and give them as an input"
        )


def _check_at_rest(name: str, part: nn.Module) -> None:
    """What would make the outputs random, or change the module."""
    if isinstance(part, nn.modules.lazy.LazyModuleMixin):
        raise ValueError(f"layer {name!r} ({type(part).__name__}) has no weights yet: run the module once first")
    dropping = isinstance(part, _DROPOUTS) and part.p > 0
    between = isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1
    if part.training and (dropping or between or getattr(part, "track_running_stats", False)):
        raise ValueError(f"layer {name!r} ({type(part).__name__}) is in training mode: call .eval() first")
