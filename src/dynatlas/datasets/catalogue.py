"""The published sets that are read from the user's own files: names, sizes, SHA-256, and where each comes from.

Nothing here imports numpy or torch: the engine asks what is missing before any job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dynatlas.datasets.published import File, Wanted
from dynatlas.names import named


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


@dataclass(frozen=True)
class Archive:
    """A published archive, and the members that hold each part."""

    title: str
    source: str
    file: File
    members: dict[str, tuple[str, ...]]
    labels: int
    """Labels of a record; the last is the class."""


ARCHIVES = {
    "cifar10": Archive(
        "CIFAR-10 (Krizhevsky 2009)",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        File(
            "cifar-10-binary.tar.gz",
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
        {
            "train": tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
            "test": ("cifar-10-batches-bin/test_batch.bin",),
        },
        labels=1,
    ),
    "cifar100": Archive(
        "CIFAR-100 (Krizhevsky 2009)",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        File(
            "cifar-100-binary.tar.gz",
            168513733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
        {"train": ("cifar-100-binary/train.bin",), "test": ("cifar-100-binary/test.bin",)},
        labels=2,
    ),
}


def wanted_of(name: str, *, folder: Path) -> Iterator[Wanted]:
    """Every file of a set of images, where it would lie. Raises KeyError naming the nearest set."""
    sets: dict[str, ImageSet | Archive] = {**IMAGE_SETS, **ARCHIVES}
    chosen = named(sets, name, "published set")
    parts = [chosen.file] if isinstance(chosen, Archive) else [file for two in chosen.files.values() for file in two]
    for file in parts:
        yield Wanted(folder / name / file.name, title=chosen.title, source=chosen.source, file=file)
