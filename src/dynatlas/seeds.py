"""Named random streams: what shares a key shares its draws, and nothing else does.

A stream is named by (base seed, study, purpose, seed). Conditions of one seed are paired because they ask for the same
purpose ("task", "evaluation", "initialisation"); independence is had by naming another. There is no global state.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

FIRST_LEDGER_SEED = 100
"""Seeds below this are for developing; the ledger's verdicts come from seeds from here on."""


def stream_key(base: int, study: str, purpose: str, seed: int) -> int:
    """The 64-bit key of a named stream (SHA-256 of its name)."""
    name = f"{base}/{study}/{purpose}/{seed}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "little")


def numpy_stream(base: int, study: str, purpose: str, seed: int) -> np.random.Generator:
    """A fresh numpy generator at the start of the named stream."""
    import numpy as np

    return _numpy_generator()(np.random.PCG64(stream_key(base, study, purpose, seed)))


@functools.cache
def _numpy_generator() -> type[np.random.Generator]:
    import numpy as np

    class Generator(np.random.Generator):
        """numpy's own, which no weak reference can be made to, as one that they can: see `jobs.Streams`."""

    return Generator


def torch_stream(base: int, study: str, purpose: str, seed: int, device: str = "cpu") -> torch.Generator:
    """A fresh torch generator at the start of the named stream.

    The bits depend on the kind of device: a stream on "cuda" is another one than on "cpu".
    """
    import torch

    return torch.Generator(device=device).manual_seed(stream_key(base, study, purpose, seed))


def seed_list(count: int, *, dev: bool = False) -> list[int]:
    """The first `count` seeds of the ledger (from 100), or of development (from 0)."""
    if count < 1:
        raise ValueError(f"seeds: {count}: at least one seed is needed")
    first = 0 if dev else FIRST_LEDGER_SEED
    return list(range(first, first + count))
