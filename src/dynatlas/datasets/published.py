"""Files as they were published: read from where the user put them, checked by size and SHA-256, never fetched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """A file as it was published."""

    name: str
    size: int
    """Bytes."""
    sha256: str


def read_published(path: Path, file: File, *, title: str, source: str) -> bytes:
    """The bytes of `path`, which is `file` of the data set `title`, published at `source`.

    Raises FileNotFoundError that says which file is missing, where it would go and which scales need none; ValueError
    for a file of another size or hash.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{title}: {file.name} is missing; put it at {path} ({file.size} bytes, SHA-256 {file.sha256}, from "
            f"{source}). Scales quick and standard need no file."
        )
    raw = path.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if len(raw) != file.size or found != file.sha256:
        raise ValueError(
            f"{path}: {len(raw)} bytes with SHA-256 {found}; wanted are {file.size} bytes with {file.sha256}. "
            f"Remove it and get it again from {source}"
        )
    return raw
