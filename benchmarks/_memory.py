"""How much memory a call needs beside what the process has already (Linux)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path


def peak_rise(call: Callable[[], object]) -> float:
    """MiB by which the process's memory rises at most during the call, from what it cannot hand back."""
    ctypes.CDLL(None).malloc_trim(0)  # else the call may live on memory that was freed and kept
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(which: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at its peak."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(which))
    return int(line.split()[1]) / 1024
