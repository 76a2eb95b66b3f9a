"""Any torch module as an ensemble: parameters stacked on a member axis, the forward pass through vmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.conv import _ConvNd

from dynatlas.ensemble.parameters import Params


class ModuleEnsemble:
    """Several modules of one architecture, run as one: `ensemble(ensemble.parameters, x)`.

    The modules give the initial parameters, buffers and the forward pass; none of them is changed. Raises ValueError
    for no modules, and for buffers that a forward pass would change (running statistics of batch norm).
    """

    def __init__(self, modules: Sequence[nn.Module]):
        if not modules:
            raise ValueError("an ensemble needs at least one module")
        running = [name for name, part in modules[0].named_modules() if getattr(part, "track_running_stats", False)]
        if running:
            raise ValueError(
                f"running statistics cannot be shared by an ensemble: {', '.join(running)}; "
                "use track_running_stats=False or group norm"
            )
        self._template = modules[0]
        convolves = any(isinstance(part, _ConvNd) for part in modules[0].modules())
        self._together = 1 if convolves else None  # grouped convolutions round as the number of groups has it
        parameters, self.buffers = stack_module_state(list(modules))
        self.parameters: Params = {name: tensor.detach() for name, tensor in parameters.items()}

    def __call__(self, parameters: Params, *inputs: Tensor, shared: bool = True) -> Any:
        """The outputs of every member, leading axis member.

        The inputs are the same for all members, or with `shared=False` carry the leading axis member. Random layers
        (dropout) raise, since they would draw from torch's global generator.
        """

        def run(own: Params, buffers: dict[str, Tensor], *given: Tensor) -> Any:
            return functional_call(self._template, (own, buffers), given)

        if shared:  # else a product would take all members' weights for one matrix, and round as their number has it
            inputs = tuple(given.expand(len(next(iter(parameters.values()))), *given.shape) for given in inputs)
        together = vmap(run, randomness="error", chunk_size=self._together)
        return together(parameters, self.buffers, *inputs)

    def member(self, parameters: Params, index: int) -> dict[str, Tensor]:
        """The `state_dict` of one member: what `load_state_dict` of an ordinary module takes."""
        state = {**parameters, **self.buffers}
        return {name: torch.clone(tensor[index]) for name, tensor in state.items()}
