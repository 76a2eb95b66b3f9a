"""Images by the name of their set: those that ship with the project, and published ones from the user's own files.

A study names a shipped set at small scales and a published one at paper scale, and reads both in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from dynatlas.datasets.catalogue import ARCHIVES, IMAGE_SETS
from dynatlas.datasets.cifar import read_cifar
from dynatlas.datasets.digits import digits, digits28
from dynatlas.datasets.labelled import Labelled, Split, split
from dynatlas.datasets.mnist import read_images
from dynatlas.names import named

SHIPPED: dict[str, Callable[[], Labelled]] = {"digits": digits, "digits28": digits28}
"""8 x 8 pixels, and the same laid out as MNIST's, 28 x 28."""
_READERS = dict.fromkeys(IMAGE_SETS, read_images) | dict.fromkeys(ARCHIVES, read_cifar)
PUBLISHED = tuple(_READERS)


def published_images(name: str, part: Literal["train", "test"], *, folder: str | Path = "downloads") -> Labelled:
    """One part of a published set, x (n, row, column) or of coloured ones (n, channel, row, column), in 0 ... 1.

    Raises KeyError naming the nearest set; else as `mnist.read_images` and `cifar.read_cifar` do.
    """
    return named(_READERS, name, "image set")(name, part, folder=Path(folder))


def image_split(
    name: str, *, train: int | None = None, test: int | None = None, folder: str | Path = "downloads"
) -> Split:
    """The images that are learned from, and those that are held out, of `SHIPPED` or of `PUBLISHED` sets.

    Of a shipped set the first `train` of a fixed permutation are learned from (see `labelled.split`), the first `test`
    of the others are held out; of a published one the first `train` and `test` of its own two parts. None: all.
    Raises KeyError naming the nearest set, ValueError for more images than there are; else as `published_images`.
    """
    named(dict.fromkeys((*SHIPPED, *PUBLISHED)), name, "image set")
    if name in SHIPPED:
        images = SHIPPED[name]()
        if train is None:
            raise ValueError(f"train: {name} has no test part of its own: say how many of {len(images)} are learned")
        parts = split(images, train)
        return Split(parts.train, _first(parts.test, test, f"{name}, held out"))
    own, other = (published_images(name, part, folder=folder) for part in ("train", "test"))
    return Split(_first(own, train, f"{name}, train"), _first(other, test, f"{name}, test"))


def _first(images: Labelled, count: int | None, what: str) -> Labelled:
    if count is not None and not 0 < count <= len(images):
        raise ValueError(f"{what}: {count} images: wanted is 1 to {len(images)}")
    return images[:count]
