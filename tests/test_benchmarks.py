"""Benchmarks compare like with like: both sides find the same, and the tables say what was asked for and reached."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lyapunov(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    module = load("lyapunov")
    for name, size in {"NETWORKS": 4, "STEPS": 6, "SEQUENCES": 2}.items():
        monkeypatch.setattr(module, name, size)
    return module


def measured(module, seconds):
    """A table of made-up measurements."""
    return {name: {"seconds": seconds(name), "clock": seconds(name), "MiB": 1.0} for name in module.cases(1)}


def test_ours_and_the_peer_find_the_same_exponents(lyapunov):
    for name in lyapunov.CELLS:
        lyapunov.agree(name)
    lyapunov.CELLS["tanh, gain 1"] = lyapunov.CELLS["tanh, gain 1.5"]
    ours = lyapunov.ours("tanh, gain 1", 3, "auto")().exponents[:2] / math.log(2)
    assert (ours - lyapunov.peer("GRU", 3)()).abs().max() > 0.01, "another cell has other exponents"


@pytest.mark.parametrize("case", ["GRU | 16 | ours, two threads", "LSTM | all | floor", "LSTM | jacobian | torch.func"])
def test_every_kind_of_case_is_measured(lyapunov, case):
    threads = torch.get_num_threads()
    try:
        found = lyapunov.cases(1)[case]()
    finally:
        torch.set_num_threads(threads)
    assert found["seconds"] > 0
    assert found["clock"] > 0
    assert found["MiB"] >= 0


def test_both_tables_hold_every_cell_and_say_what_is_missed(lyapunov):
    slow = measured(lyapunov, lambda name: 30.0 if "peer" in name or "torch.func" in name else 1.0)
    for name in lyapunov.CELLS:
        assert lyapunov.table(slow).count(f"| {name} |") == 2
    said = {line.split(" | ")[0]: line for line in lyapunov.targets(slow).splitlines()}
    assert said["| GRU, all exponents: peer / ours"] == "| GRU, all exponents: peer / ours | 5 | 30.00 | 30.00 |  |"
    assert said["| LSTM, all exponents: floor / ours"].endswith("| 0.67 | 1.00 | 1.00 |  |")
    assert said["| GRU, 16 exponents: one thread / two"].endswith("| 1.6 | 1.00 |  | missed |")
    even = measured(lyapunov, lambda name: 1.0)
    assert "| GRU, all exponents: peer / ours | 5 | 1.00 | 1.00 | at the floor |" in lyapunov.targets(even)
    late = measured(lyapunov, lambda name: 0.5 if "floor" in name else 1.0)
    assert "| GRU, all exponents: peer / ours | 5 | 1.00 | 2.00 | missed |" in lyapunov.targets(late)


def test_the_grid_and_one_network_learn_alike(monkeypatch):
    grid = load("grid")
    for name, value in {"UPDATES": 11, "SEEDS": (0, 1), "CELLS": [(1.0, 0.5), (20.0, 0.0)]}.items():
        monkeypatch.setattr(grid, name, value)
    together = grid.grid()
    alone = [grid.one_network(number) for number in range(4)]
    assert alone == pytest.approx(together, rel=1e-4)
    assert len(set(together)) == 4
