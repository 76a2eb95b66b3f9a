"""From a cell, given as a step, to its states and Jacobians along a sequence.

A cell is a function `step(params, x, s) -> s'` of an input x (n_in,) and a state s (d,), or an object with such a
method. Where it also has `jacobian(params, x, s) -> (s', J)`, row = output, that is used, else torch.func; both methods
then take any leading axes, and parameters that carry the same ones or broadcast against them, and several threads may
call `jacobian` at once. Optional attributes are `n_in`, `state_size` (else `units`) and `hidden_size`: how many leading
entries of the state are hidden units (the others are memory cells).

A cell that has both may also have `rollout(params, x, state0=s)`: all states (network, T, sequence, d) at once for x
(network, T, sequence, n_in). For a few exponents of many units, a cell may do without matrices: `slopes(params, x, s)`
gives tensors with the leading axes of x and s, and `carry(params, slopes, v)` the vectors J v of one step, for v
(network, sequence, k, d). A cell whose Jacobian adds what is small to what is large has `factors(params, x, s)`:
matrices (..., d, d), the first to be applied first, whose product is J and which lose nothing (`lyapunov_frame`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dynatlas.instruments.given import whole
from dynatlas.instruments.lyapunov_frame import Dense, Tangents

Step = Callable[[Any, Any, Tensor], Tensor]
_ALONE = threading.Lock()
"""torch.func's levels are shared by all threads."""


@dataclass
class Orbits:
    """States of networks x sequences, moved along by their cell; hands out the Jacobians of the steps that it takes."""

    cell: Any
    params: Mapping[str, Tensor]
    """Leading axis network; empty for a cell without parameters."""
    inputs: Tensor | None
    """(network, T, sequence, n_in), or None where nothing comes in."""
    state: Tensor
    """(network, sequence, d)."""
    kept: int
    """The leading entries of the state whose Jacobian is wanted."""
    steps: int
    """T."""
    time: int = 0
    states: Tensor | None = None
    """(network, T, sequence, d): those before each step, where they are known already."""

    @classmethod
    def of(
        cls,
        cell: Any,
        params: Mapping[str, Tensor] | None,
        inputs: Tensor | None,
        *,
        state0: Tensor | None,
        steps: int | None,
        state: str,
        dtype: torch.dtype,
    ) -> Orbits:
        """All networks on all sequences, from the arguments of `lyapunov_spectrum`; ValueError if they do not fit."""
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype = {dtype}: exponents are computed in float32 or float64")
        steps = None if steps is None else whole(steps, "steps")
        params = {name: tensor.detach().to(dtype) for name, tensor in (params or {}).items()}
        members = next(iter(params.values())).shape[0] if params else _members_without_params(inputs, state0)
        start = _first_state(cell, params, inputs, state0, members).detach().to(dtype)
        inputs = _inputs(cell, inputs, start, steps)
        if state not in ("full", "hidden"):
            raise ValueError(f"state = {state!r}: wanted is 'full' or 'hidden'")
        kept = start.shape[-1] if state == "full" else int(getattr(cell, "hidden_size", start.shape[-1]))
        total = steps if inputs is None else inputs.shape[1]
        return cls(cell, params, inputs, start, kept, int(total or 0))

    def part(self, networks: slice) -> Orbits:
        """These networks alone."""
        params = {name: tensor[networks] for name, tensor in self.params.items()}
        inputs = None if self.inputs is None else self.inputs[networks]
        states = None if self.states is None else self.states[networks]
        return replace(self, params=params, inputs=inputs, state=self.state[networks], states=states)

    def foreseen(self) -> Orbits:
        """The same with all states known: networks are run together and measured one by one."""
        if not hasattr(self.cell, "jacobian"):
            return self
        if self.inputs is None or not hasattr(self.cell, "rollout"):
            return replace(self, states=replace(self)._run(self.steps)[1])
        after = self.cell.rollout(self.params, self.inputs, state0=self.state)
        return replace(self, states=torch.cat([self.state[:, None], after[:, :-1]], dim=1))

    def tangents(self, count: int, *, few: bool, transposed: bool) -> Tangents:
        """The linear maps of the next `count` steps; `few`: less than the whole frame is to be carried."""
        if few and not transposed and self.kept == self.state.shape[-1] and hasattr(self.cell, "carry"):
            slopes = [slope.unflatten(1, (count, -1)).unbind(1) for slope in self.cell.slopes(*self._at(count))]
            return _Implicit(self.cell, self.params, list(zip(*slopes, strict=True)), self.state.shape[0])
        if transposed or self.kept < self.state.shape[-1] or not hasattr(self.cell, "factors"):
            return Dense(self.jacobians(count), transposed)
        at = self._at(count)
        return Dense(self._stepwise(self.cell.jacobian(*at)[1], count), factorised=lambda: self._factors(at, count))

    def jacobians(self, count: int) -> Tensor:
        """Of the next `count` steps, (step, network x sequence, d, d)."""
        if hasattr(self.cell, "jacobian"):
            return self._stepwise(self.cell.jacobian(*self._at(count))[1], count)
        with _ALONE:
            return self._stepwise(self._automatic(count), count)

    def _stepwise(self, matrices: Tensor, count: int) -> Tensor:
        """(network, step x sequence, d, d) -> (step, network x sequence, kept, kept)."""
        found = matrices.unflatten(1, (count, -1)).transpose(0, 1)
        # in memory as they are multiplied, transposed, whatever the number of networks: products round as layout has it
        return found[..., : self.kept, : self.kept].mT.flatten(1, 2).contiguous().mT

    def _factors(self, at: tuple[Mapping[str, Tensor], Tensor | None, Tensor], count: int) -> list[Tensor]:
        return [self._stepwise(factor, count) for factor in self.cell.factors(*at)]

    def _at(self, count: int) -> tuple[Mapping[str, Tensor], Tensor | None, Tensor]:
        """Parameters, inputs and states of the next steps, (network, step x sequence, ...): one product a network."""
        x, before = self._run(count)
        params = {name: tensor[:, None] for name, tensor in self.params.items()}
        return params, None if x is None else x.flatten(1, 2), before.flatten(1, 2)

    def _next_inputs(self, count: int) -> Tensor | None:
        """(network, step, sequence, n_in)."""
        self.time += count
        return None if self.inputs is None else self.inputs[:, self.time - count : self.time]

    def _run(self, count: int) -> tuple[Tensor | None, Tensor]:
        """Inputs of the next steps, and the states before them, (network, step, sequence, ...)."""
        params = {name: tensor[:, None] for name, tensor in self.params.items()}
        x, before = self._next_inputs(count), []
        if self.states is not None:
            return x, self.states[:, self.time - count : self.time]
        for t in range(count):
            before.append(self.state)
            self.state = self.cell.step(params, None if x is None else x[:, t], self.state)
        return x, torch.stack(before, dim=1)

    def _automatic(self, count: int) -> Tensor:
        x = self._next_inputs(count)
        step: Step = getattr(self.cell, "step", self.cell)
        params = dict(self.params)
        of_network = dict.fromkeys(params, 0)

        def over_rows(function: Step, inner: int | None, outer: int | None) -> Step:
            rows = torch.func.vmap(function, in_dims=(None, inner, 0))
            return torch.func.vmap(rows, in_dims=(of_network, outer, 0))

        given = None if x is None else 0
        advance = over_rows(step, given, given)
        before = []
        for t in range(count):
            before.append(self.state)
            self.state = advance(params, None if x is None else x[:, t], self.state)
        states = torch.stack(before, dim=1).flatten(1, 2)
        inputs = None if x is None else x.flatten(1, 2)
        found = over_rows(torch.func.jacrev(step, argnums=2), given, given)(params, inputs, states)
        return found


