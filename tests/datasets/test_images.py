"""Images by the name of their set: shipped and published ones are cut in the same way."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from dynatlas.datasets.catalogue import ARCHIVES, IMAGE_SETS, ImageSet
from dynatlas.datasets.digits import digits, digits28
from dynatlas.datasets.images import PUBLISHED, image_split, published_images
from dynatlas.datasets.labelled import split
from dynatlas.datasets.published import File

COUNTS = {"train": 7, "test": 5}


def described(path, raw):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    return File(path.name, len(raw), hashlib.sha256(raw).hexdigest())


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


@pytest.fixture
def grey(tmp_path, monkeypatch):
    """Seven and five images in the place of MNIST."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in COUNTS.items():
        arrays = (rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8))
        files[part] = tuple(described(tmp_path / "mnist" / f"{part}{k}.gz", idx(one)) for k, one in enumerate(arrays))
    monkeypatch.setitem(IMAGE_SETS, "mnist", ImageSet("made up", "nowhere", files))
    return tmp_path


@pytest.fixture
def coloured(tmp_path, monkeypatch):
    """The same of CIFAR-100."""
    rng, buffer, archive = np.random.default_rng(1), io.BytesIO(), ARCHIVES["cifar100"]
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for part, count in COUNTS.items():
            raw = b"".join(bytes([0, k]) + rng.integers(0, 256, 3072, dtype=np.uint8).tobytes() for k in range(count))
            info = tarfile.TarInfo(archive.members[part][0])
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    file = described(tmp_path / "cifar100" / archive.file.name, buffer.getvalue())
    monkeypatch.setitem(ARCHIVES, "cifar100", replace(archive, file=file))
    return tmp_path


@pytest.mark.parametrize(("name", "whole"), [("digits", digits), ("digits28", digits28)])
def test_shipped_sets_are_cut_by_their_fixed_permutation(name, whole):
    parts, wanted = image_split(name, train=1400, test=30), split(whole(), 1400)
    assert torch.equal(parts.train.x, wanted.train.x)
    assert torch.equal(parts.test.x, wanted.test.x[:30])
    assert parts.test.y.tolist() == wanted.test.y[:30].tolist()
    assert len(image_split(name, train=1400).test) == 397


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28)), ("cifar100", (3, 32, 32))])
def test_published_sets_have_two_parts_of_their_own(grey, coloured, name, shape):
    whole, some = image_split(name, folder=grey), image_split(name, train=3, test=2, folder=str(grey))
    assert whole.train.x.shape == (7, *shape)
    assert whole.test.y.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(whole.test.x, published_images(name, "test", folder=grey).x)
    assert torch.equal(some.train.x, whole.train.x[:3])
    assert some.test.y.tolist() == [0, 1]
    assert 0 <= float(whole.train.x.min()) < float(whole.train.x.max()) <= 1


@pytest.mark.parametrize(("counts", "message"), [
    ({}, "say how many of 1797"), ({"train": 1797}, "train = 1797"), ({"train": 0}, "train = 0"),
    ({"train": 1790, "test": 8}, "digits, held out: 8 images: wanted is 1 to 7"),
    ({"train": 1790, "test": 0}, "digits, held out: 0 images"),
])  # fmt: skip
def test_more_or_fewer_images_than_there_are_of_a_shipped_set_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        image_split("digits", **counts)


def test_more_images_than_there_are_of_a_published_set_are_refused(grey):
    with pytest.raises(ValueError, match="mnist, train: 8 images: wanted is 1 to 7"):
        image_split("mnist", train=8, folder=grey)
    with pytest.raises(ValueError, match="mnist, test: 6 images: wanted is 1 to 5"):
        image_split("mnist", test=6, folder=grey)


def test_unknown_sets_are_answered_with_the_nearest_and_missing_files_with_their_place(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'digits28'"):
        image_split("digits_28", train=9)
    with pytest.raises(KeyError, match="did you mean 'kmnist'"):
        published_images("k_mnist", "train")
    for name in PUBLISHED:
        with pytest.raises(FileNotFoundError, match=str(tmp_path / name)):
            image_split(name, folder=tmp_path)
