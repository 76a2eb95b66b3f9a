"""Whether modules are alike in all but the numbers of their parameters and buffers, and where they are not."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

_BASE = frozenset(vars(nn.Module())) - {"training", "_non_persistent_buffers_set"}
_OF_VALUES = tuple(kind.__eq__ for kind in (int, float, complex, str, bytes, bytearray, set, frozenset))
"""How plain values are compared: what inherits it is one, whatever attributes it has besides."""
Seen = set[tuple[int, int]]


def check_alike(modules: Sequence[nn.Module]) -> None:
    """Raise ValueError naming the first difference between the first module and another, and what to do about it."""
    for member, module in enumerate(modules[1:], start=1):
        for difference in () if module is modules[0] else _differences(modules[0], module):
            raise ValueError(
                f"modules 0 and {member} differ in {difference}; members of an ensemble may differ in the values of "
                "parameters and buffers alone: make it a buffer (register_buffer), or build an ensemble for each"
            )


def aliases(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer, and the name that it stands under first (another one where it is tied)."""
    first: dict[int, str] = {}
    every = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def _differences(one: nn.Module, other: nn.Module) -> Iterator[str]:
    """What is not alike, named with both values."""
    parts, twins = dict(one.named_modules()), dict(other.named_modules())
    if list(parts) != list(twins):
        lone = sorted(set(parts) ^ set(twins))
        yield f"their parts: {', '.join(lone) or 'the order'}"
        return
    seen = {(id(part), id(twins[name])) for name, part in parts.items()}
    for name, part in parts.items():
        kinds = [type_before_parametrizations(each) for each in (part, twins[name])]
        if kinds[0] is not kinds[1]:
            yield f"{name or 'their class'}: {kinds[0].__name__} and {kinds[1].__name__}"
            return
        yield from _unlike_attributes(name, part, twins[name], seen)
    if aliases(one) != aliases(other):
        yield f"the names or ties of their tensors: {sorted(set(aliases(one).items()) ^ set(aliases(other).items()))}"
        return
    yield from _unlike_tensors(one, other)


def _unlike_attributes(name: str, part: nn.Module, twin: nn.Module, seen: Seen) -> Iterator[str]:
    own, others = _attributes(part), _attributes(twin)
    for key in dict.fromkeys((*own, *others)):
        where = f"{name}.{key}" if name else key
        if key not in own or key not in others:
            yield f"{where}, which one of them has not"
        elif not _same(own[key], others[key], seen):
            yield f"{where}: {_short(own[key])} and {_short(others[key])}"


def _attributes(part: nn.Module) -> dict[str, Any]:
    """What a forward pass may read beside tensors, and the hooks that change what it gives."""
    hooks = {key: list(getattr(part, key).values()) for key in ("_forward_hooks", "_forward_pre_hooks")}
    return {key: value for key, value in vars(part).items() if key not in _BASE} | hooks


def _unlike_tensors(one: nn.Module, other: nn.Module) -> Iterator[str]:
    twins = dict((*other.named_parameters(), *other.named_buffers()))
    for name, tensor in (*one.named_parameters(), *one.named_buffers()):
        kinds = [(tuple(t.shape), t.dtype, t.device, t.requires_grad) for t in (tensor, twins[name])]
        for what, a, b in zip(("shape", "type", "device", "requires_grad"), *kinds, strict=True):
            if a != b:
                yield f"the {what} of {name}: {a} and {b}"


def _same(a: Any, b: Any, seen: Seen) -> bool:
    """Whether a forward pass could not tell the two apart."""
    if a is b or (id(a), id(b)) in seen:
        return True
    if type(a) is not type(b):
        return False
    seen = seen | {(id(a), id(b))}
    if isinstance(a, Tensor):
        return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) and _equal(a.detach(), b.detach())
    if isinstance(a, np.ndarray):
        return (a.shape, a.dtype) == (b.shape, b.dtype) and bool(np.all((a == b) | ((a != a) & (b != b))))
    if type(a).__eq__ in _OF_VALUES and not (bool(a == b) or bool(a != a and b != b)):  # NaN is the same as NaN
        return False
    if isinstance(a, Mapping) and not (
        a.keys() == b.keys() and all(_same(own, b[key], seen) for key, own in a.items())
    ):
        return False
    if isinstance(a, list | tuple) and not (len(a) == len(b) and all(map(_same, a, b, [seen] * len(a)))):
        return False
    inside = _inside(a)
    if inside is not None:
        return _same(inside, _inside(b), seen)
    return isinstance(a, Mapping | list | tuple) or bool(a == b) or bool(a != a and b != b)


def _inside(value: Any) -> Any:
    """What makes a function or an object what it is; None for plain values."""
    if isinstance(value, types.FunctionType):
        cells = [_held(cell) for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, type | types.ModuleType) or not hasattr(value, "__dict__"):
        return None
    slots = (name for kind in type(value).__mro__ for name in _listed(vars(kind).get("__slots__", ())))
    return {
        name: getattr(value, name) for name in slots if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    } | vars(value)


def _listed(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _held(cell: types.CellType) -> Any:
    """What a closure holds; nothing where a name has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _equal(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _short(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
