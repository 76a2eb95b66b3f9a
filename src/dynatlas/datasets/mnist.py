"""MNIST and the sets in its form (FashionMNIST, KMNIST), read from their own files, checked by size and SHA-256.

The files are never fetched from here: they lie where the user put them, `folder/<set>/<file>`.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.published import File, read_published
from dynatlas.names import named

Part = Literal["train", "test"]


@dataclass(frozen=True)
class ImageSet:
    """Where a set of images comes from, and its files by part: (images, labels)."""

    title: str
    source: str
    files: dict[str, tuple[File, File]]


def _image_set(title: str, source: str, sizes: tuple[int, ...], sums: tuple[str, ...]) -> ImageSet:
    names = (f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
    files = [File(name, size, sha256) for name, size, sha256 in zip(names, sizes, sums, strict=True)]
    return ImageSet(title, source, {"train": (files[0], files[1]), "test": (files[2], files[3])})


IMAGE_SETS = {
    "mnist": _image_set(
        "MNIST (LeCun, Cortes and Burges)",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (9912422, 28881, 1648877, 4542),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion_mnist": _image_set(
        "FashionMNIST (Xiao, Rasul and Vollgraf 2017)",
        "https://github.com/zalandoresearch/fashion-mnist",
        (26421880, 29515, 4422102, 5148),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "kmnist": _image_set(
        "KMNIST (Clanuwat et al. 2018)",
        "http://codh.rois.ac.jp/kmnist/",
        (18165135, 29497, 3041136, 5120),
        (
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}


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
