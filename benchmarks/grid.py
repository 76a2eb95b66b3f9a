"""A grid of 60 networks with fixed activation gamma(x; n, s): one stack in one process against one network a process.

    python benchmarks/grid.py [--repeats 3]

Networks of 32 units read the permuted digits, 4 pixels a step (16 steps), 32 images a batch, for 200 updates by Adam:
5 gains x 4 saturations x 3 seeds, all cells of a seed from the same weights and on the same batches. The peer is what
one writes for a single network, a loop over time with autograd and torch's Adam; each network is a process of its own,
as the code of arXiv 2006.12253 is run. Three of the 60 are timed, times 20. Both must have the same losses after the
first 10 updates. Counted are the processor's seconds on one thread, of whole processes, start and imports included, and
of training alone, which is what is saved in a process that is there already.
Asked for: at least 20 times one network a process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from dynatlas.artefacts import write_json
from dynatlas.datasets.batches import batch_order
from dynatlas.datasets.digits import permuted_digits
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.schedules import Every
from dynatlas.jobs import Job
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.rnn import Params, readout

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "grid.json"
GAINS, SATURATIONS, SEEDS = (1.0, 2.5, 5.0, 10.0, 20.0), (0.0, 0.25, 0.5, 1.0), (0, 1, 2)
CELLS = list(itertools.product(GAINS, SATURATIONS))
UNITS, BATCH, UPDATES, RATE, COMPARED = 32, 32, 200, 3e-3, 10
TIMED = (0, 27, 59)
"""Networks that the peer trains."""
WEIGHTS = ("w_in", "w_rec", "b", "w_out", "b_out")


class Problem:
    """The same weights and batches for both."""

    def __init__(self, seeds: tuple[int, ...]):
        self.job, self.data = Job("benchmark", seeds), permuted_digits(4)
        self.network = GainSaturationRNN(self.data.x.shape[-1], UNITS, 10)
        streams = self.job.generators("batches")
        self.order = batch_order(len(self.data.x), updates=UPDATES, size=BATCH, generators=streams)

    def params(self, cells: list[tuple[float, float]]) -> Params:
        tree = self.network.initialise(self.job.generators("initialisation"), len(cells), shared=True)
        for name, values in zip(("gain", "saturation"), zip(*cells, strict=True), strict=True):
            tree[name] = tree[name].new_tensor(values).repeat(len(self.job.seeds))[:, None].expand_as(tree[name])
        return tree

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (seed, time, trial, pixel) and labels (seed, trial)."""
        chosen = self.order[step]
        return self.data.x[chosen].transpose(1, 2), self.data.y[chosen]


def grid() -> list[float]:
    """Train all networks; their losses at update COMPARED."""
    problem = Problem(SEEDS)

    def loss(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = (part.repeat_interleave(len(CELLS), dim=0) for part in batch)
        logits = readout(params, problem.network.rollout(params, x)[:, -1])
        return cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(dim=1)

    fitted = fit(
        problem.batch,
        loss,
        problem.params(CELLS),
        steps=UPDATES,
        optimiser=Adam(lr=RATE),
        trainable=WEIGHTS,
        log_at=Every(COMPARED),
    )
    at = fitted.losses.steps.tolist().index(COMPARED)
    return fitted.losses.values["loss"][at].tolist()


def one_network(number: int) -> float:
    """Train one network as one writes it for a single one; its loss at update COMPARED."""
    seed, cell = divmod(number, len(CELLS))
    problem = Problem((SEEDS[seed],))
    tree = {name: tensor[0].clone() for name, tensor in problem.params([CELLS[cell]]).items()}
    n, s = tree.pop("gain"), tree.pop("saturation")
    for parameter in tree.values():
        parameter.requires_grad_()
    optimiser = torch.optim.Adam(tree.values(), lr=RATE)
    noted = float("nan")
    for step in range(UPDATES):
        (x,), (y,) = problem.batch(step)
        state = x.new_zeros(BATCH, UNITS)
        for given in x:
            h = given @ tree["w_in"] + state @ tree["w_rec"] + tree["b"]
            state = (1 - s) * softplus(n * h) / n + s * torch.sigmoid(n * h)
        loss = cross_entropy(state @ tree["w_out"] + tree["b_out"], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        noted = float(loss.detach()) if step == COMPARED else noted
    return noted


def processed(what: str) -> dict[str, Any]:
    """What a process that trains prints, and the processor's `seconds` that it took from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, __file__, "--train", what]
    done = subprocess.run(
        program, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "seconds": taken}


def train(what: str) -> None:
    """Train the grid or the network of this number, and print its losses and costs."""
    torch.set_num_threads(1)
    begun = time.process_time()
    losses = grid() if what == "grid" else [one_network(int(what))]
    trained = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"losses": losses, "training": trained, "peak_MiB": peak}))


def measure(repeats: int) -> list[dict[str, float | str]]:
    """Of each way the median seconds for all 60 networks: whole processes, and training alone."""
    rounds: dict[str, list[list[dict[str, Any]]]] = {"one stack": [], "one network a process": []}
    for _ in range(repeats):
        rounds["one stack"].append([processed("grid")])
        rounds["one network a process"].append([processed(str(number)) for number in TIMED])
        (whole,), parts = rounds["one stack"][-1], rounds["one network a process"][-1]
        wanted = torch.tensor([whole["losses"][number] for number in TIMED])
        torch.testing.assert_close(torch.tensor([part["losses"][0] for part in parts]), wanted, rtol=1e-3, atol=0)
    rows: list[dict[str, float | str]] = []
    for way, found in rounds.items():
        factor = len(CELLS) * len(SEEDS) / len(TIMED) if way != "one stack" else 1
        row: dict[str, float | str] = {"way": way}
        for name in ("seconds", "training"):
            row[name] = median(factor * sum(part[name] for part in parts) for parts in found)
        rows.append(row | {"peak_MiB": max(part["peak_MiB"] for parts in found for part in parts)})
    return rows


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        return train(options.train)
    rows = measure(options.repeats)
    for row in rows:
        shown = [f"{row['way']:22}"]
        for name, label in (("seconds", "whole"), ("training", "training alone")):
            row[f"{name}_ratio"] = float(row[name]) / float(rows[0][name])
            shown.append(f"{label} {row[name]:6.1f} s x{row[f'{name}_ratio']:5.1f}")
        print("   ".join([*shown, f"{row['peak_MiB']:.0f} MiB a process"]))
    machine = {"torch": torch.__version__, "machine": platform.machine(), "repeats": options.repeats}
    write_json(OUT, machine, {"rows": rows})


if __name__ == "__main__":
    main()
