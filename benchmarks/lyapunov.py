"""Lyapunov spectra and Jacobians: ours, what the papers' code does, and the bare products and QRs underneath.

    python benchmarks/lyapunov.py

prints two tables and writes results/benchmarks/lyapunov.json. 32 networks of 64 units, 10 sequences of 100 steps,
float64. The peer takes one network after another, multiplies dense diagonal matrices into its Jacobians and does a QR
at each step, as the code of arXiv 2006.14123 does (LSTM: hidden state only, hence 64 exponents against our 128); both
must find the same exponents. The floor is what the QR method cannot do without: one batched product and one batched QR
a step, on matrices that are already there. Peer and floor are timed on 2 of the 32 networks, times 16. Each case is
measured in a process of its own, on one thread or two; times are medians of the processor's seconds (for one thread
against two: of the clock's), memory is what the process's peak rose by. `--only LSTM` measures the cases whose name
holds that, and keeps the others as they were measured before.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _memory import peak_rise
from torch import Tensor

from dynatlas.artefacts import read_json, write_json
from dynatlas.instruments.lyapunov import lyapunov_spectrum, random_frame
from dynatlas.jobs import Job
from dynatlas.models.gated import GRU, LSTM, Elman, Stacked

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "lyapunov.json"
NETWORKS, UNITS, SEQUENCES, STEPS, INPUTS, SAMPLE = 32, 64, 10, 100, 4, 2
DOUBLE = torch.float64
AT_TORCH_INIT = {"input_gain": math.sqrt(INPUTS / UNITS)}


def gaussian(gain: float) -> dict[str, object]:
    return {"recurrent_init": "gaussian", "recurrent_gain": gain, **AT_TORCH_INIT}


CELLS: dict[str, Stacked] = {
    "tanh, torch's init": Elman(INPUTS, UNITS, 1, **AT_TORCH_INIT),
    "tanh, gain 1": Elman(INPUTS, UNITS, 1, **gaussian(1.0)),
    "tanh, gain 1.5": Elman(INPUTS, UNITS, 1, **gaussian(1.5)),
    "GRU": GRU(INPUTS, UNITS, 1, **AT_TORCH_INIT),
    "LSTM": LSTM(INPUTS, UNITS, 1, **AT_TORCH_INIT),
}


JACOBIANS = ("tanh, gain 1", "GRU", "LSTM")


def ensemble(name: str) -> dict[str, Tensor]:
    return CELLS[name].initialise(Job("benchmark", range(NETWORKS)).generators("initialisation"), dtype=DOUBLE)


def inputs() -> Tensor:
    return drawn("inputs", STEPS, SEQUENCES, INPUTS)


def drawn(purpose: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=Job("benchmark", [0]).generator(purpose, 0), dtype=DOUBLE)


def ours(name: str, k: int | None, qr_every: int | str) -> Callable[[], object]:
    params, x = ensemble(name), inputs()
    return lambda: lyapunov_spectrum(CELLS[name], params, x, k=k, burn_in=0, qr_every=qr_every)  # type: ignore[arg-type]


def floor(name: str, k: int | None) -> Callable[[], object]:
    """One product and one QR a step, in batches of one network's sequences, which is quicker than all at once."""
    d = CELLS[name].state_size
    jacobians = drawn("jacobians", SEQUENCES, d, d)

    def bare() -> None:
        for _ in range(SAMPLE):
            q = random_frame(d, k or d).expand(SEQUENCES, d, k or d).contiguous()
            for _ in range(STEPS):
                q = torch.linalg.qr(torch.bmm(jacobians, q)).Q

    return bare


def peer(name: str, k: int | None, dtype: torch.dtype = DOUBLE) -> Callable[[], Tensor]:
    """Exponents (network, sequence, k) of the sample, in bits per step."""
    params, x = ensemble(name), inputs().to(dtype)
    jacobian = {Elman: dense_elman, GRU: dense_gru, LSTM: dense_lstm}[type(CELLS[name])]

    def one_after_another() -> Tensor:
        found = []
        for network in range(SAMPLE):
            w = {key: tensor[network].to(dtype) for key, tensor in params.items()}
            state = x.new_zeros(SEQUENCES, CELLS[name].state_size)
            q = torch.eye(UNITS, k or UNITS, dtype=dtype).expand(SEQUENCES, -1, -1)
            logs = []
            for given in x:
                q, r = torch.linalg.qr(jacobian(w, given, state) @ q)
                signs = torch.diag_embed(r.diagonal(dim1=1, dim2=2).sign())
                q, r = q @ signs, signs @ r
                logs.append(r.diagonal(dim1=1, dim2=2).log2())
                state = CELLS[name].step(w, given, state)
            found.append(torch.stack(logs).mean(dim=0))
        return torch.stack(found)

    return one_after_another


