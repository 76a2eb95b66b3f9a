"""Dimension of 40 clouds of 800 x 64 points against scikit-dimension, one cloud at a time, and against the bare search.

    python benchmarks/dimension.py [--repeats 5]

One thread. All contenders measure the same clouds and must find the same dimensions. They take turns within each
repeat; the table shows medians, and results/benchmarks/dimension.json has them. The floor is what no exact search can
do without: the matrix of products in float64, and one pass over it that looks for the smallest number of each row.
Asked for: two-NN and maximum likelihood in half the peer's time, all with local participation ratio in a tenth.
"""

from __future__ import annotations

import argparse
import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _memory import peak_rise
from torch import Tensor

from dynatlas.artefacts import write_json
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.instruments.neighbours import nearest_neighbours
from dynatlas.jobs import Job

ROOT = Path(__file__).resolve().parents[1]
CLOUDS, POINTS, COORDINATES = 40, 800, 64
SLOW = 2
"""Clouds of the peer's local PCA in one turn, whose time is multiplied: it takes a second for each."""
Measure = Callable[[], dict[str, Tensor]]


def clouds() -> Tensor:
    """Points of a curved ten-dimensional manifold in 64 dimensions, (cloud, point, coordinate), float64."""
    draw = Job("benchmark", [0]).generator("clouds", 0)
    z = torch.randn(CLOUDS, POINTS, 10, generator=draw, dtype=torch.float64)
    maps = torch.randn(CLOUDS, 10, COORDINATES, generator=draw, dtype=torch.float64)
    return torch.tanh(z @ maps / 10**0.5)


def ours(points: Tensor, *estimators: str) -> Measure:
    """All clouds at once, with one search."""
    return lambda: measure_dimension(points, estimators)


def peer(points: Tensor, *estimators: str) -> Measure:
    """scikit-dimension with the same definitions, cloud after cloud."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import skdim.id as known

    one = {
        "twonn": lambda cloud: known.TwoNN().fit(cloud).dimension_,
        "mle": lambda cloud: known.MLE().fit(cloud, n_neighbors=20, comb="mle").dimension_,
        "participation_ratio": lambda cloud: known.lPCA(ver="participation_ratio").fit(cloud).dimension_,
        "local_participation_ratio": lambda cloud: np.mean(
            # its neighbourhoods leave the point itself out
            known.lPCA(ver="participation_ratio").fit_pw(cloud, n_neighbors=50).dimension_pw_
        ),
    }
    return lambda: {
        name: torch.tensor([float(one[name](cloud)) for cloud in points.numpy()], dtype=torch.float64)
        for name in estimators
    }


def floor(points: Tensor) -> Measure:
    """Products of all points and the smallest of each row."""

    def run() -> dict[str, Tensor]:
        return {"smallest": torch.stack([(cloud @ cloud.mT).amin(dim=1) for cloud in points])}

    return run


def contenders(points: Tensor) -> dict[str, tuple[Measure, int]]:
    """What is timed, and how many times its time counts."""
    both, all_four = ("twonn", "mle"), ("twonn", "mle", "participation_ratio", "local_participation_ratio")
    return {
        "products and minima (floor)": (floor(points), 1),
        "search for 20 (ours)": (lambda: {"r": nearest_neighbours(points, 20).distances}, 1),
        "two-NN, MLE (ours)": (ours(points, *both), 1),
        "two-NN, MLE (scikit-dimension)": (peer(points, *both), 1),
        "all with local PR (ours)": (ours(points, *all_four), 1),
        "all with local PR (scikit-dimension)": (peer(points[:SLOW], *all_four), CLOUDS // SLOW),
    }


def agree(points: Tensor) -> None:
    """The same dimensions by both, where definitions are the same (its distances come from products: 1e-6)."""
    names = ("twonn", "mle", "participation_ratio")
    found, known = ours(points[:3], *names)(), peer(points[:3], *names)()
    for name in names:
        torch.testing.assert_close(found[name], known[name], rtol=1e-6, atol=0)


def peak(name: str) -> float:
    """MiB that a contender needs at most, beside the clouds, in a process of its own (Linux)."""
    found = subprocess.run([sys.executable, __file__, "--alone", name], capture_output=True, text=True, check=True)
    return float(found.stdout)


def alone(name: str) -> None:
    """Print by how many MiB this contender raises the memory of this process, once libraries are loaded."""
    points = clouds()
    contenders(points[:SLOW, :100])[name][0]()
    print(peak_rise(contenders(points)[name][0]))


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        return alone(options.alone)
    points = clouds()
    agree(points)
    these = contenders(points)
    taken: dict[str, list[float]] = {name: [] for name in these}
    for _ in range(options.repeats):
        for name, (measure, times) in these.items():
            begun = time.perf_counter()
            measure()
            taken[name].append(times * (time.perf_counter() - begun))
    rows = []
    for name, seconds in taken.items():
        other = name.replace("scikit-dimension", "ours")
        ratio = median(a / b for a, b in zip(seconds, taken[other], strict=True))
        rows.append({"contender": name, "seconds": median(seconds), "times_ours": ratio, "peak_mib": peak(name)})
        print(f"{name:38} {median(seconds):8.2f} s  x{ratio:6.2f}  {rows[-1]['peak_mib']:7.0f} MiB more", flush=True)
    machine = {"torch": torch.__version__, "machine": platform.machine(), "repeats": options.repeats}
    write_json(ROOT / "results" / "benchmarks" / "dimension.json", machine, {"rows": rows})


if __name__ == "__main__":
    main()
