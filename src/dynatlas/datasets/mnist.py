"""MNIST and the sets in its form (FashionMNIST, KMNIST), read from their own files, checked by size and SHA-256.

The files are never fetched from here: they lie where the user put them, `folder/<set>/<file>`.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dynatlas.datasets.catalogue import IMAGE_SETS, ImageSet
from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.published import read_published
from dynatlas.names import named

Part = Literal["train", "test"]


def read_images(
    name: str, part: Part, *, folder: Path, sets: dict[str, ImageSet] | None = None, dtype: torch.dtype = torch.float32
) -> Labelled:
    """Images x (n, rows, columns) with pixels in 0 ... 1 and labels y (n,) of a set of `IMAGE_SETS` (or of `sets`).

    Raises KeyError for an unknown set or part; FileNotFoundError that says which file is missing, where it would go and
    which scale needs none; ValueError for a file of another size, hash or form.
    """
    chosen = named(IMAGE_SETS if sets is None else sets, name, "image set")
    images, labels = (
        parse_idx(read_published(path, file, title=chosen.title, source=chosen.source), origin=path)
        for file in named(chosen.files, part, "part")
        for path in [folder / name / file.name]
    )
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or images.dtype != np.uint8:
        raise ValueError(f"{folder / name}: {part} has images {images.shape} and labels {labels.shape}")
    return Labelled(torch.from_numpy(images).to(dtype) / 255, torch.from_numpy(labels.astype(np.int64)))


def parse_idx(raw: bytes, *, origin: Path | str = "bytes") -> np.ndarray:
    """The array in a file of the IDX format, gzipped or not, in the machine's byte order.

    Two zero bytes, one for the type, one for the number of axes; each axis' length as a big-endian 32-bit integer; the
    values, big-endian. Raises ValueError naming `origin` for anything else.
    """
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{origin}: damaged gzip file ({error})") from None
    types = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    axes = raw[3] if len(raw) >= 4 else 0
    start = 4 + 4 * axes
    if len(raw) < start or raw[:2] != b"\x00\x00" or raw[2] not in types:
        raise ValueError(f"{origin}: not an IDX file")
    kind = np.dtype(types[raw[2]])
    shape = tuple(np.frombuffer(raw, ">u4", axes, offset=4).tolist())
    if len(raw) != start + math.prod(shape) * kind.itemsize:
        wanted = start + math.prod(shape) * kind.itemsize
        raise ValueError(f"{origin}: {len(raw)} bytes, but an array of shape {shape} needs {wanted}")
    return np.frombuffer(raw, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))
