"""The authors' grid: small files of the very form in which they published it."""

from __future__ import annotations

import math
import pickle
from itertools import product

import numpy as np
import pytest
import torch

from dynatlas.jobs import Job
from dynatlas.studies.lyapunov import published

DROPOUTS, RATES = (0.0, 0.02, 0.1), (0.001, 0.009000000000000001, 0.01, 0.004)
EXPONENTS = 6
JOB = Job(study="lyapunov", seeds=[0])


def statistics(place: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    mean = -torch.arange(1.0, EXPONENTS + 1) * (place + 1) / epoch
    return mean, 0.01 * torch.ones(EXPONENTS)


def losses(place: int) -> list[float]:
    """The lowest loss is the last but one."""
    return [4.27, *(2.0 + 0.1 * place + 1 / epoch for epoch in range(1, 14)), 3.0 + 0.1 * place]


@pytest.fixture
def folder(tmp_path):
    """A pair of tensors and a list of floats of each network, pickled with protocol 3 as the authors did."""
    for place, (dropout, rate) in enumerate(product(DROPOUTS, RATES)):
        stem = f"lstm_L1_H512_drop{dropout}_lr{rate}_adam_uniform0.08_"
        (tmp_path / f"{stem}valLossFull.p").write_bytes(pickle.dumps(losses(place), protocol=3))
        for epoch in published.EPOCHS:
            stored = pickle.dumps(statistics(place, epoch), protocol=3)
            (tmp_path / f"{stem}e{epoch}_LEStats.p").write_bytes(stored)
    return tmp_path


def digest(folder):
    return published.digest_of_list(sorted(folder.glob("*.p")))


def test_numbers_are_those_that_were_pickled_in_nats(folder):
    grid = published.read_grid(folder, sha256=digest(folder))
    order = sorted(range(12), key=lambda place: (DROPOUTS[place // 4], RATES[place % 4]))
    assert grid.dropout.tolist() == [0.0] * 4 + [0.02] * 4 + [0.1] * 4
    assert grid.learning_rate.tolist() == sorted(RATES) * 3
    for row, place in enumerate(order):
        assert grid.losses[row].tolist() == losses(place)
        for epoch in published.EPOCHS:
            mean, deviation = (part.double().numpy() * math.log(2) for part in statistics(place, epoch))
            np.testing.assert_array_equal(grid.exponents[epoch][row], mean)
            np.testing.assert_array_equal(grid.spread[epoch][row], deviation)


def test_the_hash_is_that_of_the_list_that_sha256sum_prints(folder):
    """As the shell gave it for two files of one byte."""
    (folder / "b.p").write_bytes(b"x")
    (folder / "a.p").write_bytes(b"y")
    found = published.digest_of_list([folder / "a.p", folder / "b.p"])
    assert found == "2cd24778772f83279ed2c13a50690e7c057f5ae4df2eb4c647804ff1ec052c8c"


def test_a_folder_that_is_missing_or_another_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: .*copy the files .*lyapunov-hyperopt.*Only scale paper"):
        published.read_grid(tmp_path / "nowhere", sha256="ab")
    wanted = digest(folder)
    next(folder.glob("*.p")).write_bytes(b"other")
    with pytest.raises(ValueError, match=rf"sha256sum.*wanted is {wanted}"):
        published.read_grid(folder, sha256=wanted)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_that_a_file_says_is_run(folder, tmp_path):
    sprung = tmp_path / "sprung"
    for pattern, message in (("*valLossFull.p", "not a pickled list of floats"), ("*e4_LEStats.p", "0 tensors")):
        file = next(folder.glob(pattern))
        kept = file.read_bytes()
        file.write_bytes(pickle.dumps(Trap(sprung), protocol=3))
        with pytest.raises(ValueError, match=message):
            published.read_grid(folder, sha256=digest(folder))
        file.write_bytes(kept)
    assert not sprung.exists()


def damaged(folder, pattern, raw):
    next(folder.glob(pattern)).write_bytes(raw)
    return digest(folder)


@pytest.mark.parametrize(
    ("pattern", "raw", "message"),
    [
        ("*valLossFull.p", b"\xff\xff", r"valLossFull\.p: damaged"),
        ("*valLossFull.p", pickle.dumps([1.0, "two"], protocol=3), r"not a pickled list of floats"),
        ("*e15_LEStats.p", pickle.dumps((torch.ones(3), torch.ones(2)), protocol=3), "3 means, but 2 standard"),
        ("*e15_LEStats.p", pickle.dumps((torch.ones(3).long(), torch.ones(3)), protocol=3), "not a storage of float32"),
        ("*e15_LEStats.p", pickle.dumps((b"a" * 300, b"b" * 300), protocol=3), "damaged"),
    ],
    ids=["bytes", "words", "unequal", "integers", "no tensors"],
)  # fmt: skip
def test_files_of_another_form_are_named(folder, pattern, raw, message):
    with pytest.raises(ValueError, match=message):
        published.read_grid(folder, sha256=damaged(folder, pattern, raw))


def test_strange_names_and_missing_files_are_named(folder):
    (folder / "notes.p").write_bytes(b"")
    with pytest.raises(ValueError, match=r"notes\.p: no file of the grid has this name"):
        published.read_grid(folder, sha256=digest(folder))
    (folder / "notes.p").unlink()
    next(folder.glob("*drop0.02_lr0.01_*e15_LEStats.p")).unlink()
    with pytest.raises(ValueError, match=r"no exponents of dropout, learning rate, epoch \(0\.02, 0\.01, 15\)"):
        published.read_grid(folder, sha256=digest(folder))


def test_statistics_by_hand(folder):
    """lambda_1 and the mean exponent fall with the place, the loss rises with it: all ranks are known."""
    table = published.measure_published(JOB, folder=str(folder), sha256=digest(folder))
    value = table.pivot_table(index="metric", columns=["epoch", "target"], values="value")
    assert value.loc["rho_mean"].tolist() == [-1] * 4
    assert value.loc[["rho_abs", "rho_loss", "rho_last"]].to_numpy().tolist() == [[1] * 4] * 3
    np.testing.assert_allclose(value.loc["within"], 0.01 * math.log(2), rtol=1e-6)
    wanted = np.arange(1, 13).std(ddof=1) / 4 * math.log(2)
    np.testing.assert_allclose(value.loc["between", 4], wanted, rtol=1e-6)
    assert (value.loc["r2"] < 1).all()
