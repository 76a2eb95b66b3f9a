"""A claim's control: the same rule put to data where the effect cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dynatlas.claims.rules import Asked, Group, Rule, leaves
from dynatlas.claims.vocabulary import Control, Replacement, Selector
from dynatlas.config import ConfigError


def control_rules(asked: Sequence[Asked], control: Control) -> tuple[Asked, ...]:
    """What is asked of one of a claim's controls; margins, tests and tolerances stay as they are.

    Raises ConfigError where the control would leave the claim as it is, where a replacement meets no selection, and
    where it replaces a field that a part of a compound sets for itself.
    """
    own = list(leaves(asked))
    changed = tuple(
        Group(one.head, tuple(_changed(rule, control) for rule in one.rules))
        if isinstance(one, Group)
        else _changed(one, control)
        for one in asked
    )
    if control.permute:
        _check_permute(own, control.permute)
    elif all(_selections(new) == _selections(old) for new, old in zip(leaves(changed), own, strict=True)):
        raise ConfigError("control: it is the claim itself")
    met = [one for rule in own for one in _selections(_overridden(rule, control))]
    for swap in control.replace:
        if not any(_contains(selection, swap.from_) for _, selection in met):
            raise ConfigError(f"control: replace: from {swap.from_}: no selection contains it")
    return changed


def _selections(rule: Rule) -> list[tuple[str | None, Selector]]:
    return [(rule.table, rule.selects(term)) for term in rule.terms]


def _overridden(rule: Rule, control: Control) -> Rule:
    update = {name: value for name in ("metric", "table") if (value := getattr(control, name)) is not None}
    terms = rule.terms if control.compare is None else control.compare.terms
    return replace(rule, terms=terms, **update)


def _changed(rule: Rule, control: Control) -> Rule:
    for name in ("compare", "metric", "table"):
        if getattr(control, name) is not None and name in rule.own:
            raise ConfigError(f"control: {name}: part {rule.id} has its own; use `replace`")
    changed = _overridden(rule, control)
    terms = tuple(
        term.model_copy(update={"select": replaced({**changed.selects(term), **control.where}, control.replace)})
        for term in changed.terms
    )
    return replace(changed, where={}, terms=terms)


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


def _check_permute(rules: Sequence[Rule], name: str) -> None:
    paired = [rule.statistic.pairing for rule in rules if rule.statistic]
    if name not in paired:
        known = ", ".join(sorted({one for one in paired if one})) or "none: no statistic pairs anything"
        raise ConfigError(f"control: permute: {name!r}: allowed is what a statistic pairs ({known})")
