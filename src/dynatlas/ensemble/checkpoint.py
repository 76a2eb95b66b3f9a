"""A long loop's own record on disk: written whole or not at all, refused unless it is exactly the expected one."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dynatlas.artefacts import ArtefactError, read_run, write_run
from dynatlas.jobs import Run

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
    if isinstance(part, Stream):  # its state is saved
        return type(part).__qualname__
    if callable(part) or type(part).__repr__ is object.__repr__:  # whose text holds an address, new in each process
        named = part if hasattr(part, "__qualname__") else type(part)
        return f"{named.__module__}.{named.__qualname__}"
    return sorted(part) if isinstance(part, frozenset) else str(part)


def save(
    path: Path, *, key: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any], streams: Mapping[str, Stream]
) -> None:
    """Write a checkpoint: named tensors, plain values, and the state of every random stream.

    Raises ArtefactError naming the file if the disk is full or the folder cannot be written.
    """
    states = {f"stream/{name}": s.get_state() for name, s in streams.items() if isinstance(s, torch.Generator)}
    others = {name: s.bit_generator.state for name, s in streams.items() if isinstance(s, np.random.Generator)}
    settings = {"values": dict(values), "streams": others}
    write_run(path, {"key": key, "seeds": [], "settings": json.loads(json.dumps(settings))}, {**tensors, **states})


def load(path: Path, *, key: str, streams: Mapping[str, Stream]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and values of a checkpoint, `streams` set back to where they were; None to begin anew.

    A checkpoint that is damaged, was made by another loop (another `key`), or does not know one of the streams is
    removed, with a line on standard error.
    """
    if not path.exists():
        return None
    try:
        run = read_run(path, key=key)
        states = {name: _state(run, name, stream) for name, stream in streams.items()}
    except (ArtefactError, KeyError, ValueError) as error:
        print(f"checkpoint discarded, beginning anew: {error}", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        return None
    for name, stream in streams.items():
        if isinstance(stream, torch.Generator):
            stream.set_state(states[name])
        else:
            stream.bit_generator.state = states[name]
    tensors = {name: run[name] for name in run if not name.startswith("stream/")}
    return tensors, run.settings["values"]


def _state(run: Run, name: str, stream: Stream) -> Any:
    if isinstance(stream, torch.Generator):
        return run[f"stream/{name}"].cpu()
    return run.settings["streams"][name]
