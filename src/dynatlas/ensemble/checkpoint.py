"""A long loop's own record on disk: written whole or not at all, refused unless it is exactly the expected one."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dynatlas.artefacts import ArtefactError, read_run, write_run

Stream = torch.Generator | np.random.Generator
"""A random stream whose state belongs to a checkpoint."""


def describe(*parts: object) -> str:
    """A digest of everything that a checkpoint must agree on; tensors count bit by bit."""
    plain = json.dumps(parts, default=_plain, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def _plain(part: object) -> object:
    if isinstance(part, Tensor):
        raw = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return [str(part.dtype), list(part.shape), hashlib.sha256(raw).hexdigest()]
    if isinstance(part, np.ndarray):
        return [str(part.dtype), list(part.shape), hashlib.sha256(part.tobytes()).hexdigest()]
    if hasattr(part, "__dataclass_fields__"):
        fields = {name: getattr(part, name) for name in part.__dataclass_fields__}
        return [type(part).__qualname__, fields]
    if callable(part) and hasattr(part, "__qualname__"):  # its text would hold an address, new in each process
        return f"{part.__module__}.{part.__qualname__}"
    return sorted(part) if isinstance(part, frozenset) else str(part)


def save(
    path: Path, *, key: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any], streams: Sequence[Stream]
) -> None:
    """Write a checkpoint: named tensors, plain values, and the state of every random stream.

    Raises ArtefactError naming the file if the disk is full or the folder cannot be written.
    """
    states = {f"stream/{i}": s.get_state() for i, s in enumerate(streams) if isinstance(s, torch.Generator)}
    others = {str(i): s.bit_generator.state for i, s in enumerate(streams) if isinstance(s, np.random.Generator)}
    settings = {"values": dict(values), "streams": others}
    write_run(path, {"key": key, "seeds": [], "settings": json.loads(json.dumps(settings))}, {**tensors, **states})


def load(path: Path, *, key: str, streams: Sequence[Stream]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and values of a checkpoint, its streams set back to where they were; None to begin anew.

    A checkpoint that is damaged or was made by another loop (another `key`) is removed, with a line on standard error.
    """
    if not path.exists():
        return None
    try:
        run = read_run(path, key=key)
    except (ArtefactError, KeyError, ValueError) as error:
        print(f"checkpoint discarded, beginning anew: {error}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        return None
    for i, stream in enumerate(streams):
        if isinstance(stream, torch.Generator):
            stream.set_state(run[f"stream/{i}"].cpu())
        else:
            stream.bit_generator.state = run.settings["streams"][str(i)]
    tensors = {name: run[name] for name in run if not name.startswith("stream/")}
    return tensors, run.settings["values"]
