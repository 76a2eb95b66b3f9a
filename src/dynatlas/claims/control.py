"""A claim's control: the same rule put to data where the effect cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from dynatlas.claims.declaration import Claim, Compare, Control, Part, Replacement, Selector, Term, effective
from dynatlas.config import ConfigError


def control_rules(claim: Claim, control: Control) -> list[Part]:
    """The rules of `claim` on the data of one of its controls; margins, tests and tolerances stay as they are.

    Raises ConfigError where the control would leave the claim as it is, where a replacement meets no selection, and
    where it replaces a field that a part of a compound sets for itself.
    """
    own = claim.parts or [claim]
    rules = [_changed(rule, part, control, claim) for rule, part in zip(claim.rules, own, strict=True)]
    if control.permute:
        _check_permute(claim, control.permute)
    elif all(_selections(new) == _selections(old) for new, old in zip(rules, claim.rules, strict=True)):
        raise ConfigError(f"claim {claim.id}: control: it is the claim itself")
    met = [one for rule in claim.rules for one in _selections(_overridden(rule, control))]
    for swap in control.replace:
        if not any(_contains(selection, swap.from_) for _, selection in met):
            raise ConfigError(f"claim {claim.id}: control: replace: from {swap.from_}: no selection contains it")
    return rules


def _selections(rule: Part) -> list[tuple[str | None, Selector]]:
    return [(rule.table, effective(rule, term)) for term in rule.compare.terms]


def _overridden(rule: Part, control: Control) -> Part:
    update = {name: value for name in ("compare", "metric", "table") if (value := getattr(control, name)) is not None}
    return rule.model_copy(update=update)


def _changed(rule: Part, own: Part, control: Control, claim: Claim) -> Part:
    for name in ("compare", "metric", "table"):
        if own is not claim and getattr(control, name) is not None and name in own.model_fields_set:
            raise ConfigError(f"claim {claim.id}: control: {name}: part {rule.id} has its own; use `replace`")
    changed = _overridden(rule, control)
    terms = [
        term.model_copy(update={"select": replaced({**effective(changed, term), **control.where}, control.replace)})
        for term in changed.compare.terms
    ]
    return changed.model_copy(update={"where": {}, "compare": _same_form(changed.compare, terms)})


def _same_form(compare: Compare, terms: list[Term]) -> Compare:
    if compare.contrast is not None:
        return Compare(contrast=terms)
    reference = terms[1].select if len(terms) > 1 else None
    return Compare(treatment=terms[0].select, reference=reference)


def _contains(selection: Selector, wanted: Selector) -> bool:
    return all(name in selection and selection[name] == value for name, value in wanted.items())


def replaced(selection: Selector, replacements: Sequence[Replacement]) -> Selector:
    """`selection` with every replacement whose `from` it contains, all at once (so two arms can change places)."""
    result = dict(selection)
    swaps = [swap for swap in replacements if _contains(selection, swap.from_)]
    for swap in swaps:
        for name in swap.from_:
            result.pop(name, None)
    for swap in swaps:
        result.update(swap.to)
    return result


def _check_permute(claim: Claim, name: str) -> None:
    paired = [rule.statistic.pairing for rule in claim.rules if rule.statistic]
    if name not in paired:
        known = ", ".join(sorted({one for one in paired if one})) or "none: no statistic pairs anything"
        raise ConfigError(f"claim {claim.id}: control: permute: {name!r}: allowed is what a statistic pairs ({known})")
