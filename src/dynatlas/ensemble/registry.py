"""Every optimiser of the wing by name: for contract suites and command lines, never for studies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dynatlas.ensemble.optimisers import SGD, Adam, AdamW, Optimiser

OPTIMISERS: dict[str, Callable[..., Optimiser]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adam": Adam,
    "adamw": AdamW,
}
"""Each takes `lr` and `weight_decay`, a number or (member,)."""
