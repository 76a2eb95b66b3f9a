"""What is trained: networks that read images row by row, on the images' own labels and on shuffled ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.models.rnn import readout
from dynatlas.studies.rnn_geometry.world import Images, followed_by_blanks, labels_for, named, network

Arrays = dict[str, Tensor]


def train_networks(
    job: Job, *, labels: dict[str, str], blank: int, images: dict[str, Any], units: int, epochs: int, batch: int,
    learning_rate: float,
) -> Arrays:  # fmt: skip
    """Networks that learn to name an image `blank` empty rows after its last one: cross-entropy at that step only.

    `labels` names the networks and says what they learn: "own" or "shuffled" labels. All networks of a seed start from
    the same weights and see the same images in the same order. Returns `<name>.w_in`, ... with leading axis seed,
    `<name>.losses` (step, seed), and `<name>.diverged` (seed,): which keep their last finite weights.
    """
    data = Images(**images).read(device=job.device).train
    seeds, kinds = len(job.seeds), len(labels)
    rnn = network(units)
    start = rnn.initialise(job.generators("initialisation"), kinds, shared=True)
    targets = torch.stack([labels_for(job, kind, data.y, part="train") for kind in labels.values()], dim=1)
    order = batches(job, len(data), epochs=epochs, size=batch)

    def loss(params: Params, step: int) -> Tensor:
        chosen = order[step]
        x = followed_by_blanks(data.x[chosen].transpose(1, 2), blank).repeat_interleave(kinds, 0)
        wanted = targets.gather(2, chosen[:, None].expand(-1, kinds, -1)).flatten(0, 1)
        outputs = readout(params, rnn.rollout(params, x)[:, -1])
        return torch.nn.functional.cross_entropy(outputs.mT, wanted, reduction="none").mean(dim=1)

    fitted = fit(
        loss,
        start,
        steps=len(order),
        optimiser=Adam(lr=learning_rate),
        clip_norm=1.0,
        job=job,
        name=" and ".join(labels),
    )
    course = fitted.losses.values["loss"].unflatten(1, (seeds, kinds))
    result: Arrays = {}
    for which, name in enumerate(labels):
        result |= named(name, {part: w[which::kinds] for part, w in fitted.parameters.items()})
        result[f"{name}.losses"] = course[:, :, which]
        result[f"{name}.diverged"] = fitted.diverged_at[which::kinds] >= 0
    return result


def batches(job: Job, count: int, *, epochs: int, size: int) -> Tensor:
    """Which images each seed sees at each update (update, seed, size): a new order each epoch, its remainder unused."""
    if not 0 < size <= count:
        raise ValueError(f"batch = {size}: wanted is 1 to {count}, the number of images")
    orders = []
    for generator in job.generators("batches"):
        drawn = [torch.randperm(count, generator=generator, device=generator.device) for _ in range(epochs)]
        orders.append(torch.stack(drawn)[:, : count - count % size].reshape(-1, size))
    return torch.stack(orders, dim=1)


def draw_untrained(job: Job, *, draws: dict[str, str], units: int) -> Arrays:
    """Networks that never learn, by name, from the random streams of `draws`: learning starts from "initialisation"."""
    result: Arrays = {}
    for name, purpose in draws.items():
        result |= named(name, network(units).initialise(job.generators(purpose)))
    return result
