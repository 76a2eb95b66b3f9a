"""Linear readouts of frozen networks: learned task after task, or by gradient descent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job
from dynatlas.models.initial import gaussian
from dynatlas.optim.ridge import Moments
from dynatlas.problems.cognitive_readouts import Exam, loss_from_sums


def learned_in_turn(exam: Exam, w_out: Tensor, b_out: Tensor) -> Tensor:
    """(seed, tasks learned, task): all tasks are marked anew after each fit, with the readouts there are by then."""
    now_w, now_b, rows = torch.zeros_like(w_out), torch.zeros_like(b_out), []
    for k in range(w_out.shape[1]):
        now_w[:, k], now_b[:, k] = w_out[:, k], b_out[:, k]
        rows.append(torch.stack([exam.mark(j, now_w[:, j], now_b[:, j]) for j in range(w_out.shape[1])], dim=1))
    return torch.stack(rows, dim=1)


def refitted_in_turn(exam: Exam, w_out: Tensor, b_out: Tensor) -> Tensor:
    """The same for a single readout that is refitted to each task in turn, and answers all of them."""
    tasks = range(w_out.shape[1])
    rows = [torch.stack([exam.mark(j, w_out[:, k], b_out[:, k]) for j in tasks], dim=1) for k in tasks]
    return torch.stack(rows, dim=1)


def learn_by_gradient(job: Job, sums: Sequence[Moments], exam: Exam, *, steps: int, learning_rate: float) -> Fitted:
    """Readouts by full-batch Adam from standard initial weights, marked after every step.

    `sums` have weights c^2 and a constant: the loss depends on the trials through them alone.
    """
    scale = torch.stack([one.weight for one in sums], dim=1).flatten()[:, None, None]
    gram = (torch.stack([one.xx for one in sums], dim=1).flatten(0, 1) / scale).float()
    cross = (torch.stack([one.xy for one in sums], dim=1).flatten(0, 1) / scale).float()
    rows, columns = cross.shape[1] - 1, cross.shape[2]
    drawn = [gaussian(rows, columns, gain=1.0, generator=g) for g in job.generators("initialisation") for _ in sums]
    start = torch.nn.functional.pad(torch.stack(drawn).float(), (0, 0, 0, 1)).to(job.device)

    def loss(params: Params, whole: tuple[Tensor, Tensor]) -> Tensor:
        return loss_from_sums(params["readout"], *whole)

    def marks(params: Params, step: int) -> dict[str, Tensor]:
        w = params["readout"].unflatten(0, (-1, len(sums)))
        rows = [exam.mark(k, w[:, k, :-1], w[:, k, -1]) for k in range(len(sums))]
        return {"accuracy": torch.stack(rows, dim=1).flatten()}

    watches = {"evaluation": Watch(marks, at=Every(1))}
    return fit(lambda step: (gram, cross), loss, {"readout": start}, steps=steps, optimiser=Adam(lr=learning_rate),
               watches=watches, job=job, name="readouts")  # fmt: skip
