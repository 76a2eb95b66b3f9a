"""Numbers from files that others pickled, none of which is ever loaded.

A pickle can run any code when it is loaded. So its opcodes are listed by `pickletools`, which executes nothing, and the
numbers are taken from the list.
"""

from __future__ import annotations

import io
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

_LIST_OF_FLOATS = {"PROTO", "EMPTY_LIST", "BINPUT", "MARK", "BINFLOAT", "APPENDS", "STOP"}
_HEADERS = 5
"""Pickles that stand before the numbers in a storage as torch saved it until version 1.5."""


def read_floats(file: Path) -> list[float]:
    """The numbers of a pickled list of floats; ValueError names the file for anything else."""
    operations = _operations(io.BytesIO(file.read_bytes()), file)
    if {name for name, _ in operations} - _LIST_OF_FLOATS:
        raise ValueError(f"{file}: not a pickled list of floats")
    return [value for name, value in operations if name == "BINFLOAT"]


def read_tensors(file: Path, *, count: int) -> list[np.ndarray]:
    """The `count` tensors of a pickle from torch below 1.6, in their order, flat: float32 numbers as float64.

    ValueError names the file if it holds anything else than float32 storages, or another number of them.
    """
    operations = _operations(io.BytesIO(file.read_bytes()), file)
    stored = [value for name, value in operations if name in ("BINBYTES", "SHORT_BINBYTES")]
    if len(stored) != count:
        raise ValueError(f"{file}: {len(stored)} tensors; wanted are {count}")
    return [_storage(one, file) for one in stored]


def _storage(raw: bytes, file: Path) -> np.ndarray:
    """The numbers in a storage as torch saved it: five pickles, their count as int64, float32 values."""
    stream = io.BytesIO(raw)
    kinds = [value for _ in range(_HEADERS) for name, value in _operations(stream, file) if name == "GLOBAL"]
    rest = raw[stream.tell() :]
    count = int.from_bytes(rest[:8], "little")
    if kinds != ["torch FloatStorage"] or len(rest) != 8 + 4 * count:
        raise ValueError(f"{file}: not a storage of float32 numbers")
    return np.frombuffer(rest, "<f4", count, offset=8).astype(float)


def _operations(stream: io.BytesIO, file: Path) -> list[tuple[str, Any]]:
    """Names and arguments of a pickle's opcodes, up to its end; nothing is executed."""
    try:
        return [(operation.name, argument) for operation, argument, _ in pickletools.genops(stream)]
    except ValueError as error:
        raise ValueError(f"{file}: damaged ({error})") from None
