"""The numbers of a study at one scale, and what `=name` and `=name[axis]` in its declarations stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynatlas.config import ConfigError
from dynatlas.names import nearest

REFERENCE = re.compile(r"=(?P<name>[^\[\]]+)(?:\[(?P<axis>[^\[\]]+)\])?")
NO_AXES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Numbers:
    """What a study's `numbers:` and the block of one of its scales say together."""

    values: Mapping[str, Any]
    scale: str
    file: str
    """The study's yaml, which errors begin with."""

    def resolve(self, value: Any, where: str, axes: Mapping[str, Any] = NO_AXES) -> Any:
        """`value` with its references replaced, also inside lists and mappings; `axes` are one job's values.

        `=name` is the number, `=name[axis]` the entry of that number, a mapping, at the job's value of one of its axes.
        Raises ConfigError, beginning with the file and `where`, for a number, an axis or an entry that is not there.
        """
        if isinstance(value, list):
            return [self.resolve(item, where, axes) for item in value]
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{where}.{key}", axes) for key, item in value.items()}
        if not (isinstance(value, str) and value.startswith("=")):
            return value
        at = f"{self.file}: {where}: {value!r}"
        parts = REFERENCE.fullmatch(value)
        if parts is None:
            raise ConfigError(f'{at}: write "=number", or "=number[axis]" for its entry at an axis of `jobs:`')
        name, axis = parts["name"], parts["axis"]
        if name not in self.values:
            raise ConfigError(f"{at}: no number {name!r} at scale {self.scale}{nearest(name, self.values)}")
        return self.values[name] if axis is None else self._entry(name, axis, axes, at)

    def _entry(self, name: str, axis: str, axes: Mapping[str, Any], at: str) -> Any:
        number = self.values[name]
        if axis not in axes:
            raise ConfigError(f"{at}: no axis {axis!r} in `jobs:`{nearest(axis, axes)}")
        if not isinstance(number, dict):
            raise ConfigError(f'{at}: the number {name!r} is no mapping; write "={name}" for all of it')
        found = [entry for key, entry in number.items() if key == axes[axis]]
        if not found:
            hint = nearest(str(axes[axis]), map(str, number))
            raise ConfigError(f"{at}: the number {name!r} has no entry {axes[axis]!r} at scale {self.scale}{hint}")
        return found[0]
