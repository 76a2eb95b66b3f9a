"""Every data set that needs no file, under its name, for the contract suite; no study imports this."""

from __future__ import annotations

from collections.abc import Callable

from dynatlas.datasets.digits import digit_rows, digits, digits28, permuted_digits
from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.manifolds import latent_manifold


def _manifold() -> Labelled:
    data = latent_manifold()
    return Labelled(data.x, data.y)


DATASETS: dict[str, Callable[[], Labelled]] = {
    "digits": digits,
    "digits28": digits28,
    "digit_rows": digit_rows,
    "permuted_digits": permuted_digits,
    "latent_manifold": _manifold,
}
