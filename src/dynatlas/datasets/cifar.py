"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read from their binary archives, checked by size and SHA-256.

The archives are never fetched from here: they lie where the user put them, `folder/<set>/<archive>`. A record is its
labels, a byte each (CIFAR-100: coarse, then fine), and 3072 bytes of pixels: red, green, blue, each row by row.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dynatlas.datasets.catalogue import ARCHIVES, Archive
from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.published import read_published
from dynatlas.names import named

Part = Literal["train", "test"]
SHAPE = (3, 32, 32)


def read_cifar(
    name: str,
    part: Part,
    *,
    folder: Path,
    archives: dict[str, Archive] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Labelled:
    """Images x (n, 3, 32, 32) with values in 0 ... 1 and classes y (n,) of `cifar10` or `cifar100` (or of `archives`).

    Raises KeyError for an unknown set or part; FileNotFoundError that says which archive is missing and where it would
    go; ValueError for an archive of another size, hash or form.
    """
    chosen = named(ARCHIVES if archives is None else archives, name, "image set")
    members = named(chosen.members, part, "part")
    path = folder / name / chosen.file.name
    raw = read_published(path, chosen.file, title=chosen.title, source=chosen.source)
    records = [parse_records(one, labels=chosen.labels, origin=path) for one in _members(raw, members, path)]
    images, classes = (np.concatenate(parts) for parts in zip(*records, strict=True))
    return Labelled(torch.from_numpy(images).to(dtype) / 255, torch.from_numpy(classes.astype(np.int64)))


def parse_records(raw: bytes, *, labels: int, origin: Path | str = "bytes") -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) and the last of `labels` labels (n,), unsigned bytes, of one file of records.

    Raises ValueError naming `origin` unless the file is a whole number of records.
    """
    length = labels + int(np.prod(SHAPE))
    if not raw or len(raw) % length:
        raise ValueError(f"{origin}: {len(raw)} bytes are no whole number of records of {length} bytes")
    records = np.frombuffer(raw, np.uint8).reshape(-1, length)
    return records[:, labels:].reshape(-1, *SHAPE), records[:, labels - 1]


def _members(raw: bytes, names: tuple[str, ...], path: Path) -> list[bytes]:
    """The contents of the named members of a gzipped tar file."""
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            files = [archive.extractfile(name) for name in names]
            return [file.read() for file in files if file is not None]
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: not the archive with {', '.join(names)} ({error})") from None
