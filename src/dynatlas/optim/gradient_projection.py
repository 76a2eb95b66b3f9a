"""Sequential learning by projecting the optimiser's update away from what earlier tasks use.

Duncker, Driscoll, Shenoy, Sahani and Sussillo, "Organizing recurrent network dynamics by task-computation to enable
continual learning", NeurIPS 2020; in the form of Marton et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class GradientProjection:
    """Projections from the (uncentred) second moments of what a recurrent network did on the tasks so far.

    With z_t = [x_t, r_t] and W = [W_in; W_rec] (row = source), after task j:
    C_z = Z^T Z / (samples - 1), C_h = W^T C_z W, C_y = Y^T Y / (samples - 1), C_r = the recurrent block of C_z, each
    averaged over tasks with equal weights; P(C) = alpha (alpha I + C)^-1, which takes an eigenvalue l to
    alpha / (alpha + l). Before the first task P is None and nothing is projected.

    Every tensor may carry leading axes (members). `alpha` is a number > 0, or a tensor of those leading axes; infinite
    alpha makes P the identity exactly (plain sequential learning beside it in one ensemble). Covariances and
    projections are computed in float64, since C may be ill-conditioned, and handed back in the type of z.
    """

    def __init__(self, alpha: float | Tensor):
        if not bool((torch.as_tensor(alpha) > 0).all()):
            raise ValueError(f"alpha must be > 0, got {alpha}")
        self.alpha = alpha
        self.tasks = 0
        self.P_in: Tensor | None = None
        self.P_out: Tensor | None = None
        self.P_rec: Tensor | None = None
        self.P_y: Tensor | None = None
        self._means: tuple[Tensor, ...] = ()

    def update_covariances(self, z: Tensor, y: Tensor, W: Tensor) -> None:
        """Take in the task just learned: z (..., samples, n_in + N), y (..., samples, n_out), W (..., n_in + N, N).

        Raises ValueError where these sizes do not fit each other.
        """
        samples, width = z.shape[-2:]
        if W.shape[-2] != width or y.shape[-2] != samples or W.shape[-1] >= width:
            raise ValueError(
                f"z {tuple(z.shape)}, y {tuple(y.shape)} and W {tuple(W.shape)} do not fit: "
                "(samples, n_in + N), (samples, n_out), (n_in + N, N) are needed"
            )
        c_z = _second_moment(z)
        wide = W.to(torch.float64)
        new = (c_z, wide.mT @ c_z @ wide, _second_moment(y))
        self.tasks += 1
        old = self._means or new
        self._means = tuple(torch.lerp(mean, fresh, 1 / self.tasks) for mean, fresh in zip(old, new, strict=True))
        mean_z, mean_h, mean_y = self._means
        n_in = width - W.shape[-1]
        covariances = (mean_z, mean_h, mean_z[..., n_in:, n_in:], mean_y)
        self.P_in, self.P_out, self.P_rec, self.P_y = (_projection(c, self.alpha).to(z.dtype) for c in covariances)

    def project(self, dW: Tensor, dW_out: Tensor) -> tuple[Tensor, Tensor]:
        """P(C_z) dW P(C_h) and P(C_r) dW_out P(C_y); dW (..., n_in + N, N), dW_out (..., N, n_out).

        dW and dW_out are the optimiser's update, not the gradient.
        """
        if self.P_in is None or self.P_out is None or self.P_rec is None or self.P_y is None:
            return dW, dW_out
        return self.P_in @ dW @ self.P_out, self.P_rec @ dW_out @ self.P_y

    def take_in(self, params: Mapping[str, Tensor], x: Tensor, states: Tensor, y: Tensor, t_last: Tensor) -> None:
        """`update_covariances` from what networks `models.rnn` did on trials of the task just learned.

        Inputs x, states and targets y are (member, time, trial, ...); steps after a trial's last, `t_last` (member,
        trial), are no samples: they weigh nothing, and the covariances divide by the number of the others.
        """
        alive = (torch.arange(x.shape[1], device=x.device)[:, None] <= t_last[:, None])[..., None]
        alive = alive * alive.mean((1, 2), keepdim=True, dtype=x.dtype).rsqrt()
        z = (torch.cat([x, states], dim=-1) * alive).flatten(1, 2)
        weights = torch.cat([params["w_in"], params["w_rec"]], dim=1)
        self.update_covariances(z, (y * alive).flatten(1, 2), weights)

    def project_network(self, update: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`project` for the update of all parameters (member, ...) of `models.rnn`.

        Biases do not learn, from the first task on: they have no projection. Where alpha is infinite all learns.
        """
        n_in = update["w_in"].shape[1]
        whole, w_out = self.project(torch.cat([update["w_in"], update["w_rec"]], dim=1), update["w_out"])
        plain = torch.as_tensor(self.alpha, device=w_out.device).isinf().to(w_out).unsqueeze(-1)
        biases = {name: update[name] * plain for name in ("b", "b_out")}
        return {"w_in": whole[:, :n_in], "w_rec": whole[:, n_in:], "w_out": w_out, **biases}


def _second_moment(samples: Tensor) -> Tensor:
    """S^T S / (samples - 1) in float64, one member after the other, since all samples in float64 may not fit."""
    each = samples.reshape(-1, *samples.shape[-2:])
    products = torch.stack([one.mT @ one for one in (part.to(torch.float64) for part in each)])
    return products.view(*samples.shape[:-2], *products.shape[-2:]) / (samples.shape[-2] - 1)


def _projection(covariance: Tensor, alpha: float | Tensor) -> Tensor:
    """alpha (alpha I + C)^-1 = (I + C / alpha)^-1 of a symmetric positive semi-definite C, symmetric to the bit."""
    scale = alpha.to(covariance)[..., None, None] if isinstance(alpha, Tensor) else alpha
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(identity + (covariance + covariance.mT) / (2 * scale)))
    return (inverse + inverse.mT) / 2
