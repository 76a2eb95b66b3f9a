"""Any torch module as an ensemble: parameters stacked on a member axis, the forward pass through vmap."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd

from dynatlas.ensemble.likeness import aliases, check_alike
from dynatlas.ensemble.module_call import Pure, advice, check_batchable, masked
from dynatlas.ensemble.parameters import Params


class ModuleEnsemble:
    """Several modules of one architecture, run as one: `ensemble(ensemble.parameters, x)`.

    The modules give the initial parameters, buffers and the forward pass; they are copied, and what happens to them
    later does not matter here. `parameters` and `buffers` are name -> (member, ...); a tied tensor stands there once.

    Raises ValueError for no modules; for modules that differ in anything but the values of parameters and buffers,
    naming what; for parts that torch cannot batch (`nn.LSTM`, `GRU`, `RNN`, `LSTMCell`: see `recurrent_from_torch`),
    running statistics in training mode, and modules of which some parameters are frozen and others not.
    """

    def __init__(self, modules: Iterable[nn.Module]):
        members = [modules] if isinstance(modules, nn.Module) and not isinstance(modules, nn.ModuleList) else modules
        members = list(members)
        if not members:
            raise ValueError("an ensemble needs at least one module")
        check_batchable(members[0])
        check_alike(members)
        self._pure = Pure(_copied(members[0]))
        self.parameters: Params = _stacked([dict(module.named_parameters()) for module in members])
        self.buffers: Params = _stacked([dict(module.named_buffers()) for module in members])
        self._members = len(members)
        self._versions = {name: tensor._version for name, tensor in self.buffers.items()}
        convolves = any(isinstance(part, _ConvNd) for part in members[0].modules())
        self._together = 1 if convolves else None  # grouped convolutions round as the number of groups has it

    def __call__(
        self, parameters: Params, *inputs: Any, shared: bool = True, masks: Mapping[str, Tensor] | None = None
    ) -> Any:
        """The outputs of every member, leading axis member.

        The inputs are the same for all members, or with `shared=False` carry the leading axis member; they are left
        as they are. `masks` silences units: name of a part, as in `named_modules()` -> a tensor (member, ...) that
        multiplies what this part gives, such as (member, unit) for a layer, or (member, channel, 1, 1) for images; 0
        clamps a unit, 1 leaves it (`instruments.perturb.random_lesions` draws such).

        Raises ValueError for parameters that are not those of the modules, random layers (dropout: call `.eval()`),
        a forward pass that changes buffers or attributes, and masks that do not fit or whose part does not run.
        """
        masks = dict(masks or {})
        self._check_given(parameters, inputs if not shared else (), masks)
        ran: set[str] = set()
        versions = {name: tensor._version for name, tensor in parameters.items()}

        def run(own: Params, buffers: Params, kept: Params, *given: Any) -> Any:
            state = {f"module.{name}": tensor for name, tensor in (own | buffers).items()}
            with masked(self._pure.module, kept, ran):
                return functional_call(self._pure, state, given)

        given = [_own(one, self._size(parameters) if shared else None) for one in inputs]
        axes = (0, 0, 0, *(0 if isinstance(one, Tensor) or not shared else None for one in inputs))
        batched = vmap(run, in_dims=axes, randomness="error", chunk_size=self._together)
        try:
            outputs = batched(dict(parameters), self.buffers, masks, *given)
        except RuntimeError as error:
            known = advice(error, self._pure.module)
            raise (ValueError(known) if known else error) from error
        self._check_after(masks, ran, [name for name, one in parameters.items() if one._version != versions[name]])
        return outputs

    def member(self, parameters: Params, index: int) -> dict[str, Any]:
        """The `state_dict` of one member, under all its names: what `load_state_dict` of an ordinary module takes."""
        self._check_given(parameters, (), {})
        module = self._pure.module
        first, state = aliases(module), parameters | self.buffers
        return {
            name: state[first[name]][index].clone() if name in first else copy.deepcopy(value)
            for name, value in module.state_dict().items()
        }

    def _check_given(self, parameters: Params, inputs: tuple[Any, ...], masks: Params) -> None:
        """Names are those of the modules; all leading axes are the same, and the buffers' where there are any."""
        if parameters.keys() != self.parameters.keys():
            odd = sorted(parameters.keys() ^ self.parameters.keys())
            what = ", ".join(f"{'missing' if name in self.parameters else 'unknown'} {name!r}" for name in odd)
            raise ValueError(f"parameters are not those of the modules: {what}; wanted are all of ensemble.parameters")
        members = self._size(parameters)
        given = parameters | {f"mask of {name}": mask for name, mask in masks.items()}
        given |= {f"input {at}": one for at, one in enumerate(inputs)}
        for name, tensor in given.items():
            if not isinstance(tensor, Tensor) or tensor.dim() == 0 or len(tensor) != members:
                found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise ValueError(f"{name} is {found}: its leading axis must be the {members} members")

    def _size(self, parameters: Params) -> int:
        """How many members the parameters are of; the buffers', where there are any."""
        return self._members if self.buffers or not parameters else len(next(iter(parameters.values())))

    def _check_after(self, masks: Params, ran: set[str], changed: list[str]) -> None:
        changed = changed + [name for name, own in self.buffers.items() if own._version != self._versions[name]]
        if changed:
            raise ValueError(Pure.refusal(changed))
        idle = [name for name in masks if name not in ran]
        if idle:
            raise ValueError(f"masks: {', '.join(idle)} did not run, so that nothing was silenced")


def _own(given: Any, members: int | None) -> Any:
    """A copy of a tensor, since a layer may write over its input; one for each of `members`, if they share it.

    Were the axis not there, a product would take all members' weights for one matrix, and round as their number has it.
    """
    if not isinstance(given, Tensor):
        return given
    return (given if members is None else given.expand(members, *given.shape)).clone()


def _stacked(trees: list[dict[str, Tensor]]) -> Params:
    return {name: torch.stack([tree[name].detach() for tree in trees]) for name in trees[0]}


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except RuntimeError as error:  # tensors with a history, such as the old weight_norm leaves
        raise ValueError(
            f"{type(module).__name__} cannot be copied ({error}); where this is weight or spectral norm, take those of "
            "torch.nn.utils.parametrizations"
        ) from error
