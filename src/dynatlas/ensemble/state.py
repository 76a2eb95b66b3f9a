"""What changes while an ensemble learns: all that a checkpoint holds beside the random streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dynatlas.ensemble.optimisers import State


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
    optimiser: State
    diverged_at: Tensor
    stopped_at: Tensor
    step: int = 0
    noted: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    crossed_at: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)

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
        found = {"flat": self.flat, "diverged_at": self.diverged_at, "stopped_at": self.stopped_at}
        found |= {f"optimiser|{name}": tensor for name, tensor in self.optimiser.items()}
        found |= {f"crossed|{name}": tensor for name, tensor in self.crossed_at.items()}
        found |= {f"kept|{name}": tensor for name, tensor in self.kept.items()}
        for name, rows in self.values.items():
            found |= {f"values|{name}|{key}": torch.stack(row) for key, row in rows.items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor], step: int, noted: Mapping[str, list[int]]) -> None:
        """Take up what `tensors` gave."""
        self.step, self.noted = step, {name: list(steps) for name, steps in noted.items()}
        device = self.flat.device
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("|")
            if kind == "flat":
                self.flat.copy_(tensor)
            elif kind == "optimiser":
                self.optimiser[rest].copy_(tensor)
            elif kind == "values":
                watch, _, key = rest.partition("|")
                self.values.setdefault(watch, {})[key] = list(tensor.to(device))
            elif kind == "crossed":
                self.crossed_at[rest] = tensor.to(device)
            elif kind == "kept":
                self.kept[rest] = tensor.to(device)
            else:
                setattr(self, name, tensor.to(device))
