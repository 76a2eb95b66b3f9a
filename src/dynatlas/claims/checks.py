"""Reads claims, and holds them against the tables that a study declares, before any job starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from dynatlas.claims.control import control_rules
from dynatlas.claims.declaration import Claim, RestsOn, effective
from dynatlas.config import ConfigError
from dynatlas.names import nearest
from dynatlas.validation import explain


def parse_claims(content: Any, where: str = "claims.yaml") -> list[Claim]:
    """The claims of one study, from `{claims: [...]}` or the bare list; `where` names the file in errors.

    Raises ConfigError with every mistake on its own line: unknown key or test, missing margin, duplicate id, ...
    """
    items = content.get("claims") if isinstance(content, Mapping) and set(content) == {"claims"} else content
    if not isinstance(items, list) or not items:
        raise ConfigError(f"{where}: allowed is `claims:` with a list of at least one claim")
    claims, problems = [], []
    for place, item in enumerate(items, 1):
        name = item.get("id", f"number {place}") if isinstance(item, Mapping) else f"number {place}"
        try:
            claim = Claim.model_validate(item)
            claims.append(claim)
            for control in claim.controls:
                control_rules(claim, control)
        except ValidationError as error:
            problems.append(explain(error, Claim, f"{where}: claim {name}").replace(": : ", ": "))
        except ConfigError as error:
            problems.append(f"{where}: {error}")
    ids = [claim.id for claim in claims]
    problems += [
        f"{where}: claim {one}: this id is there twice" for one in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return claims


def check_claims(claims: Sequence[Claim], measures: Mapping[str, Collection[str]], where: str = "claims.yaml") -> None:
    """Hold the claims of a study against its measures (`table name -> metrics that its column "metric" takes`).

    Raises ConfigError, one line a mistake: unknown table or metric, no control, no `decided_by`. Values of condition
    columns can only be checked with a table at hand; `decide` does.
    """
    problems = [f"{where}: claim {claim.id}: {problem}" for claim in claims for problem in _problems(claim, measures)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _problems(claim: Claim, measures: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not claim.controls and not claim.exploratory:
        yield "controls: this key is missing; every claim lists at least one that must not come out"
    if claim.decided_by is None and not claim.exploratory:
        yield "decided_by: this key is missing; every claim names the scale that can decide it"
    if claim.rests_on is None:
        yield f"rests_on: this key is missing (allowed: {', '.join(get_args(RestsOn))}; docs/claims.md)"
    for table, metric in sorted(reads(claim), key=str):
        if table is None:
            yield f"table: this key is missing (tables: {', '.join(measures)})"
        elif table not in measures:
            yield f"table: {table!r}: no measure of this name{nearest(table, measures)} (known: {', '.join(measures)})"
        elif metric is None:
            yield f"metric: this key is missing (metrics of {table}: {', '.join(measures[table])})"
        elif metric not in measures[table]:
            known = ", ".join(measures[table])
            yield f"metric: {metric!r}: table {table} has none such{nearest(metric, measures[table])} (known: {known})"


def reads(claim: Claim) -> set[tuple[str | None, str | None]]:
    """Every (table, metric) that the claim, its parts, its controls and its gates read."""
    found: set[tuple[str | None, str | None]] = {(gate.table or claim.table, gate.metric) for gate in claim.gate}
    controlled = [rule for control in claim.controls for rule in control_rules(claim, control)]
    for rule in [*claim.rules, *controlled]:
        for term in rule.compare.terms:
            chosen = effective(rule, term).get("metric")
            metrics = chosen if isinstance(chosen, list) else [chosen]
            found |= {(rule.table, None if one is None else str(one)) for one in metrics}
        if rule.statistic and rule.statistic.spearman and rule.statistic.spearman.with_:
            found.add((rule.table, rule.statistic.spearman.with_))
        if rule.censored and rule.censored.metric:
            found.add((rule.table, rule.censored.metric))
    return found
