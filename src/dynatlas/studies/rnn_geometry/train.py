"""What is trained: networks that read images row by row, on the images' own labels and on shuffled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.datasets.batches import batch_order
from dynatlas.devices import moved
from dynatlas.ensemble.classification import cross_entropy
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.members import Group, Members, stack
from dynatlas.models.rnn import readout
from dynatlas.studies.rnn_geometry.world import Images, followed_by_blanks, labels_for, network

if TYPE_CHECKING:
    from dynatlas.studies.rnn_geometry.settings import Batch, Blank, Draws, Epochs, ImageNumbers, Labels, Rate, Units


Groups = dict[str, Group]


def train_networks(
    job: Job, *, labels: Labels, blank: Blank, images: ImageNumbers, units: Units, epochs: Epochs, batch: Batch,
    learning_rate: Rate,
) -> Groups:  # fmt: skip
    """Networks that learn to name an image `blank` empty rows after its last one: cross-entropy at that step only.

    `labels` names the networks and says what they learn: "own" or "shuffled" labels. All networks of a seed start from
    the same weights and see the same images in the same order. Returns the `networks`, their `course`: the training
    `loss` after so many updates, and as `outcome` which `diverged`: these keep their last finite weights.
    """
    data = Images(**images).read(device=job.device).train
    members, kinds = Members(seed=job.seeds, network=list(labels)), len(labels)
    rnn = network(units)
    start = rnn.initialise(job.generators("initialisation"), kinds, shared=True)
    targets = torch.stack([labels_for(job, kind, data.y, part="train") for kind in labels.values()], dim=1)
    order = batch_order(len(data), epochs=epochs, size=batch, generators=job.generators("batches")).to(job.device)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = order[step]
        x = members.spread(followed_by_blanks(data.x[chosen].transpose(1, 2), blank), "seed")
        return x, targets.gather(2, chosen[:, None].expand(-1, kinds, -1)).flatten(0, 1)

    def loss(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, wanted = batch
        return cross_entropy(readout(params, rnn.rollout(params, x)[:, -1]), wanted)

    fitted = fit(
        draw,
        loss,
        moved(start, job.device),
        steps=len(order),
        optimiser=Adam(lr=learning_rate),
        clip_norm=1.0,
        job=job,
        name=" and ".join(labels),
    )
    course = {"loss": members.split(fitted.losses.values["loss"], dim=1)}
    return {
        "networks": members.group(fitted.parameters),
        "course": Group(Members(update=fitted.losses.steps, **members.axes), course),
        "outcome": members.group({"diverged": fitted.diverged_at >= 0}),
    }


def draw_untrained(job: Job, *, draws: Draws, units: Units) -> Groups:
    """Networks that never learn, by name, from the random streams of `draws`: learning starts from "initialisation"."""
    seeds, rnn = Members(seed=job.seeds), network(units)
    drawn = {name: seeds.group(rnn.initialise(job.generators(purpose))) for name, purpose in draws.items()}
    return {"networks": stack(drawn, "network")}
