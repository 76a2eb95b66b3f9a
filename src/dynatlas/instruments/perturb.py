"""Perturbations of a trained network: of its inputs, states, weights, units, connections and delays, and lesions.

The nine families of Marton et al. 2021 (arXiv 2105.14108; the abstract's "broad range of perturbations", definitions
ours). A network is a dictionary of tensors with the members of an ensemble as leading axis; `w_rec` (member, n, n)
has the source unit as row, a synapse that is exactly 0 does not exist. Nothing is changed in place: what a family
does to the weights comes back as a new dictionary, of the same types (half precision is computed in float32), what it
does to an evaluation as `Overrides`. To perturb one network of your own, give its tensors a leading axis of length 1
and name what is concerned in `weights`: for noise and silenced connections any weights (member, ...), kernels of
convolutions among them. Units of layers are silenced by masks drawn by `random_lesions`: `without_units` writes them
into weights whose rows are units, and `ensemble.modules.ModuleEnsemble` takes them as `masks` of a module's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dynatlas.instruments.given import narrowed, unit_mask, whole, widened
from dynatlas.instruments.scale import scaled
from dynatlas.names import named

Params = dict[str, Tensor]
Magnitude = float | Tensor
"""A number, or one value per member."""


@dataclass(frozen=True)
class Overrides:
    """Settings of an evaluation that a perturbation replaces; None leaves them as they are."""

    sigma_x: Magnitude | None = None
    """Input noise, before the factor sqrt(2 / alpha)."""
    sigma_rec: Magnitude | None = None
    """Transition noise inside the nonlinearity, before the factor sqrt(2 / alpha)."""
    activity: Magnitude | None = None
    """Standard deviation of the noise added to the rates after the nonlinearity, at each step."""
    unit_mask: Tensor | None = None
    """(member, unit): 0 clamps a unit, 1 leaves it."""
    gap: float | None = None
    """Memory gap in ms."""


@dataclass(frozen=True)
class Draw:
    """What a family may need beside the weights: a generator per seed, the matrices concerned, the part to lesion."""

    generators: Sequence[Generator]
    weights: Sequence[str] = ("w_rec",)
    part: int = 0


@dataclass(frozen=True)
class Family:
    """One way to perturb, with the magnitudes at which it is shown."""

    name: str
    label: str
    magnitude: str
    """What the magnitude is, with its unit: an axis label."""
    kind: str
    """inputs, states, weights, units or delays."""
    magnitudes: tuple[float, ...]
    apply: Callable[[Params, Magnitude, Draw], tuple[Params, Overrides]]
    parts: int = 1
    """A lesion is cut in this many places, one after the other; average over them."""


def perturb(
    params: Mapping[str, Tensor],
    family: str,
    *,
    magnitude: Magnitude,
    generators: Sequence[Generator],
    weights: Sequence[str] = ("w_rec",),
    part: int = 0,
) -> tuple[Params, Overrides]:
    """The network and the settings of its evaluation under one perturbation.

    Members are seed-major: with S generators and E members, each generator draws for E / S members in a row, so that
    one more seed leaves the others' draws. `weights` names the weights concerned, (member, ...); where units are
    silenced, the recurrent matrix (member, n, n) that says how many there are. `part` is which of the family's `parts`
    is lesioned. The tensors that come back are all new. Raises ValueError for an unknown family or part, weights whose
    shape has no such meaning or that are not finite, and a magnitude that is negative or not finite, or above 1 where
    it is a fraction; KeyError for weights that are not there.
    """
    chosen = family_named(family)
    _check_magnitude(magnitude, chosen)
    for name in weights:
        if name not in params:
            raise KeyError(f"no weights {name!r} in this network; there are: {', '.join(sorted(params))}")
        _check_shape(chosen, name, params[name])
        if not (params[name].numel() and bool(params[name].isfinite().all())):
            raise ValueError(f"weights {name!r} {tuple(params[name].shape)} hold nothing, or NaN or infinity")
    part = whole(part, "part")
    if not 0 <= part < chosen.parts:
        raise ValueError(f"part = {part}: family {family!r} has parts 0 to {chosen.parts - 1}")
    changed, overrides = chosen.apply(dict(params), magnitude, Draw(generators, weights, part))
    return {name: new.clone() if new is params[name] else new for name, new in changed.items()}, overrides


def _check_shape(family: Family, name: str, w: Tensor) -> None:
    if family.kind == "units" and (w.ndim != 3 or w.shape[-2] != w.shape[-1]):
        raise ValueError(
            f"{family.name!r} counts units by a recurrent matrix (member, n, n), but {name!r} is {tuple(w.shape)}: "
            "draw masks by random_lesions(units, fraction, ...) and give them to the layer, ensemble(parameters, x, "
            "masks={layer: mask}), or to without_units"
        )
    if family.kind == "weights" and w.ndim < 2:
        raise ValueError(f"{name!r} is {tuple(w.shape)}: weights have a leading axis member and at least one more")


def family_named(name: str) -> Family:
    """The family of that name; ValueError with the nearest name."""
    return named(FAMILIES, name, "perturbation")


def silence(units: Tensor | Sequence[int] | Sequence[bool], *, of: int) -> Tensor:
    """Mask (of,) that clamps the given units to 0: their numbers, or booleans (of,) that are true for them.

    Raises ValueError for numbers outside 0 ... of - 1, fractions, and booleans that are not one for each unit.
    """
    given = torch.as_tensor(units)
    mask = torch.ones(whole(of, "of", least=1))
    if given.dtype == torch.bool:
        return mask.masked_fill(unit_mask(given.cpu(), len(mask)), 0)
    if given.numel() and (given.is_floating_point() or given.is_complex()):
        raise ValueError(f"units must be whole numbers or booleans, not {given.dtype}")
    given = given.long()
    outside = given[(given < 0) | (given >= len(mask))]
    if len(outside):
        raise ValueError(f"unit {int(outside[0])}: there are units 0 to {len(mask) - 1}")
    mask[given.cpu()] = 0
    return mask


def contiguous_lesions(units: int, parts: int = 4) -> Tensor:
    """Masks (part, unit): each silences one of `parts` contiguous stretches of (nearly) equal length."""
    parts = whole(parts, "parts", least=1)
    bounds = [round(units * i / parts) for i in range(parts + 1)]
    return torch.stack([silence(range(bounds[i], bounds[i + 1]), of=units) for i in range(parts)])


def random_lesions(units: int, fraction: Magnitude, *, generators: Sequence[Generator], copies: int = 1) -> Tensor:
    """Masks (seed * copies, unit): each silences round(fraction * units) units, drawn without replacement.

    Raises ValueError for a fraction outside 0 ... 1, a number of units or copies that is none, and no generator.
    """
    units, copies = whole(units, "units", least=1), whole(copies, "copies", least=1)
    _check_range(fraction, "fraction", most=1.0)
    scores = _draw_for((len(generators) * copies, units), generators, _uniform)
    count = torch.as_tensor(fraction, dtype=torch.float64, device=scores.device).mul(units).round()
    return (_ranks(scores) >= _per_member(count, scores)).to(torch.float32)


def without_units(params: Mapping[str, Tensor], mask: Tensor, *, sources: Sequence[str] = ("w_rec", "w_out")) -> Params:
    """The network with silenced units written into its weights: their outgoing synapses (rows of `sources`) are 0.

    Same outputs as clamping the units by `mask` (unit,) or (member, unit), 1 or true where a unit stays, for models
    that know no mask. Raises ValueError for a mask of another shape, or of other numbers than 0 and 1.
    """
    kept = {name: unit_mask(mask, params[name].shape[-2]).unsqueeze(-1) for name in sources}
    cut = {name: torch.where(stays, params[name], 0) for name, stays in kept.items()}
    return {name: cut[name] if name in cut else tensor.clone() for name, tensor in params.items()}


def lesion_matrix(evaluate: Callable[[Tensor | None], Tensor], masks: Tensor) -> Tensor:
    """Accuracy lost, (..., lesion, task): `evaluate(None)` minus `evaluate(mask)`, each (..., task), for every mask.

    `masks` is (lesion, unit), such as `contiguous_lesions`. In the type of what `evaluate` gives; float32 for half
    precision, float64 for whole numbers.
    """
    unit_mask(masks, masks.shape[-1])
    intact = widened(evaluate(None), "accuracies")
    return torch.stack([intact - evaluate(mask).to(intact.dtype) for mask in masks], dim=-2)


def _input_noise(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return params, Overrides(sigma_x=magnitude)


def _transition_noise(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return params, Overrides(sigma_rec=magnitude)


def _activity_noise(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return params, Overrides(activity=magnitude)


def _longer_delay(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    gap = torch.as_tensor(magnitude, dtype=torch.float64)
    if gap.numel() != 1:
        raise ValueError(f"longer-delay: magnitude has {gap.numel()} values: all members share one gap")
    return params, Overrides(gap=float(gap))


def _absolute_weight_noise(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return _on_existing(params, draw, lambda w: _per_member(magnitude, w)), Overrides()


def _relative_weight_noise(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return _on_existing(params, draw, lambda w: _per_member(magnitude, w) * _rms_of_existing(w)), Overrides()


def _silence_connections(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    return {
        **params,
        **{name: _without_connections(params[name], magnitude, draw) for name in draw.weights},
    }, Overrides()


def _silence_units(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    w = params[draw.weights[0]]
    copies = _copies(w.shape[0], draw.generators)
    mask = random_lesions(w.shape[-1], magnitude, generators=draw.generators, copies=copies)
    return params, Overrides(unit_mask=mask.to(w.device))


def _localised_lesion(params: Params, magnitude: Magnitude, draw: Draw) -> tuple[Params, Overrides]:
    """A contiguous stretch that starts at a quarter; with magnitude 0.25 the parts are `contiguous_lesions`."""
    w = params[draw.weights[0]]
    units = w.shape[-1]
    first = round(units * draw.part / 4)
    last = (draw.part / 4 + torch.as_tensor(magnitude, dtype=torch.float64, device=w.device)).mul(units).round()
    position = torch.arange(units, device=w.device)
    inside = (position >= first) & (position < last.reshape(-1, 1))
    return params, Overrides(unit_mask=(~inside).to(torch.float32).expand(w.shape[0], units).clone())


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("input-noise", "Input noise", "standard deviation", "inputs", (0.1, 0.2, 0.4), _input_noise),
        Family(
            "transition-noise", "Transition noise", "standard deviation", "states", (0.1, 0.2, 0.4), _transition_noise
        ),
        Family("activity-noise", "Activity noise", "standard deviation", "states", (0.1, 0.2, 0.4), _activity_noise),
        Family(
            "absolute-weight-noise",
            "Weight noise, absolute",
            "standard deviation",
            "weights",
            (0.02, 0.04, 0.08),
            _absolute_weight_noise,
        ),
        Family(
            "relative-weight-noise",
            "Weight noise, relative",
            "standard deviation / RMS weight",
            "weights",
            (0.1, 0.2, 0.4),
            _relative_weight_noise,
        ),
        Family("unit-silencing", "Silenced units", "fraction of units", "units", (0.05, 0.1, 0.2), _silence_units),
        Family(
            "connection-silencing",
            "Silenced connections",
            "fraction of synapses",
            "weights",
            (0.05, 0.1, 0.2),
            _silence_connections,
        ),
        Family("longer-delay", "Longer delay", "memory gap (ms)", "delays", (700.0, 900.0, 1200.0), _longer_delay),
        Family(
            "localised-lesion", "Localised lesion", "fraction of units", "units", (0.25,), _localised_lesion, parts=4
        ),
    )
}


def _check_magnitude(magnitude: Magnitude, family: Family) -> None:
    most = 1.0 if family.magnitude.startswith("fraction") else None
    _check_range(magnitude, f"{family.name}: magnitude ({family.magnitude})", most)


def _check_range(value: Magnitude, what: str, most: float | None = None) -> None:
    """ValueError for what is negative, above `most`, or not finite, naming the value."""
    values = torch.as_tensor(value, dtype=torch.float64).flatten()
    fine = values.isfinite() & (values >= 0) & (values <= (torch.inf if most is None else most))
    if not bool(fine.all()):
        wanted = "a finite number >= 0" if most is None else f"0 to {most:g}"
        raise ValueError(f"{what} = {float(values[~fine][0])}: wanted is {wanted}")


def _on_existing(params: Params, draw: Draw, size: Callable[[Tensor], Tensor]) -> Params:
    """Gaussian noise of standard deviation size(w) (member, 1, ...) on the synapses that exist."""
    noisy = {}
    for name in draw.weights:
        w = widened(params[name], name)
        drawn = _draw_for(tuple(w.shape), draw.generators, _normal).to(w)
        noisy[name] = narrowed(w + size(w) * drawn * (w != 0), params[name])
    return {**params, **noisy}


def _rms_of_existing(w: Tensor) -> Tensor:
    """Root mean square of a member's non-zero entries, (member, 1, ...)."""
    own = tuple(range(1, w.ndim))
    existing = (w != 0).sum(dim=own, keepdim=True).clamp(min=1)
    w, power = scaled(w, dim=own)
    return (w.square().sum(dim=own, keepdim=True) / existing).sqrt() * power


