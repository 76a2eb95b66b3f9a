"""The authors' grid: small files of the very form in which they published it."""

from __future__ import annotations

import math
import pickle
from itertools import product

import numpy as np
import pytest
import torch

from dynatlas.datasets.published import digest_of_list
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


def grid(folder):
    return published.parse_grid(sorted(folder.glob("*.p")))


def test_numbers_are_those_that_were_pickled_in_nats(folder):
    """Networks stand in the order of dropout and learning rate."""
    found = grid(folder)
    order = sorted(range(12), key=lambda place: (DROPOUTS[place // 4], RATES[place % 4]))
    for row, place in enumerate(order):
        assert found.losses[row].tolist() == losses(place)
        for epoch in published.EPOCHS:
            mean, deviation = (part.double().numpy() * math.log(2) for part in statistics(place, epoch))
            np.testing.assert_array_equal(found.exponents[epoch][row], mean)
            np.testing.assert_array_equal(found.spread[epoch][row], deviation)


def test_strange_names_and_files_that_lack_something_are_named(folder):
    (folder / "notes.p").write_bytes(b"")
    with pytest.raises(ValueError, match=r"notes\.p: no file of the grid has this name"):
        grid(folder)
    (folder / "notes.p").unlink()
    file = next(folder.glob("*drop0.02_lr0.01_*e15_LEStats.p"))
    file.write_bytes(pickle.dumps((torch.ones(3), torch.ones(2)), protocol=3))
    with pytest.raises(ValueError, match="3 means, but 2 standard"):
        grid(folder)
    file.unlink()
    with pytest.raises(ValueError, match=r"no exponents of dropout, learning rate, epoch \(0\.02, 0\.01, 15\)"):
        grid(folder)


def test_statistics_by_hand(folder):
    """lambda_1 and the mean exponent fall with the place, the loss rises with it: all ranks are known."""
    table = published.measure_published(JOB, folder=str(folder), sha256=digest_of_list(sorted(folder.glob("*.p"))))
    value = table.pivot_table(index="metric", columns=["epoch", "target"], values="value")
    assert value.loc["rho_mean"].tolist() == [-1] * 4
    assert value.loc[["rho_abs", "rho_loss", "rho_last"]].to_numpy().tolist() == [[1] * 4] * 3
    np.testing.assert_allclose(value.loc["within"], 0.01 * math.log(2), rtol=1e-6)
    wanted = np.arange(1, 13).std(ddof=1) / 4 * math.log(2)
    np.testing.assert_allclose(value.loc["between", 4], wanted, rtol=1e-6)
    assert (value.loc["r2"] < 1).all()
