"""What changes while an ensemble learns: all that a checkpoint holds beside the random streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Layout, Memory


@dataclass(frozen=True)
class Log:
    """What was noted along training: after how many updates, and the values with leading axes (noted, member)."""

    steps: Tensor
    values: Mapping[str, Tensor]

    def at(self, steps: Sequence[int]) -> dict[str, Tensor]:
        """Values after so many updates, leading axes (step, member): the last that were noted by then.

        So a log that ended early, as no member moved any more, has values at all steps. Raises ValueError for a step
        before the first note.
        """
        place = torch.searchsorted(self.steps, torch.tensor(list(steps)), right=True) - 1
        if bool((place < 0).any()):
            raise ValueError(f"steps {list(steps)}: notes begin at {self.steps[:1].tolist()}")
        return {name: value[place.to(value.device)] for name, value in self.values.items()}


@dataclass
class Learning:
    """The state of the loop after `step` updates; advanced in place."""

    flat: Tensor
    optimiser: Memory
    method: Memory
    diverged_at: Tensor
    stopped_at: Tensor
    step: int = 0
    watched: dict[str, Memory] = field(default_factory=dict)
    noted: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    crossed_at: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)
    settled: list[Rows] = field(default_factory=list)
    """Members that stand still, with what they had when they came to stand."""

    def note(self, name: str, measured: Mapping[str, Tensor]) -> None:
        """Write down what was measured now, under the name of its log."""
        self.noted.setdefault(name, []).append(self.step)
        for key, value in measured.items():
            self.values.setdefault(name, {}).setdefault(key, []).append(value.detach().clone())

    def log(self, name: str) -> Log:
        """All that was noted under a name."""
        values = {key: torch.stack(rows) for key, rows in self.values.get(name, {}).items()}
        return Log(torch.tensor(self.noted.get(name, []), dtype=torch.int64), values)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under flat names."""
        self.put_back()
        found = {"flat": self.flat, "diverged_at": self.diverged_at, "stopped_at": self.stopped_at}
        found |= {f"optimiser|{name}": tensor for name, tensor in self.optimiser.items()}
        found |= {f"method|{name}": tensor for name, tensor in self.method.items()}
        found |= {f"crossed|{name}": tensor for name, tensor in self.crossed_at.items()}
        found |= {f"kept|{name}": tensor for name, tensor in self.kept.items()}
        for watch, memory in self.watched.items():
            found |= {f"watched|{watch}|{name}": tensor for name, tensor in memory.items()}
        for name, rows in self.values.items():
            found |= {f"values|{name}|{key}": torch.stack(row) for key, row in rows.items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor], step: int, noted: Mapping[str, list[int]]) -> None:
        """Take up what `tensors` gave."""
        self.step, self.noted = step, {name: list(steps) for name, steps in noted.items()}
        for memory in (self.optimiser, self.method, *self.watched.values()):
            memory.clear()  # what was taken out stays out, and what grew is as large as it was
        for name, tensor in tensors.items():
            tensor = tensor.to(self.flat.device)
            kind, _, rest = name.partition("|")
            watch, _, key = rest.partition("|")
            if kind == "optimiser":
                self.optimiser[rest] = tensor
            elif kind == "method":
                self.method[rest] = tensor
            elif kind == "watched":
                self.watched[watch][key] = tensor
            elif kind == "values":
                self.values.setdefault(watch, {})[key] = list(tensor)
            elif kind == "crossed":
                self.crossed_at[rest] = tensor
            elif kind == "kept":
                self.kept[rest] = tensor
            else:
                setattr(self, name, tensor)

    def moments(self, layout: Layout) -> Mapping[str, Mapping[str, Tensor]]:
        """What the optimiser remembers of each parameter, as trees that view it."""
        return _Moments(self.optimiser, layout)

    def settle(self, active: Tensor) -> None:
        """Note what those have who are not `active` any more."""
        fresh = ~active
        for rows in self.settled:
            fresh[rows.members] = False
        members = fresh.nonzero()[:, 0]
        own = [{name: tensor[members] for name, tensor in memory.items()} for memory in (self.optimiser, self.method)]
        self.settled.append(Rows(members, self.flat[members], *own))

    def put_back(self) -> None:
        """Give members that stand still back what they had: optimiser and method go on with all of them.

        But for tensors that have another shape by now, as some memories grow.
        """
        for rows in self.settled:
            self.flat[rows.members] = rows.flat
            for memory, old in ((self.optimiser, rows.optimiser), (self.method, rows.method)):
                for name, tensor in memory.items():
                    if name in old and old[name].shape[1:] == tensor.shape[1:]:
                        memory[name] = tensor.index_copy(0, rows.members, old[name].to(tensor.dtype))


@dataclass(frozen=True)
class Rows:
    """All that some members have, leading axis of each tensor these members."""

    members: Tensor
    flat: Tensor
    optimiser: Memory
    method: Memory


@dataclass(frozen=True)
class _Moments(Mapping[str, Mapping[str, Tensor]]):
    """Trees of those tensors that hold a number for each parameter, made when they are asked for."""

    memory: Memory
    layout: Layout

    def __getitem__(self, name: str) -> Mapping[str, Tensor]:
        if name not in list(self):
            raise KeyError(f"no moment {name!r}; the optimiser remembers: {', '.join(self) or 'nothing'}")
        return MappingProxyType(self.layout.unpack(self.memory[name]))

    def __iter__(self) -> Iterator[str]:
        flat = (self.layout.members, self.layout.size)
        return iter([name for name, tensor in self.memory.items() if tuple(tensor.shape) == flat])

    def __len__(self) -> int:
        return len(list(iter(self)))
