"""One training step of an ensemble of RNNs against what one would write otherwise, and against its matrix products.

    python benchmarks/ensemble.py [--repeats 15]

A step is forward, backward, clip and Adam of 16 (32) seeds of a 64-unit relu RNN on 48 trials of 21 steps with 3
outputs, without noise, every seed on its own trials. All contenders start from the same weights and must reach the
same losses. They take turns within each repeat; the table shows median times and medians of the ratios within repeats,
and results/benchmarks/ensemble.json has them.
Asked for, on two threads: 5 times the Python cell, 3 times torch.nn.RNN, at most 2.2 times the time for 32 seeds.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from dynatlas.artefacts import write_json
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.schedules import Every
from dynatlas.jobs import Job
from dynatlas.models.noise import StepNoise
from dynatlas.models.rnn import ElmanRNN, Params, readout

ROOT = Path(__file__).resolve().parents[1]
UNITS, TRIALS, STEPS, N_OUT = 64, 48, 21, 3
SEEDS = (16, 32)
STEPS_A_TURN = 3
RATE, CLIP = 1e-3, 1.0
Train = Callable[[int], Tensor]
"""Makes so many training steps from where the weights are, and gives the last losses (seed,)."""


class PythonCell(nn.Module):
    """A recurrent network as one writes it in an afternoon."""

    def __init__(self, n_in: int):
        super().__init__()
        self.inward, self.recurrent = nn.Linear(n_in, UNITS), nn.Linear(UNITS, UNITS, bias=False)
        self.outward = nn.Linear(UNITS, N_OUT)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[1], UNITS)
        states = []
        for now in x:
            state = torch.relu(self.inward(now) + self.recurrent(state))
            states.append(state)
        return self.outward(torch.stack(states))

    def load(self, tree: Params) -> PythonCell:
        self.inward.weight.data, self.inward.bias.data = tree["w_in"].T.clone(), tree["b"].clone()
        self.recurrent.weight.data = tree["w_rec"].T.clone()
        self.outward.weight.data, self.outward.bias.data = tree["w_out"].T.clone(), tree["b_out"].clone()
        return self


class TorchRNN(nn.Module):
    """torch's own fused recurrence with a linear readout."""

    def __init__(self, n_in: int):
        super().__init__()
        self.recurrence, self.outward = nn.RNN(n_in, UNITS, nonlinearity="relu"), nn.Linear(UNITS, N_OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.outward(self.recurrence(x)[0])

    def load(self, tree: Params) -> TorchRNN:
        rnn = self.recurrence
        rnn.weight_ih_l0.data, rnn.weight_hh_l0.data = tree["w_in"].T.clone(), tree["w_rec"].T.clone()
        rnn.bias_ih_l0.data, rnn.bias_hh_l0.data = tree["b"].clone(), torch.zeros_like(tree["b"])
        rnn.bias_hh_l0.requires_grad_(False)  # a second bias would make it another model
        self.outward.weight.data, self.outward.bias.data = tree["w_out"].T.clone(), tree["b_out"].clone()
        return self


class Problem:
    """The same networks and trials for every contender."""

    def __init__(self, seeds: int, n_in: int):
        self.seeds, self.n_in = seeds, n_in
        self.job = Job("benchmark", range(seeds))
        self.network = ElmanRNN(n_in, UNITS, N_OUT)
        self.params = self.network.initialise(self.job.generators("initialisation"))
        draws = self.job.generators("task")
        self.x = torch.stack([torch.randn(STEPS, TRIALS, n_in, generator=g) for g in draws])
        self.y = torch.stack([torch.randn(STEPS, TRIALS, N_OUT, generator=g) for g in draws])

    def ensemble(self, noise: float = 0.0) -> Train:
        held = {"params": self.params}
        drawn = StepNoise(self.job.generators("noise"), noise) if noise else None

        def loss(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
            x, y = batch
            return (readout(params, self.network.rollout(params, x, noise=drawn)) - y).square().mean((1, 2, 3))

        def draw(step: int) -> tuple[Tensor, Tensor]:
            return self.x, self.y

        def train(steps: int) -> Tensor:
            given = {"optimiser": Adam(lr=RATE), "clip_norm": CLIP, "log_at": Every(1)}
            done = fit(draw, loss, held["params"], steps=steps, **given)
            held["params"] = done.parameters
            return done.losses.values["loss"][-1]

        return train

    def modules(self, kind: type[PythonCell] | type[TorchRNN]) -> Train:
        trees = [{name: tensor[seed] for name, tensor in self.params.items()} for seed in range(self.seeds)]
        networks = [kind(self.n_in).load(tree) for tree in trees]
        parameters = [[p for p in network.parameters() if p.requires_grad] for network in networks]
        optimisers = [torch.optim.Adam(own, lr=RATE) for own in parameters]

        def once(seed: int) -> Tensor:
            optimisers[seed].zero_grad()
            loss = (networks[seed](self.x[seed]) - self.y[seed]).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters[seed], CLIP)
            optimisers[seed].step()
            return loss.detach()

        return lambda steps: torch.stack([once(seed) for _ in range(steps) for seed in range(self.seeds)])[
            -self.seeds :
        ]

    def stacked(self) -> Train:
        """All seeds in batched products, through plain autograd and torch's Adam."""
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in self.params.items()}
        optimiser = torch.optim.Adam(leaves.values(), lr=RATE)

        def once() -> Tensor:
            optimiser.zero_grad()
            state = self.x.new_zeros(self.seeds, TRIALS, UNITS)
            states = []
            for t in range(STEPS):
                drive = torch.baddbmm(leaves["b"][:, None], self.x[:, t], leaves["w_in"])
                state = torch.relu(torch.baddbmm(drive, state, leaves["w_rec"]))
                states.append(state)
            flat = torch.stack(states, 1).flatten(1, 2)
            out = torch.baddbmm(leaves["b_out"][:, None], flat, leaves["w_out"])
            losses = (out.view_as(self.y) - self.y).square().mean((1, 2, 3))
            losses.sum().backward()
            norm = torch.stack([leaf.grad.flatten(1).norm(dim=1) for leaf in leaves.values()]).norm(dim=0)
            for leaf in leaves.values():
                leaf.grad *= (CLIP / (norm + 1e-6)).clamp_max(1).view(-1, *[1] * (leaf.dim() - 1))
            optimiser.step()
            return losses.detach()

        return lambda steps: [once() for _ in range(steps)][-1]

    def products(self) -> Train:
        """The matrix products of one step alone, into memory that is already there."""
        state, gradient = torch.rand(2, self.seeds, TRIALS, UNITS)
        states, drives = torch.rand(2, self.seeds, STEPS * TRIALS, UNITS)
        w_rec, w_in = self.params["w_rec"], self.params["w_in"]
        w_out, out = self.params["w_out"].mT.contiguous(), torch.rand(self.seeds, N_OUT, STEPS * TRIALS)
        x = self.x.flatten(1, 2)
        written = {"rec": torch.empty_like(w_rec), "in": torch.empty_like(w_in), "out": torch.empty_like(w_out)}

        def once() -> None:
            torch.bmm(x, w_in, out=drives)
            for _ in range(STEPS):
                torch.bmm(state, w_rec, out=gradient)
                torch.bmm(gradient, w_rec.mT, out=state)
            torch.bmm(w_out, states.mT, out=out)
            torch.bmm(out, states, out=written["out"])
            torch.bmm(out.mT, w_out, out=drives)
            torch.bmm(states.mT, drives, out=written["rec"])
            torch.bmm(x.mT, drives, out=written["in"])

        def train(steps: int) -> Tensor:
            for _ in range(steps):
                once()
            return torch.zeros(self.seeds)

        return train


