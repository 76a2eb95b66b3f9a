"""Numbers come out of pickles as they went in, and nothing that a pickle says is run."""

import pickle

import numpy as np
import pytest
import torch

from dynatlas.datasets.pickled import read_floats, read_tensors


def pickled(folder, what):
    """Protocol 3, which torch wrote until version 1.5."""
    file = folder / "numbers.p"
    file.write_bytes(what if isinstance(what, bytes) else pickle.dumps(what, protocol=3))
    return file


def test_floats_are_those_that_were_pickled(tmp_path):
    numbers = [4.27, -1e-300, float("inf"), 0.1]
    assert read_floats(pickled(tmp_path, numbers)) == numbers
    assert read_floats(pickled(tmp_path, [])) == []


def test_tensors_are_those_that_were_pickled(tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = tuple(torch.randn(n, generator=generator) for n in (1, 5, 300))
    found = read_tensors(pickled(tmp_path, tensors), count=3)
    for one, tensor in zip(found, tensors, strict=True):
        np.testing.assert_array_equal(one, tensor.double())


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_that_a_file_says_is_run(tmp_path):
    sprung = tmp_path / "sprung"
    file = pickled(tmp_path, Trap(sprung))
    with pytest.raises(ValueError, match="not a pickled list of floats"):
        read_floats(file)
    with pytest.raises(ValueError, match="0 tensors; wanted are 2"):
        read_tensors(file, count=2)
    assert not sprung.exists()
    with pickle.loads(file.read_bytes()):  # noqa: S301 (ours)
        assert sprung.exists(), "the trap works"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (b"\xff\xff", "damaged"),
        ([1.0, "two"], "not a pickled list of floats"),
        ([1.0, 2], "not a pickled list of floats"),
    ],
)
def test_what_is_no_list_of_floats_is_named(what, message, tmp_path):
    with pytest.raises(ValueError, match=rf"numbers\.p: {message}"):
        read_floats(pickled(tmp_path, what))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (b"\xff\xff", "damaged"),
        ((torch.ones(3),), "1 tensors; wanted are 2"),
        ((torch.ones(3).long(), torch.ones(3)), "not a storage of float32 numbers"),
        ((torch.ones(3).double(), torch.ones(3)), "not a storage of float32 numbers"),
        ((b"a" * 300, b"b" * 300), "damaged"),
    ],
)
def test_what_holds_no_float32_tensors_is_named(what, message, tmp_path):
    with pytest.raises(ValueError, match=rf"numbers\.p: {message}"):
        read_tensors(pickled(tmp_path, what), count=2)
