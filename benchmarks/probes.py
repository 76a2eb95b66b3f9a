"""Probes of the states of 5 seeds at 24 times: all in one call against scikit-learn fits in a loop, one thread.

    python benchmarks/probes.py [--repeats 5]

A linear probe (ridge classifier, alpha 0.01) and 10-NN accuracy of states of 100 tanh units at each seed and time,
ten classes, 497 held-out examples, for 1300 and for 600 training examples. Both sides see the same float32 states and
must give the same accuracies, for the probe up to one example (scikit-learn solves in float32). The floor is the
matrix products that neither can do without: float64 covariances for the probes, float32 products of states for the
neighbours. Contenders take turns within each repeat; the table shows medians, results/benchmarks/probes.json has them.
Asked for: at least 5 times scikit-learn.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before any of the libraries reads it: scikit-learn's, too

import argparse
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from dynatlas.artefacts import write_json
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.instruments.probes import knn_accuracy, linear_probe
from dynatlas.jobs import Job

ROOT = Path(__file__).resolve().parents[1]
SEEDS, TIMES, UNITS, CLASSES, TEST, ALPHA, K = 5, 24, 100, 10, 497, 0.01, 10
Accuracies = Callable[[], Tensor]


class Problem:
    """States (seed, time, example, unit) that lie around their classes, more loosely at earlier times."""

    def __init__(self, train: int):
        generator = Job("benchmark", [0]).generator("states", 0)
        self.y = torch.randint(CLASSES, (train + TEST,), generator=generator)
        mix = torch.randn(SEEDS, TIMES, UNITS, UNITS, generator=generator) / UNITS**0.5
        centres = torch.randn(SEEDS, TIMES, CLASSES, UNITS, generator=generator)
        loose = torch.linspace(3, 1, TIMES)[:, None, None]
        noise = torch.randn(SEEDS, TIMES, train + TEST, UNITS, generator=generator)
        self.states = torch.tanh((centres[:, :, self.y] + loose * noise) @ mix)
        self.cut = train

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cut = self.cut
        return self.states[:, :, :cut], self.y[:cut], self.states[:, :, cut:], self.y[cut:]

    def looped(self, fitted: Callable[[], RidgeClassifier | KNeighborsClassifier]) -> Tensor:
        x, y, x_test, y_test = (part.numpy() for part in self.parts())
        scores = [
            [fitted().fit(x[seed, at], y).score(x_test[seed, at], y_test) for at in range(TIMES)]
            for seed in range(SEEDS)
        ]
        return torch.tensor(scores, dtype=torch.float64)

    def covariances(self) -> Tensor:
        x = self.parts()[0]
        return torch.stack([(own := states.double()).T @ own for states in x.flatten(0, 1)])

    def products(self) -> Tensor:
        x, _, x_test, _ = self.parts()
        room = torch.empty(x_test.shape[2], x.shape[2])
        for states, new in zip(x.flatten(0, 1), x_test.flatten(0, 1), strict=True):
            torch.mm(new, states.T, out=room)
        return room


def contenders(problem: Problem) -> dict[str, dict[str, Accuracies]]:
    """Work -> who does it."""
    return {
        "linear probe": {
            "dynatlas": lambda: linear_probe(*problem.parts(), alpha=ALPHA),
            "scikit-learn": lambda: problem.looped(lambda: RidgeClassifier(alpha=ALPHA)),
            "floor": problem.covariances,
        },
        "10-NN": {
            "dynatlas": lambda: knn_accuracy(*problem.parts(), k=K),
            "scikit-learn": lambda: problem.looped(lambda: KNeighborsClassifier(K)),
            "floor": problem.products,
        },
    }


def measure(train: int, *, repeats: int) -> list[dict[str, float | int | str]]:
    """Median seconds of each contender, and of both works together."""
    problem = Problem(train)
    rows: list[dict[str, float | int | str]] = []
    for work, sides in contenders(problem).items():
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        allowed = 1.01 / TEST if work == "linear probe" else 0.0
        difference = (sides["dynatlas"]() - sides["scikit-learn"]()).abs().max().item()
        if difference > allowed:
            raise SystemExit(f"{work}: accuracies differ by {difference}")
        for _ in range(repeats):
            for name, run in sides.items():
                begun = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begun)
        rows.append({"train": train, "work": work} | {name: median(taken) for name, taken in seconds.items()})
    names = ("dynatlas", "scikit-learn", "floor")
    rows.append({"train": train, "work": "both"} | {name: sum(float(row[name]) for row in rows) for name in names})
    return rows


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    keep_freed_memory()  # for all contenders alike
    rows = [row for train in (1300, 600) for row in measure(train, repeats=repeats)]
    for row in rows:
        ours, theirs, floor = (float(row[name]) for name in ("dynatlas", "scikit-learn", "floor"))
        row |= {"times_faster": theirs / ours, "times_floor": ours / floor}
        print(
            f"{row['train']:5} examples  {row['work']:12}  dynatlas {ours:6.3f} s   scikit-learn {theirs:6.3f} s "
            f"(x{theirs / ours:.2f})   floor {floor:6.3f} s (x{ours / floor:.2f})"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    machine = {"torch": torch.__version__, "machine": platform.machine(), "repeats": repeats, "peak_MiB": peak}
    write_json(ROOT / "results" / "benchmarks" / "probes.json", machine, {"rows": rows})


if __name__ == "__main__":
    main()
