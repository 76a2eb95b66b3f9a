"""Networks that learn classes by plain stochastic gradient descent, several conditions of each seed as one ensemble.

What conditions of a seed share, initial weights and batches, is what they are paired by; what differs between them is
their learning rate, their labels, and the noise on their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dynatlas.datasets.batches import draw_batch
from dynatlas.datasets.labelled import Labelled
from dynatlas.devices import moved
from dynatlas.ensemble.classification import cross_entropy
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import snapshot_at
from dynatlas.jobs import Job
from dynatlas.models.weight_noise import WeightNoise


def train_classifiers(
    job: Job,
    train: Labelled,
    logits: Callable[[Params, Tensor], Tensor],
    start: Params,
    *,
    name: str,
    batch: int,
    steps: int,
    learning_rates: Sequence[float],
    weight_noise: Sequence[float] = (),
    labels: Tensor | None = None,
    stream: str = "batches",
    snapshots: Sequence[int] = (),
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Fitted:
    """Members that learn the classes of `train`, x (example, input), for each seed and condition (seed-major).

    Args:
        job: seeds, streams and device; the loop saves itself there as `name`.
        train: what is learned, on the job's device.
        logits: of parameters and inputs (member, example, input).
        start: initial parameters, seeds x conditions.
        name: of the loop.
        batch: examples an update, drawn with replacement from the stream `stream` of each seed.
        steps: updates.
        learning_rates: of each condition.
        weight_noise: standard deviation of the noise on the weights at which gradients are taken, of each condition.
        labels: (seed, condition, example) of the first examples, in the place of the true ones of all.
        stream: purpose of the stream of batches.
        snapshots: steps after which parameters are kept, in the log `snapshots`.
        loss: of logits and classes, (member,).
    """
    seeds, conditions = len(job.seeds), len(learning_rates)
    wanted = train.y.expand(seeds, conditions, -1) if labels is None else labels
    batches = job.generators(stream)
    sigma = torch.tensor(weight_noise, device=job.device).repeat(seeds)
    draws = job.generators("weight noise", device=job.device) if bool(sigma.any()) else []
    noise = WeightNoise(draws, sigma, conditions, shared=True) if draws else None

    def draw(step: int) -> tuple[Tensor, Tensor]:
        index = draw_batch(wanted.shape[2], size=batch, generators=batches).to(job.device)
        x = train.x[index].repeat_interleave(conditions, dim=0)
        return x, wanted.gather(2, index[:, None].expand(-1, conditions, -1)).flatten(0, 1)

    def at(params: Params, drawn: tuple[Tensor, Tensor]) -> Tensor:
        x, y = drawn
        return loss(logits(noise.add(params) if noise else params, x), y)

    return fit(
        draw,
        at,
        moved(start, job.device),
        steps=steps,
        optimiser=SGD(lr=torch.tensor(learning_rates, device=job.device).repeat(seeds)),
        watches={"snapshots": snapshot_at(snapshots)} if snapshots else {},
        log_at=Every(100),
        job=job,
        name=name,
    )
