"""Tensors on another device, whatever holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def moved(held: T, device: str | torch.device) -> T:
    """The same tensor, dict, list, tuple, dataclass or `members.Group`, with all tensors within on `device`.

    What is no tensor, and tensors that are there already, are the very ones that were given.
    """
    found: Any = held
    if isinstance(held, torch.Tensor) or (isinstance(held, Mapping) and hasattr(held, "to")):
        found = held.to(device)
    elif isinstance(held, dict):
        found = {name: moved(part, device) for name, part in held.items()}
    elif isinstance(held, list | tuple):
        listed = [moved(part, device) for part in held]
        found = type(held)(*listed) if hasattr(held, "_fields") else type(held)(listed)
    elif dataclasses.is_dataclass(held) and not isinstance(held, type):
        found = dataclasses.replace(
            held, **{f.name: moved(getattr(held, f.name), device) for f in dataclasses.fields(held)}
        )
    return found
