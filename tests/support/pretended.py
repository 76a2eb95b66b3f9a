"""A second device on a machine without one: tensors that lie on the CPU and say that they lie elsewhere.

    with pretended_device() as device:
        outputs = model.rollout({name: tensor.to(device) for name, tensor in params.items()}, x.to(device))

Everything torch is asked for goes through: moving between the devices is moving, whatever else takes tensors of both is
refused (also what a GPU lets pass: a single number, or places to look up, on the CPU), and so is a generator of one
device for a tensor of the other. What is computed has the CPU's bits. torch's own `meta` device would let a product of
both pass, and knows no values, so that no check of a value could stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("lazy", 0)
"""A kind of device that torch knows by name only. (Backward passes of the others want their drivers.)"""
SINGULAR_VALUES = {torch.linalg.svdvals, torch.linalg.matrix_norm}
"""Of a subclass of its tensors, and while it is watched, torch finds them with the vectors, and rounds otherwise."""
MOVES = {"_to_copy", "copy_"}


class DeviceMixture(RuntimeError):
    """An operation was given tensors, or a tensor and a generator, of two devices."""


class Stream(Generator):
    """A generator of the pretended device; its draws are those of the CPU's."""

    @property
    def device(self) -> torch.device:
        """The pretended device."""
        return DEVICE


class Pretended(Tensor):
    """A tensor of the pretended device; `held` has its values, with the same shape and strides."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretended:
        """A tensor without values of its own."""
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made: Pretended = Tensor._make_wrapper_subclass(cls, held.shape, **layout, dtype=held.dtype, device=DEVICE)
        return made

    def __init__(self, held: Tensor):
        self.held = held

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """As under `pretended_device`, where that is left."""
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What one operation of torch gives, on the device where a GPU would have put it."""
    there = [isinstance(leaf, Pretended) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    operation = func._schema.name.partition("::")[2]
    if len(set(there)) > 1 and operation not in MOVES:
        raise DeviceMixture(f"{operation}: some tensors are on the CPU, others on {DEVICE}")
    stays = there[0] if operation == "copy_" else any(there)
    wanted = kwargs.get("device")
    stays = stays if wanted is None else torch.device(wanted).type == DEVICE.type
    on_cpu, asked = tree_map_only(Pretended, lambda tensor: tensor.held, (args, dict(kwargs)))
    if wanted is not None:
        asked["device"] = torch.device("cpu")
    found = func(*on_cpu, **asked)
    found = tree_map_only(Tensor, Pretended, found) if stays else found
    return return_and_correct_aliasing(func, args, kwargs, found) if any(there) else found


def _there(index: Any) -> Any:
    """Places to look up, lists of which torch itself moves to where the tensor is."""
    if isinstance(index, tuple):
        return tuple(_there(part) for part in index)
    return torch.tensor(index).to(DEVICE) if isinstance(index, list) else index


class _Operations(TorchDispatchMode):
    """Sees operations that take no tensor, too: those that make one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Sees calls as they are written, with the generators that they name."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            return args[0].held.tolist()  # torch knows this of no subclass
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], Pretended):
            args = (args[0], _there(args[1]), *args[2:])
        if func in SINGULAR_VALUES and not args[0].requires_grad:
            with _disable_current_modes():
                there = isinstance(args[0], Pretended)
                found = func(args[0].held if there else args[0], *args[1:], **kwargs)
                return Pretended(found) if there else found
        if func is Tensor.new_tensor:
            func, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            rest = {name: value for name, value in kwargs.items() if name != "device"}
            return func(*args, **rest).to(kwargs["device"])  # torch copies the values past all modes
        generator = kwargs.get("generator")
        if generator is not None:
            of = next((given for given in args if isinstance(given, Tensor)), None)
            device = torch.device(kwargs.get("device") or "cpu") if of is None else of.device
            if generator.device.type != device.type:
                raise DeviceMixture(f"{func.__name__}: a generator of {generator.device} for a tensor on {device}")
        return func(*args, **kwargs)


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Within, tensors may be made on and moved to the device that is given, as if it were there.

    torch computes with one thread: in another, nothing of this holds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _Calls(), _Operations():
            yield DEVICE
    finally:
        torch.set_num_threads(threads)


@contextmanager
def jobs_on_device() -> Iterator[None]:
    """Within, steps that compute give studies a job on the pretended device, whose streams there are the CPU's."""
    from dynatlas import jobs
    from dynatlas.steps import compute

    def torch_stream(base: int, study: str, purpose: str, seed: int, device: str = "cpu") -> Generator:
        drawn = streams(base, study, purpose, seed)
        return Stream().manual_seed(drawn.initial_seed()) if device == str(DEVICE) else drawn

    streams, job_of = jobs.torch_stream, compute.job_of
    jobs.torch_stream = torch_stream
    compute.job_of = lambda *of: replace(job_of(*of), device=str(DEVICE))
    try:
        with pretended_device():
            yield
    finally:
        jobs.torch_stream, compute.job_of = streams, job_of


def values(found: Any) -> Any:
    """The same tree with tensors of the pretended device as what they hold; ValueError for one of the CPU."""

    def held(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Pretended):
            raise ValueError(f"on the CPU: shape {tuple(tensor.shape)}")
        return tensor.held

    return tree_map_only(Tensor, held, found)


def same_there(compute: Callable[..., Any], *given: Any) -> None:
    """Assert that `compute(*given)` is, on the pretended device, all there, and has the bits that it has on the CPU.

    `given` and what is found are trees of tensors: dicts, lists, tuples.
    """
    here = compute(*given)
    with pretended_device() as device:
        found = compute(*tree_map_only(Tensor, lambda tensor: tensor.to(device), given))
    expected, ours = tree_leaves(here), tree_leaves(values(found))
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
