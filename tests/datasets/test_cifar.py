"""The binary form of CIFAR on small archives of the real layout, and the answers to what is missing or wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from dynatlas.datasets.cifar import ARCHIVES, parse_records, read_cifar
from dynatlas.datasets.published import File


def tiny(folder, name, contents):
    """The archive `name` with these members in the folder, described as the published one is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, raw in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    published = ARCHIVES[name]
    (folder / name).mkdir(exist_ok=True)
    (folder / name / published.file.name).write_bytes(buffer.getvalue())
    file = File(published.file.name, len(buffer.getvalue()), hashlib.sha256(buffer.getvalue()).hexdigest())
    return {name: replace(published, file=file)}


def records(labels, images):
    return b"".join(bytes(label) + image.tobytes() for label, image in zip(labels, images, strict=True))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)


def test_cifar10_comes_batch_after_batch(tmp_path, images):
    names = ARCHIVES["cifar10"].members["train"]
    contents = {name: records([[2 * k], [2 * k + 1]], images[2 * k : 2 * k + 2]) for k, name in enumerate(names)}
    archives = tiny(tmp_path, "cifar10", contents)
    read = read_cifar("cifar10", "train", folder=tmp_path, archives=archives, dtype=torch.float64)
    assert np.array_equal((read.x.numpy() * 255).round(), images)
    assert read.y.tolist() == list(range(10))


def test_cifar100_gives_the_fine_label(tmp_path, images):
    contents = {"cifar-100-binary/test.bin": records([[9, 61], [3, 99]], images[:2])}
    read = read_cifar("cifar100", "test", folder=tmp_path, archives=tiny(tmp_path, "cifar100", contents))
    assert read.y.tolist() == [61, 99]
    assert np.array_equal((read.x.numpy() * 255).round(), images[:2])


def test_what_is_wrong_is_named(tmp_path, images):
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz is missing; put it at .*170052171 bytes"):
        read_cifar("cifar10", "test", folder=tmp_path)
    with pytest.raises(KeyError, match="did you mean 'cifar10'"):
        read_cifar("cifar-10", "test", folder=tmp_path)
    archives = tiny(tmp_path, "cifar10", {"cifar-10-batches-bin/data_batch_1.bin": records([[1]], images[:1])})
    with pytest.raises(ValueError, match=r"not the archive with cifar-10-batches-bin/test_batch.bin"):
        read_cifar("cifar10", "test", folder=tmp_path, archives=archives)
    with pytest.raises(ValueError, match=r"Remove it and get it again"):
        read_cifar("cifar10", "test", folder=tmp_path)
    with pytest.raises(ValueError, match=r"some/file: 3072 bytes are no whole number of records of 3073"):
        parse_records(bytes(3072), labels=1, origin="some/file")