@dataclass(frozen=True)
class _Implicit:
    """Steps whose Jacobians are never made."""

    cell: Any
    params: Mapping[str, Tensor]
    slopes: Sequence[Sequence[Tensor]]
    """Of each step."""
    members: int

    def __len__(self) -> int:
        return len(self.slopes)

    def carry(self, vectors: Tensor, start: int, stop: int) -> Tensor:
        carried = vectors.unflatten(0, (self.members, -1))
        for slopes in self.slopes[start:stop]:
            carried = self.cell.carry(self.params, slopes, carried)
        return carried.flatten(0, 1)

    def pieces(self, step: int) -> Sequence[Tensor]:
        """None are known."""
        return []


def _members_without_params(inputs: Tensor | None, state0: Tensor | None) -> int:
    for given, axes in ((state0, 3), (inputs, 4)):
        if given is not None and given.dim() == axes:
            return int(given.shape[0])
    return 1


def _first_state(
    cell: Any, params: Mapping[str, Tensor], inputs: Tensor | None, state0: Tensor | None, members: int
) -> Tensor:
    """(network, sequence, d)."""
    if state0 is None:
        like = next(iter(params.values())) if params else torch.zeros((), dtype=torch.float64)
        return like.new_zeros(members, 1 if inputs is None else inputs.shape[-2], _state_size(cell))
    if state0.dim() not in (2, 3) or (state0.dim() == 3 and state0.shape[0] != members):
        raise ValueError(f"state0 must be (sequence, d) or ({members}, sequence, d), not {tuple(state0.shape)}")
    return state0.expand(members, *state0.shape[-2:])


def _inputs(cell: Any, inputs: Tensor | None, start: Tensor, steps: int | None) -> Tensor | None:
    """(network, T, sequence, n_in), or None for an autonomous cell that takes no input."""
    members, sequences, _ = start.shape
    if inputs is None:
        if steps is None or steps < 1:
            raise ValueError(f"steps = {steps}: without inputs, say for how many steps the system runs")
        n_in = int(getattr(cell, "n_in", 0))
        return start.new_zeros(1).expand(members, steps, sequences, n_in) if n_in else None
    if steps is not None and steps != inputs.shape[-3]:
        raise ValueError(f"steps = {steps}, but inputs have {inputs.shape[-3]}; give one of them")
    fits = inputs.dim() in (3, 4) and inputs.shape[-2] == sequences
    if not fits or (inputs.dim() == 4 and inputs.shape[0] != members):
        raise ValueError(
            f"inputs must be ({members}, T, {sequences}, n_in) or (T, {sequences}, n_in), not {tuple(inputs.shape)}"
        )
    return inputs.detach().to(start).expand(members, *inputs.shape[-3:])


def _state_size(cell: Any) -> int:
    """d of a cell that says it; ValueError where neither the cell nor a first state does."""
    for name in ("state_size", "units"):
        if hasattr(cell, name):
            return int(getattr(cell, name))
    raise ValueError("how large the state is cannot be seen from this cell: give state0 (network, sequence, d)")
