"""A forward pass of a module under vmap: as a pure function, with parts silenced, or a reason why it cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from dynatlas.names import named

_ABSENT = object()
_UNLIKE_SHAPES = re.compile(r"cannot be multiplied|batch2 tensor|inconsistent tensor size|size mismatch")
_TABLES = frozenset(vars(nn.Module()))
"""Where torch keeps parts, parameters, buffers and hooks: what functional calls swap, and no state of a module."""


class Pure(nn.Module):
    """A module whose forward pass leaves no trace: ValueError where buffers or attributes come out changed."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self._parts = [(f"{name}." if name else "", part) for name, part in module.named_modules()]

    def forward(self, *given: Any) -> Any:
        """What the module gives."""
        before = self._kept()
        output = self.module(*given)
        after = self._kept()
        changed = [name for name in {**before, **after} if _unlike(before.get(name, _ABSENT), after.get(name, _ABSENT))]
        if changed:
            raise ValueError(self.refusal(changed))
        return output

    def _kept(self) -> dict[str, Any]:
        """What parts keep from call to call, by name; of lists, tuples and dicts what is in them now."""
        return {
            before + key: _now(value)
            for before, part in self._parts
            for own in (part._buffers, vars(part))
            for key, value in own.items()
            if key not in _TABLES
        }

    @staticmethod
    def refusal(changed: list[str]) -> str:
        """The message."""
        return (
            f"the forward pass changes {', '.join(changed)}: what one call leaves would change the next; hand it back "
            "as an output and in again as an input, or freeze it (.eval() where that is enough)"
        )


def _now(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [*value.keys(), *(_now(one) for one in value.values())]
    return [_now(one) for one in value] if isinstance(value, list | tuple) else value


def _unlike(before: Any, after: Any) -> bool:
    if isinstance(before, list) and isinstance(after, list):
        return len(before) != len(after) or any(map(_unlike, before, after))
    return before is not after


def check_batchable(module: nn.Module) -> None:
    """Raise ValueError for parts that cannot be run for all members at once, and say what can be done."""
    for name, part in module.named_modules():
        name = name or type(part).__name__
        if isinstance(part, nn.modules.lazy.LazyModuleMixin):
            raise ValueError(f"{name} ({type(part).__name__}) has no weights yet: run each module once first")
        if isinstance(part, nn.RNNBase | nn.LSTMCell):
            raise ValueError(
                f"{name} ({type(part).__name__}): torch cannot run these for several members at once; "
                "dynatlas.models.from_torch.recurrent_from_torch takes a list of them, and the network it gives can be "
                "trained by fit; or write the step out in forward"
            )
        if part.training and getattr(part, "track_running_stats", False):
            raise ValueError(
                f"running statistics cannot be shared by an ensemble: {name} ({type(part).__name__}); call .eval(), or "
                "use track_running_stats=False or group norm"
            )
    frozen = {name: not tensor.requires_grad for name, tensor in module.named_parameters()}
    if any(frozen.values()) and not all(frozen.values()):
        some = ", ".join(name for name, is_frozen in frozen.items() if is_frozen)
        raise ValueError(
            f"some parameters are frozen (requires_grad=False) and others not: {some}; an ensemble keeps no such mark: "
            "call .requires_grad_(True), and name those that learn in fit(trainable=[...])"
        )


@contextmanager
def masked(module: nn.Module, masks: Mapping[str, Tensor], ran: set[str]) -> Iterator[None]:
    """Within, what the named parts give is multiplied by their masks; `ran` collects the names of those that ran."""
    parts = {name or type(module).__name__: part for name, part in module.named_modules()} if masks else {}
    chosen = {name: named(parts, name, "layer") for name in masks}
    hooks = [part.register_forward_hook(partial(_silenced, name, masks[name], ran)) for name, part in chosen.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _silenced(name: str, mask: Tensor, ran: set[str], part: nn.Module, given: Any, output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise ValueError(f"layer {name!r} gives {type(output).__name__}, not a tensor: a mask needs another layer")
    trailing = zip(reversed(mask.shape), reversed(output.shape), strict=False)
    if mask.dim() > output.dim() or any(size not in (1, whole) for size, whole in trailing):
        raise ValueError(
            f"the mask of layer {name!r} is {tuple(mask.shape)} for each member, which does not fit what the layer "
            f"gives, {tuple(output.shape)}"
        )
    ran.add(name)
    return output * mask.to(output.dtype)


def advice(error: RuntimeError, module: nn.Module) -> str | None:
    """What vmap's error means for this module, and the way out; None for errors that are not vmap's."""
    text = str(error)
    if "random" in text:
        drawing = [name for name, part in module.named_modules() if part.training and getattr(part, "p", 0)]
        which = f" ({', '.join(drawing)})" if drawing else ""
        return (
            f"a random layer{which} would draw from torch's global generator: call .eval() on the modules before they "
            "become an ensemble, or draw the noise outside and give it as an input"
        )
    if "data-dependent" in text:
        return f"forward branches on the value of a tensor, which differs by member: take torch.where ({text})"
    if "atching rule not implemented" in text or "not yet support" in text:
        return (
            f"torch cannot run {type(module).__name__} for several members at once ({text}): call .eval() where the "
            "part at fault learns nothing, or write it out in products and elementwise functions"
        )
    if _UNLIKE_SHAPES.search(text):
        return (
            f"a part of {type(module).__name__} gets another shape than it takes ({text}): inputs have the axes that "
            "one module gets, (example, ...), and between convolutions and linear layers .flatten(1) is wanted"
        )
    return None
