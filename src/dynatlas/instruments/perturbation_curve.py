"""How well a network holds out as it is perturbed more and more: a curve for each family, as a tidy frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Generator, Tensor

from dynatlas.instruments.perturb import FAMILIES, Params, family_named, perturb

if TYPE_CHECKING:
    import pandas


def perturbation_curve(
    score: Callable[[Params], Tensor],
    params: Mapping[str, Tensor],
    magnitudes: Mapping[str, Sequence[float]],
    *,
    generators: Sequence[Generator],
    weights: Sequence[str],
) -> pandas.DataFrame:
    """Columns family, magnitude, member, value: the score of every member under each family of weight perturbations.

    `params` is a tree of tensors with leading axis member, `score(params)` gives (member,); `weights` names the
    weights (member, ...) concerned. `magnitudes` are what each family is tried at; 0, the network as it is, comes
    first. A member's draws are the same at all magnitudes (the generators are left as they are): its curve is one
    perturbation that grows. Members and generators as in `perturb`.

    Raises ValueError for an unknown family, and for one that does not act on weights.
    """
    import pandas as pd

    intact = score({name: tensor.clone() for name, tensor in params.items()}).tolist()
    curves = []
    for family, tried in magnitudes.items():
        if family_named(family).kind != "weights":
            known = ", ".join(name for name, one in FAMILIES.items() if one.kind == "weights")
            raise ValueError(
                f"{family!r} changes how a network is run, not its weights; those that do: {known}. Units are silenced "
                "by masks: random_lesions, then ModuleEnsemble's `masks` or without_units (see docs/own-networks.md)"
            )
        curves.append((family, 0.0, intact))
        for magnitude in tried:
            own = [generator.clone_state() for generator in generators]
            changed, _ = perturb(params, family, magnitude=magnitude, generators=own, weights=weights)
            curves.append((family, float(magnitude), score(changed).tolist()))
    rows = [
        (family, magnitude, member, value)
        for family, magnitude, values in curves
        for member, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["family", "magnitude", "member", "value"])
