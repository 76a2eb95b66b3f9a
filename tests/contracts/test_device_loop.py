"""The training loop with all that it remembers on a device that is not the CPU (see `tests/support/pretended.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from pretended import DEVICE, DeviceMixture, Stream, pretended_device, same_there

from dynatlas import jobs
from dynatlas.devices import moved
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.methods import Backprop
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import RunningMean, Watch
from dynatlas.jobs import Job
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.seeds import stream_key, torch_stream

SEEDS, STEPS = 3, 9


@pytest.fixture(autouse=True)
def pretended_streams(monkeypatch):
    """A job's generators on the pretended device are that device's."""

    def made(base, study, purpose, seed, device="cpu"):
        if torch.device(device).type == DEVICE.type:
            return Stream().manual_seed(stream_key(base, study, purpose, seed))
        return torch_stream(base, study, purpose, seed, device)

    monkeypatch.setattr(jobs, "torch_stream", made)


class Killed(Exception):
    pass


@dataclass(frozen=True)
class Cutting:
    """Every third update the smallest weight of each member is cut, for good, and its moments are forgotten."""

    def start(self, parameters):
        return {"mask": torch.ones_like(parameters["w"], dtype=torch.bool)}

    def gradient(self, loss, parameters, batch, memory, step):
        losses, gradient = Backprop().gradient(loss, {"w": parameters["w"] * memory["mask"]}, batch, memory, step)
        return losses, {"w": gradient["w"] * memory["mask"]}

    def between(self, parameters, moments, memory, *, step, active):
        if step % 3 == 0:
            size = parameters["w"].abs().masked_fill(~memory["mask"], torch.inf)
            memory["mask"] = memory["mask"].scatter(1, size.argmin(dim=1, keepdim=True), False)
            for tensor in (parameters["w"], *(moment["w"] for moment in moments.values())):
                tensor.masked_fill_(~memory["mask"], 0.0)


def learn(job, start, *, dies=-1, noise_device=None):
    """Data are drawn on the CPU and moved, noise is drawn where it is used."""
    streams = job.generators("data")
    noise = WeightNoise(job.generators("noise", device=noise_device or job.device), 0.05)

    def draw(step):
        x = torch.stack([torch.randn(6, generator=g, dtype=torch.float64) for g in streams])
        if step == dies:
            raise Killed
        return moved(x, job.device)

    def loss(params, x):
        return ((noise.add(params)["w"] - x) ** 2).sum(1)

    look = Watch(
        lambda params, step: {"size": params["w"].abs().sum(1)},
        at=Every(2),
        remember=RunningMean("size"),
        reached=lambda seen: seen["mean size"] < 5.0,
        keep=True,
    )
    return fit(
        draw,
        loss,
        moved(start, job.device),
        steps=torch.tensor([4, STEPS, STEPS]),
        optimiser=Adam(lr=0.1),
        method=Cutting(),
        watches={"size": look},
        log_at=Every(1),
        job=job,
    )


def start():
    return {"w": torch.linspace(0.5, 2.0, SEEDS * 6, dtype=torch.float64).view(SEEDS, 6)}


def found(fitted):
    logs = {"losses": fitted.losses.values, "size": fitted.logs["size"].values, "kept": fitted.parameters_at["size"]}
    memories = {"optimiser": fitted.optimiser, "method": fitted.method, "watched": fitted.watched["size"]}
    return {"parameters": fitted.parameters, "crossed": fitted.crossed_at["size"], **logs, **memories}


@pytest.mark.parametrize("dies", [None, 0, 5, 8])
def test_it_has_the_bits_of_the_cpu_killed_or_not(tmp_path, dies):
    def learned(tree):
        place = tree["w"].device
        scratch = tmp_path / place.type
        if dies is not None:
            with pytest.raises(Killed):
                learn(Job("there", range(SEEDS), device=place, scratch=scratch, checkpoint_seconds=0), tree, dies=dies)
        return found(learn(Job("there", range(SEEDS), device=place, scratch=scratch), tree))

    same_there(learned, start())


def test_noise_that_is_drawn_elsewhere_than_where_it_is_used_is_refused():
    with pretended_device() as device, pytest.raises(DeviceMixture):
        learn(Job("there", range(SEEDS), device=device), start(), noise_device="cpu")
