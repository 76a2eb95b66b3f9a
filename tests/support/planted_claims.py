"""What is planted of a claim, part by part, and what its verdict must then be, in the words of docs/claims.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
from planting import SEEDS, Cell, Claimed, Layout, Program, Solution, Sum, frames, plant_gate

from dynatlas.claims.rules import Asked, Group, ResolvedClaim, Rule, leaves
from dynatlas.table_schema import TableSchema

State = Literal["holds", "little", "edge", "opposite"]
"""Of one part: what it says; less than its margin; on the edge of what it says; the opposite."""
Schemas = Mapping[str, TableSchema]


def states_of(rule: Rule) -> list[State]:
    """What can be planted of a rule. Without noise nothing lies on an edge."""
    states: list[State] = ["holds", "opposite"]
    if not (rule.exact or rule.test == "identity"):
        states.insert(1, "edge")
    if Claimed.by(rule).null is not None and rule.margin and not ordered(rule):
        states.insert(1, "little")
    return states


def ordered(rule: Rule) -> bool:
    """Is a statistic taken of an order or of groups, which is no sum of values?"""
    return rule.statistic is not None and rule.statistic.kind != "slope"


# ---------------------------------------------------------------- planting


def plant_rule(program: Program, rule: Rule, state: State) -> None:
    """Add what `state` says of a rule to a program."""
    sides = [program.layout.groups(rule, term) for term in rule.terms]
    for groups in sides:
        for cells in groups.values():
            program.transform(*cells[0][:2], rule.transform)
            program.join(cells)
    if rule.test == "identity" or rule.exact:
        program.quiet |= {cell for groups in sides for cells in groups.values() for cell in cells}
    if ordered(rule):
        _plant_order(program, rule, sides[0], state)
        return
    total: Sum = {}
    for term, groups in zip(rule.terms, sides, strict=True):
        for cell, weight in _weights(program.layout, rule, groups).items():
            total[cell] = total.get(cell, 0.0) + term.weight * weight
    _plant_total(program, rule, total, state)


def _weights(layout: Layout, rule: Rule, groups: Mapping[tuple[Any, ...], list[Cell]]) -> Sum:
    """One side as a sum of cells: its value, or the slope along a column."""
    if rule.statistic is None:
        if rule.test != "identity":
            assert len(groups) == 1, f"{rule.id}: several rows a seed are left"
        return {cells[0]: 1.0 for cells in list(groups.values())[:1]}
    assert rule.statistic.slope is not None
    scale = {"linear": np.asarray, "log": np.log, "log2": np.log2, "log10": np.log10}[rule.statistic.slope.scale]
    x = scale(np.array([layout.along(rule, rule.statistic.slope.along, key) for key in groups], dtype=float))
    x = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return {cells[0]: float(weight) for cells, weight in zip(groups.values(), x, strict=True)}


def _plant_total(program: Program, rule: Rule, total: Sum, state: State) -> None:
    if rule.test is None:
        return
    claimed = Claimed.by(rule)
    if state == "holds":
        if claimed.low == claimed.high or rule.test == "identity":
            program.equal(total, rule.target)
            return
        if claimed.low > -np.inf:
            program.at_least(total, claimed.low)
        if claimed.high < np.inf:
            program.at_most(total, claimed.high)
    elif state == "little":
        program.at_least(total, min(0.0, float(rule.margin or 0)))
        program.at_most(total, max(0.0, float(rule.margin or 0)))
    elif state == "edge" and claimed.null is not None:
        program.equal(total, claimed.null)
        if rule.margin:
            program.at_most({}, abs(rule.margin) / 2)  # so that the noise is small beside the margin
    elif state == "edge":
        program.equal(total, claimed.low if claimed.low > -np.inf else claimed.high)
    elif claimed.low > -np.inf:
        bound = claimed.low if claimed.null is None else claimed.null
        program.at_most(total, bound) if claimed.high == np.inf else program.at_least(total, claimed.high)
    else:
        program.at_least(total, claimed.high if claimed.null is None else claimed.null)


def _plant_order(program: Program, rule: Rule, groups: Mapping[tuple[Any, ...], list[Cell]], state: State) -> None:
    """Values that rise or fall with what they are paired with, or that agree within groups and not between them."""
    assert rule.statistic is not None
    claimed = Claimed.by(rule)
    rises = (claimed.high == np.inf) == (state == "holds")
    if rule.statistic.icc:
        column = rule.statistic.icc.between
        by: dict[Any, list[Cell]] = {}
        for place, (key, cells) in enumerate(groups.items()):
            value = program.layout.along(rule, column, key)
            other = place % 3 if not rises else value
            by.setdefault(other, []).append(cells[0])
        chain = [program.join(cells) for cells in by.values()]
        _rise(program, chain)
        return
    keys = list(groups)
    if rule.statistic.spearman and rule.statistic.spearman.along:
        keys.sort(key=lambda key: float(program.layout.along(rule, str(rule.statistic.pairing), key)))
    else:
        assert rule.statistic.spearman is not None
        other = program.layout.groups(rule, rule.terms[0], rule.statistic.spearman.with_)
        for cells in other.values():
            program.transform(*cells[0][:2], None)
        keys = keys[::-1] if program.turned else keys
        _rise(program, [program.join(other[key]) for key in keys])
    chain = [groups[key][0] for key in keys]
    _rise(program, chain if rises else chain[::-1])


def _rise(program: Program, chain: Sequence[Cell]) -> None:
    for below, above in pairwise(chain):
        program.at_least({above: 1.0, below: -1.0}, 0.0)


Fate = tuple[State | None, ...]
"""What is planted of each rule of a control; None: whatever else is planted decides."""


def fates(asked: Sequence[Asked]) -> Iterator[Fate]:
    """Ways in which a control may fail, the plainest first: all of its rules, or one."""
    count = len(list(leaves(asked)))
    yield ("opposite",) * count
    for place in range(count):
        yield tuple("opposite" if place == at else None for at in range(count))


def plant(
    claim: ResolvedClaim,
    schemas: Schemas,
    states: Sequence[State],
    *,
    passes: int | None = None,
    shut: int | None = None,
) -> dict[str, Any] | None:
    """Tables of `claim` in these states of its rules; None where they contradict each other.

    Its controls fail but for number `passes`, and its gates are open but for number `shut`.
    """
    mixed = [
        at
        for at, (rule, state) in enumerate(zip(claim.rules, states, strict=True))
        if state == "edge" and ordered(rule)
    ]
    parts: list[tuple[Solution, Sequence[int]]] = []
    for state, seeds in _mixture(claim.rules[mixed[0]]) if mixed else [("holds", SEEDS)]:
        own = [state if at in mixed else one for at, one in enumerate(states)]
        solution = _solved(claim, schemas, own, passes, shut)
        if solution is None:
            return None
        parts.append((solution, seeds))
    return frames(parts, schemas)


def _mixture(rule: Rule) -> list[tuple[State, Sequence[int]]]:
    """An order has no edge in one seed; in the mean over seeds it has, where it holds in some of them."""
    edge = abs(rule.margin or 0.0)
    holding = min(len(SEEDS) - 1, round(len(SEEDS) * (1 + edge) / 2))
    return [("holds", SEEDS[:holding]), ("opposite", SEEDS[holding:])]


def _solved(
    claim: ResolvedClaim, schemas: Schemas, states: Sequence[State], passes: int | None, shut: int | None
) -> Solution | None:
    options: list[list[Fate]] = []
    for place, control in enumerate(claim.controls):
        count = len(list(leaves(control.asked)))
        if control.declared.permute:
            options.append([])
        elif place == passes:
            options.append([("holds",) * count])
        else:
            options.append([*fates(control.asked)])
    ranked = any(rule.statistic and rule.statistic.spearman and rule.statistic.spearman.with_ for rule in claim.rules)
    for turned, *chosen in product((False, True) if ranked else (False,), *(one or [()] for one in options)):
        program = Program(Layout(claim, schemas), turned=turned)
        for rule, state in zip(claim.rules, states, strict=True):
            plant_rule(program, rule, state)
        for place, gate in enumerate(claim.gates):
            plant_gate(program, gate, shut=place == shut)
        for control, fate in zip(claim.controls, chosen, strict=True):
            for rule, state in zip(leaves(control.asked), fate, strict=False):
                if state is None:
                    for term in rule.terms:
                        for cells in program.layout.groups(rule, term).values():
                            program.transform(*cells[0][:2], rule.transform)
                            program.join(cells)
                else:
                    plant_rule(program, rule, state)
        solution = program.solve()
        if solution is not None:
            return solution
    return None


# ---------------------------------------------------------------- what must come out

VERDICTS = {"holds": "reproduced", "little": "direction", "opposite": "contradicted"}


def verdict_of(rule: Rule, state: State) -> str:
    """Of one part: at the null of a superiority test a margin excludes it, elsewhere an edge leaves it open."""
    if state != "edge":
        return VERDICTS[state]
    excluded = Claimed.by(rule).null is not None and rule.margin and not ordered(rule)
    return "contradicted" if excluded else "inconclusive"


def verdict_of_all(claim: ResolvedClaim, states: Sequence[State]) -> str:
    """Of the claim: the rule of its compound over what its parts are."""
    left = list(zip(claim.rules, states, strict=True))
    parts: list[list[tuple[Rule, State]]] = []
    for asked in claim.asked:
        count = len(asked.rules) if isinstance(asked, Group) else 1
        parts.append([left.pop(0) for _ in range(count)])
    verdicts = [_together([verdict_of(*one) for one in part]) for part in parts]
    if claim.head.test == "any_of":
        if "reproduced" in verdicts:
            return "reproduced"
        return "contradicted" if set(verdicts) == {"contradicted"} else "inconclusive"
    if claim.head.test == "count_of":
        return _counted(claim, [[_ends(*one) for one in part] for part in parts])
    return _together(verdicts)


def _together(verdicts: Sequence[str]) -> str:
    if len(verdicts) == 1:
        return verdicts[0]
    if "contradicted" in verdicts:
        return "contradicted"
    return "reproduced" if set(verdicts) == {"reproduced"} else "inconclusive"


def _ends(rule: Rule, state: State) -> set[str]:
    """What more seeds could make of a part: on the null it may be lost, and be won unless a margin excludes it."""
    if state in ("holds", "opposite"):
        return {"win" if state == "holds" else "loss"}
    if state == "little":
        return {"neither"}
    return {"neither", "loss"} if verdict_of(rule, state) == "contradicted" else {"win", "neither", "loss"}


def _counted(claim: ResolvedClaim, parts: Sequence[Sequence[set[str]]]) -> str:
    """Decided only where no outcome of the parts could change it."""
    possible = [{_joint(ends) for ends in product(*part)} for part in parts]
    sure = [sum(one == {end} for one in possible) for end in ("win", "loss")]
    may = [sum(end in one for one in possible) for end in ("win", "loss")]
    losses = len(parts) if claim.losses is None else claim.losses
    if sure[0] >= (claim.wins or 1) and may[1] <= losses:
        return "reproduced"
    return "contradicted" if may[0] < (claim.wins or 1) or sure[1] > losses else "inconclusive"


def _joint(ends: Sequence[str]) -> str:
    return "loss" if "loss" in ends else "win" if set(ends) == {"win"} else "neither"
