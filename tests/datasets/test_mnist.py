"""The IDX format on small files of the real form, and the answers to files that are missing or wrong."""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from dynatlas.datasets.mnist import IMAGE_SETS, ImageSet, parse_idx, read_images
from dynatlas.datasets.published import File

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array: np.ndarray, kind: str = "u1") -> bytes:
    head = struct.pack(">BBBB", 0, 0, CODES[kind], array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(kind).tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


@pytest.fixture
def labels():
    return np.array([7, 2, 1, 0, 9], dtype=np.uint8)


@pytest.fixture
def sets(tmp_path, images, labels):
    """A set of five images in the folder, described as a published one is."""
    (tmp_path / "tiny").mkdir()
    files = []
    for name, array in (("train-images-idx3-ubyte.gz", images), ("train-labels-idx1-ubyte.gz", labels)):
        raw = gzip.compress(idx(array), mtime=0)
        (tmp_path / "tiny" / name).write_bytes(raw)
        files.append(File(name, len(raw), hashlib.sha256(raw).hexdigest()))
    return {"tiny": ImageSet("Tiny (made up)", "nowhere", {"train": (files[0], files[1])})}


def test_images_and_labels_come_as_they_were_written(tmp_path, sets, images, labels):
    read = read_images("tiny", "train", folder=tmp_path, sets=sets, dtype=torch.float64)
    assert np.array_equal((read.x.numpy() * 255).round(), images)
    assert read.x.min() >= 0
    assert read.x.max() <= 1
    assert read.y.tolist() == labels.tolist()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_every_type_and_rank_of_the_format(kind, shape):
    array = (np.arange(np.prod(shape)).reshape(shape) - 3 * (kind != "u1")).astype(kind)
    for raw in (idx(array, kind), gzip.compress(idx(array, kind))):
        found = parse_idx(raw)
        assert found.dtype == np.dtype(kind).newbyteorder("=")
        assert np.array_equal(found, array)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04 something", "not an IDX file"),
        (idx(np.zeros((2, 3)))[:-1], r"an array of shape \(2, 3\) needs 18"),
        (idx(np.zeros((2, 3))) + b"x", "19 bytes"),
        (gzip.compress(idx(np.zeros(9)), mtime=0)[:-6], "damaged gzip"),
    ],
    ids=["empty", "another format", "short", "long", "truncated gzip"],
)
def test_damaged_files_are_named(raw, said):
    with pytest.raises(ValueError, match=said):
        parse_idx(raw, origin="some/file")
    with pytest.raises(ValueError, match="some/file"):
        parse_idx(raw, origin="some/file")


def test_a_missing_file_says_where_it_would_go_and_who_needs_it(tmp_path):
    with pytest.raises(FileNotFoundError) as told:
        read_images("mnist", "test", folder=tmp_path)
    message = str(told.value)
    assert str(tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz") in message
    for part in ("MNIST", "1648877 bytes", IMAGE_SETS["mnist"].files["test"][0].sha256, "quick and standard"):
        assert part in message


def test_another_file_under_the_name_is_refused(tmp_path, sets):
    path = tmp_path / "tiny" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(5)), mtime=0))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz: \d+ bytes with SHA-256 .* Remove it"):
        read_images("tiny", "train", folder=tmp_path, sets=sets)


def test_images_without_as_many_labels_are_refused(tmp_path, sets):
    first, second = sets["tiny"].files["train"]
    raw = gzip.compress(idx(np.zeros(4)), mtime=0)
    (tmp_path / "tiny" / second.name).write_bytes(raw)
    fewer = File(second.name, len(raw), hashlib.sha256(raw).hexdigest())
    with pytest.raises(ValueError, match=r"images \(5, 28, 28\) and labels \(4,\)"):
        read_images(
            "tiny", "train", folder=tmp_path, sets={"tiny": replace(sets["tiny"], files={"train": (first, fewer)})}
        )


def test_unknown_names(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'fashion_mnist'"):
        read_images("fashion-mnist", "train", folder=tmp_path)
    with pytest.raises(KeyError, match="unknown part 'valid'"):
        read_images("mnist", "valid", folder=tmp_path)


def test_published_sizes_and_hashes_have_their_form():
    for chosen in IMAGE_SETS.values():
        for file in (*chosen.files["train"], *chosen.files["test"]):
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.size > 4000
        assert "train" in chosen.files["train"][0].name
        assert "t10k" in chosen.files["test"][1].name