def agree(name: str) -> None:
    """Ours and the peer's exponents of the sample are the same; raises AssertionError naming how far they are apart."""
    params = {key: tensor[:SAMPLE] for key, tensor in ensemble(name).items()}
    q0 = torch.eye(UNITS, dtype=DOUBLE)
    mine = lyapunov_spectrum(CELLS[name], params, inputs(), q0=q0, burn_in=0, state="hidden").exponents
    torch.testing.assert_close(mine / math.log(2), peer(name, None)(), rtol=0, atol=1e-7)


def dense_elman(w: dict[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
    argument = x @ w["w_in_l0"] + h @ w["w_rec_l0"]
    return torch.diag_embed(1 - argument.tanh() ** 2) @ w["w_rec_l0"].T


def diagonal(values: Tensor) -> tuple[Tensor, ...]:
    """Dense diagonal blocks, one for each gate, cut out of the dense diagonal matrix of all gates."""
    whole = torch.diag_embed(values)
    cuts = [slice(start, start + UNITS) for start in range(0, values.shape[-1], UNITS)]
    return tuple(whole[:, cut, cut] for cut in cuts)


def dense_gru(w: dict[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
    given, own = x @ w["w_in_l0"], h @ w["w_rec_l0"]
    c = own[:, 2 * UNITS :]
    gate = torch.sigmoid(given + own)
    r, z, _ = diagonal(gate)
    r_slope, z_slope, _ = diagonal(gate * (1 - gate))
    new = torch.tanh(given[:, 2 * UNITS :] + gate[:, :UNITS] * c)
    w_r, w_z, w_n = w["w_rec_l0"].T.chunk(3)
    one = torch.diag_embed(torch.ones_like(h))
    inner = r @ w_n + r_slope @ torch.diag_embed(c) @ w_r
    outer = z_slope @ torch.diag_embed(h) @ w_z - z_slope @ torch.diag_embed(new) @ w_z
    return outer + z + (one - z) @ (torch.diag_embed(1 - new**2) @ inner)


def dense_lstm(w: dict[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
    h, c = s.chunk(2, dim=-1)
    argument = x @ w["w_in_l0"] + h @ w["w_rec_l0"]
    gate = torch.sigmoid(argument)
    i, _, _, o = diagonal(gate)
    i_slope, f_slope, _, o_slope = diagonal(gate * (1 - gate))
    _, _, g, _ = diagonal(argument.tanh())
    _, _, g_slope, _ = diagonal(1 - argument.tanh() ** 2)
    values = gate.chunk(4, dim=-1)
    memory = values[1] * c + values[0] * argument.chunk(4, dim=-1)[2].tanh()
    w_i, w_f, w_g, w_o = w["w_rec_l0"].T.chunk(4)
    into = f_slope @ torch.diag_embed(c) @ w_f + (i_slope @ g) @ w_i + (i @ g_slope) @ w_g
    squashed = torch.diag_embed(memory.tanh())
    return o @ torch.diag_embed(1 - memory.tanh() ** 2) @ into + o_slope @ squashed @ w_o


def jacobians(name: str, analytic: bool) -> Callable[[], object]:
    """Of one network at 10 states."""
    cell = CELLS[name]
    w = {key: tensor[0] for key, tensor in ensemble(name).items()}
    x = inputs()[0]
    s = drawn("states", SEQUENCES, cell.state_size)
    if analytic:
        return lambda: cell.jacobian(w, x, s)
    automatic = torch.func.vmap(torch.func.jacrev(lambda given, state: cell.step(w, given, state), argnums=1))
    return lambda: automatic(x, s)


def measured(
    make: Callable[..., Callable[[], object]], *of: object, repeats: int, threads: int = 1, factor: float = 1.0
) -> dict[str, float]:
    """Of `make(*of)`: median seconds of the processor and of the clock, times `factor`, and the rise of peak memory."""
    torch.set_num_threads(threads)
    call = make(*of)
    rise = peak_rise(call)
    processor, clock = [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        call()
        processor.append(time.process_time() - start[0])
        clock.append(time.perf_counter() - start[1])
    return {
        "seconds": factor * statistics.median(processor),
        "clock": factor * statistics.median(clock),
        "MiB": rise,
    }


def cases(repeats: int) -> dict[str, Callable[[], dict[str, float]]]:
    """Every measurement by name."""
    found: dict[str, Callable[[], dict[str, float]]] = {}
    time_it = partial(measured, repeats=repeats)
    of_sample = partial(time_it, factor=NETWORKS / SAMPLE)
    for name in CELLS:
        for k in (None, 16):
            key = f"{name} | {k or 'all'}"
            for qr_every in (1, "auto"):
                found[f"{key} | ours, qr_every={qr_every}"] = partial(time_it, ours, name, k, qr_every)
            found[f"{key} | ours, two threads"] = partial(time_it, ours, name, k, "auto", threads=2)
            found[f"{key} | floor"] = partial(of_sample, floor, name, k)
            found[f"{key} | peer"] = partial(of_sample, peer, name, k)
            found[f"{key} | peer, float32"] = partial(of_sample, peer, name, k, torch.float32)
    for name in JACOBIANS:
        for label, analytic in (("ours", True), ("torch.func", False)):
            found[f"{name} | jacobian | {label}"] = partial(measured, jacobians, name, analytic, repeats=50)
    return found


AT_FLOOR = 1.1
"""Nothing is left to gain within so many times the floor."""
LABELS = ("ours, qr_every=1", "ours, qr_every=auto", "ours, two threads", "floor", "peer", "peer, float32")
Found = dict[str, dict[str, float]]


def table(found: Found) -> str:
    """Markdown: seconds (MiB) of every case."""
    lines = ["| cell | exponents | " + " | ".join(LABELS) + " |", "|" + " --- |" * (2 + len(LABELS))]
    for name in CELLS:
        for k in ("all", "16"):
            one = (found[f"{name} | {k} | {label}"] for label in LABELS)
            cells = [f"{value['seconds']:.2f} s ({value['MiB']:.0f} MiB)" for value in one]
            lines.append(f"| {name} | {k} | " + " | ".join(cells) + " |")
    for name in JACOBIANS:
        mine, theirs = (found[f"{name} | jacobian | {label}"] for label in ("ours", "torch.func"))
        lines.append(f"\n{name}, Jacobians of 10 states: {1e3 * mine['seconds']:.3f} ms ({mine['MiB']:.0f} MiB), ")
        lines[-1] += f"by torch.func {1e3 * theirs['seconds']:.3f} ms ({theirs['MiB']:.0f} MiB)"
    return "\n".join(lines)


def targets(found: Found) -> str:
    """Markdown: what was asked for, what is reached, and what the floor would reach in its place."""

    def seconds(name: str, k: str, label: str) -> float:
        if label == "ours":
            return min(seconds(name, k, one) for one in LABELS[:2])
        return found[f"{name} | {k} | {label}"]["seconds"]

    def row(name: str, k: str, wanted: float, *, of: str | None = None) -> tuple[str, float, float, float]:
        """How often the peer's time for `of` exponents (default k) holds ours for k."""
        theirs, full = seconds(name, of or k, "peer"), "full " if of else ""
        ratios = theirs / seconds(name, k, "ours"), theirs / seconds(name, k, "floor")
        return f"{name}, {k} exponents: {full}peer / ours", wanted, *ratios

    rows = [row("GRU", "all", 5), row("tanh, torch's init", "all", 4)]
    for name in ("tanh, gain 1", "tanh, gain 1.5", "LSTM"):
        reached = seconds(name, "all", "floor") / seconds(name, "all", "ours")
        rows.append((f"{name}, all exponents: floor / ours", 1 / 1.5, reached, 1.0))
    for name in CELLS:
        rows += [row(name, "16", 18, of="all"), row(name, "16", 8)]
    for name in CELLS:
        for k in ("all", "16"):
            one, two = (found[f"{name} | {k} | {label}"]["clock"] for label in LABELS[1:3])
            rows.append((f"{name}, {k} exponents: one thread / two", 1.6, one / two, math.nan))
    for name in JACOBIANS:
        mine, theirs = (found[f"{name} | jacobian | {label}"]["seconds"] for label in ("ours", "torch.func"))
        rows.append((f"{name}, Jacobians: torch.func / ours", 5, theirs / mine, math.nan))
    lines = ["| ratio | asked for | reached | floor | |", "| --- | --- | --- | --- | --- |"]
    for label, wanted, reached, bare in rows:
        short = "at the floor" if reached >= bare / AT_FLOOR else "missed"
        shown = "" if math.isnan(bare) else f"{bare:.2f}"
        lines.append(f"| {label} | {wanted:.2g} | {reached:.2f} | {shown} | {'' if reached >= wanted else short} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="measure the cases whose name holds this; keep the others")
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(cases(chosen.repeats)[chosen.case]()))
        return
    found: Found = read_json(OUT)["measured"] if chosen.only and OUT.exists() else {}
    names = cases(chosen.repeats)
    for name in CELLS:
        agree(name)
    for name in (one for one in names if chosen.only in one):
        program = [sys.executable, __file__, "--repeats", str(chosen.repeats), "--case", name]
        found[name] = json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
        print(f"{name}: {found[name]['seconds']:.4f} s, {found[name]['MiB']:.0f} MiB", file=sys.stderr, flush=True)
    machine = {"torch": torch.__version__, "machine": platform.machine(), "repeats": chosen.repeats}
    write_json(OUT, machine, {"measured": found})
    missing = len(names.keys() - found.keys())
    print(f"not yet measured: {missing} of {len(names)} cases" if missing else f"{table(found)}\n\n{targets(found)}")


if __name__ == "__main__":
    main()