def contenders(problem: Problem) -> dict[str, Train]:
    """Everything that is timed; the first four do the same work."""
    return {
        "ensemble": problem.ensemble(),
        "python cell, looped": problem.modules(PythonCell),
        "torch.nn.RNN, looped": problem.modules(TorchRNN),
        "stacked autograd": problem.stacked(),
        "ensemble with noise": problem.ensemble(noise=0.05),
        "matrix products alone": problem.products(),
    }


def measure(n_in: int, *, repeats: int) -> dict[tuple[str, int], list[float]]:
    """Milliseconds of one training step of (contender, seeds) in every repeat; within a repeat all take turns."""
    trains = {}
    for seeds in SEEDS:
        these = contenders(Problem(seeds, n_in))
        losses = {name: train(2) for name, train in these.items()}
        for name in list(these)[1:4]:
            torch.testing.assert_close(losses[name], losses["ensemble"], rtol=1e-4, atol=1e-5)
        trains |= {(name, seeds): train for name, train in these.items()}
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in trains}
    for _ in range(repeats):
        for key, train in trains.items():
            begun = time.perf_counter()
            train(STEPS_A_TURN)
            taken[key].append(1000 * (time.perf_counter() - begun) / STEPS_A_TURN)
    return taken


def ratio(of: list[float], to: list[float]) -> float:
    """The median of the ratios within a repeat, which a machine that is busy now and then disturbs least."""
    return median(a / b for a, b in zip(of, to, strict=True))


def tabulate(threads: int, n_in: int, *, repeats: int) -> list[dict[str, float | int | str]]:
    """Rows of the table for one number of threads and inputs, printed as they come."""
    torch.set_num_threads(threads)
    taken = measure(n_in, repeats=repeats)
    few, many = SEEDS
    rows = []
    for name in dict.fromkeys(name for name, _ in taken):
        row = {"threads": threads, "inputs": n_in, "contender": name}
        row |= {f"ms_{seeds}": median(taken[name, seeds]) for seeds in SEEDS}
        row["times_ensemble"] = ratio(taken[name, few], taken["ensemble", few])
        row["ratio_32_16"] = ratio(taken[name, many], taken[name, few])
        rows.append(row)
        print(
            f"{threads} threads, {n_in:2} inputs  {name:22} {row['ms_16']:8.2f} ms  x{row['times_ensemble']:5.2f}"
            f"   32 seeds {row['ms_32']:8.2f} ms  x{row['ratio_32_16']:.2f}",
            flush=True,
        )
    return rows


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    keep_freed_memory()  # for all contenders alike
    rows = [row for threads in (2, 1) for n_in in (5, 14) for row in tabulate(threads, n_in, repeats=repeats)]
    machine = {"torch": torch.__version__, "machine": platform.machine(), "repeats": repeats}
    write_json(ROOT / "results" / "benchmarks" / "ensemble.json", machine, {"rows": rows})


if __name__ == "__main__":
    main()
