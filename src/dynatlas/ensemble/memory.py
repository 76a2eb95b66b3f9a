"""Memory that a training loop frees and asks for again at every step is kept by the process."""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more


@functools.cache
def keep_freed_memory(limit: int = 1 << 30) -> bool:
    """Let glibc keep up to `limit` freed bytes instead of handing them back; says whether it could be asked.

    By default glibc returns large blocks to the system as soon as they are freed, and every training step then pays
    for fresh pages: about a third of the time of small recurrent networks. Elsewhere (macOS, musl) nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = {_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _TRIM_THRESHOLD: limit, _TOP_PAD: 64 << 20}
    return all(mallopt(which, value) == 1 for which, value in settings.items())
