"""Training a grid of 60 starts (n, s) as one stack, against one network per process and against autograd, one thread.

    python benchmarks/activation_grid.py [--repeats 5]

A turn is three updates (forward, backward, Adam) of static networks of 32 units on 32 sequences of 16 steps of 4
pixels, ten classes, all on the same batches. "one network": a Python cell with torch.optim.Adam, three of the sixty one
after the other, times twenty; "one process": the same and the start of a Python with torch for each network, spread
over 200 updates. "autograd": our stack without its hand-written backward pass. The floor are the stack's bare batched
products with one sigmoid and one softplus a step, forward alone. All contenders start from the same weights and must
reach the same losses. They take turns within each repeat; the table shows medians of times and of the ratios to the
stack, results/benchmarks/activation_grid.json has them. Asked for: at least 20 times one network per process.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from dynatlas.artefacts import write_json
from dynatlas.datasets.digits import permuted_digits
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.jobs import Job
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.rnn import readout

ROOT = Path(__file__).resolve().parents[1]
UNITS, BATCH, UPDATES, RATE = 32, 32, 3, 3e-3
STARTS = list(product((1, 2.5, 5, 7.5, 10, 12.5, 15, 17.5, 20, 30), (-0.1, 0, 0.1, 0.25, 0.5, 1)))
ALONE, LENGTH = 3, 200
"""Networks that are trained one by one, and updates over which the start of a process is spread."""
Weights = ("w_in", "w_rec", "b", "w_out", "b_out")


class Grid:
    """The same networks and batches for every contender; each gives the losses of the last update (network,)."""

    def __init__(self) -> None:
        data, generator = permuted_digits(4), Job("benchmark", [0]).generator("batches", 0)
        chosen = torch.randint(len(data), (UPDATES, BATCH), generator=generator)
        self.x, self.y = data.x[chosen].transpose(1, 2), data.y[chosen]
        self.network = GainSaturationRNN(4, UNITS, 10)
        self.params = self.network.initialise(Job("benchmark", [0]).generators("start"), len(STARTS), shared=True)
        for name, which in (("gain", 0), ("saturation", 1)):
            self.params[name] = torch.tensor([float(start[which]) for start in STARTS])[:, None].repeat(1, UNITS)

    def stack(self, by_hand: bool = True) -> Tensor:
        still = {} if by_hand else {"noise": torch.zeros(1)}  # with noise the stack goes step by step

        def loss(params: Params, step: int) -> Tensor:
            states = self.network.rollout(params, self.x[step], **still)[:, -1]
            outputs = readout(params, states)
            picked = outputs.gather(-1, self.y[step].expand(len(outputs), -1)[..., None])[..., 0]
            return (outputs.logsumexp(dim=-1) - picked).mean(dim=1)

        done = fit(loss, self.params, steps=UPDATES, optimiser=Adam(lr=RATE), trainable=Weights, log_at=Every(1))
        return done.losses.values["loss"][-1]

    def alone(self) -> Tensor:
        return torch.stack([self._one(network) for network in range(0, len(STARTS), len(STARTS) // ALONE)])

    def _one(self, network: int) -> Tensor:
        w = {name: self.params[name][network].clone().requires_grad_() for name in Weights}
        (n, s), optimiser = STARTS[network], torch.optim.Adam(w.values(), lr=RATE)
        for x, y in zip(self.x, self.y, strict=True):
            state = x.new_zeros(BATCH, UNITS)
            for now in x:
                h = now @ w["w_in"] + state @ w["w_rec"] + w["b"]
                state = (1 - s) * torch.nn.functional.softplus(n * h) / n + s * torch.sigmoid(n * h)
            loss = torch.nn.functional.cross_entropy(state @ w["w_out"] + w["b_out"], y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.detach()

    def products(self) -> Tensor:
        x, w = self.x[0].expand(len(STARTS), -1, -1, -1), self.params
        for _ in range(UPDATES):
            drive = torch.bmm(x.flatten(1, 2), w["w_in"]).unflatten(1, x.shape[1:3])
            state = drive[:, 0]
            for now in drive.unbind(1):
                h = torch.baddbmm(now, state, w["w_rec"])
                state = torch.sigmoid(h) + torch.nn.functional.softplus(h)
        return state


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    keep_freed_memory()
    grid = Grid()
    ours = grid.stack()
    torch.testing.assert_close(grid.stack(by_hand=False), ours, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grid.alone(), ours[:: len(STARTS) // ALONE], rtol=1e-4, atol=1e-4)
    begin = [sys.executable, "-c", "import torch"]
    times: dict[str, list[float]] = {name: [] for name in ("stack", "autograd", "one network", "one process", "floor")}
    for _ in range(repeats):
        times["stack"].append(seconds(grid.stack))
        times["autograd"].append(seconds(lambda: grid.stack(by_hand=False)))
        times["one network"].append(seconds(grid.alone) * len(STARTS) / ALONE)
        started = seconds(lambda: subprocess.run(begin, check=True)) * len(STARTS) * UPDATES / LENGTH
        times["one process"].append(times["one network"][-1] + started)
        times["floor"].append(seconds(grid.products))
    rows = {
        name: {"seconds": median(own), "ratio": median(a / b for a, b in zip(own, times["stack"], strict=True))}
        for name, own in times.items()
    }
    print(f"{UPDATES} updates of {len(STARTS)} networks, median of {repeats}")
    for name, row in rows.items():
        print(f"{name:12s} {1e3 * row['seconds']:9.1f} ms   {row['ratio']:6.2f} x the stack")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:.0f} MB")
    machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "peak_mb": peak}
    write_json(ROOT / "results" / "benchmarks" / "activation_grid.json", machine, {"rows": rows})


if __name__ == "__main__":
    main()