def _without_connections(w: Tensor, fraction: Magnitude, draw: Draw) -> Tensor:
    """round(fraction * existing) of a member's existing synapses set to 0, drawn without replacement."""
    scores = _draw_for(tuple(w.shape), draw.generators, _uniform).to(w.device)
    ranks = _ranks(torch.where(w != 0, scores, 2.0).flatten(1)).view(w.shape)
    existing = (w != 0).sum(dim=tuple(range(1, w.ndim)), keepdim=True)
    kept = ranks >= (_per_member(fraction, scores) * existing).round()
    return narrowed(torch.where(kept, widened(w, "weights"), 0), w)


def _ranks(scores: Tensor) -> Tensor:
    """0 for the smallest score of each row, 1 for the next, ..."""
    return scores.argsort(dim=-1, stable=True).argsort(dim=-1, stable=True)


def _per_member(value: Magnitude, like: Tensor) -> Tensor:
    """A number or (member,) in a shape that broadcasts against (member, ...)."""
    given = torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, *[1] * (like.ndim - 1))
    if len(given) not in (1, len(like)):
        raise ValueError(f"{len(given)} magnitudes for {len(like)} members: wanted is one, or one for each")
    return given


def _draw_for(
    shape: tuple[int, ...], generators: Sequence[Generator], fill: Callable[[Tensor, Generator], Tensor]
) -> Tensor:
    """Random numbers for all members, each seed's block of members from its own generator."""
    if not generators:
        raise ValueError("generators: wanted is one for each seed, there is none")
    drawn = torch.empty(shape, dtype=torch.float64, device=generators[0].device)
    copies = _copies(shape[0], generators)
    for block, generator in zip(drawn.split(copies), generators, strict=True):
        fill(block, generator)
    return drawn


def _normal(block: Tensor, generator: Generator) -> Tensor:
    return block.normal_(generator=generator)


def _uniform(block: Tensor, generator: Generator) -> Tensor:
    return block.uniform_(generator=generator)


def _copies(members: int, generators: Sequence[Generator]) -> int:
    if members % len(generators):
        raise ValueError(f"{members} members cannot be shared out among {len(generators)} generators, one per seed")
    return members // len(generators)
