"""Reads claims, and holds them against the tables that a study declares, before any job starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from dynatlas.claims.columns import column_problems
from dynatlas.claims.declaration import AnyClaim, Claim, Defaults
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import ResolvedClaim, leaves
from dynatlas.claims.vocabulary import Gate, RestsOn
from dynatlas.config import ConfigError, validate
from dynatlas.names import nearest
from dynatlas.table_schema import TableSchema
from dynatlas.validation import explain

NO_TABLES: Mapping[str, Mapping[str, TableSchema]] = {}
_CLAIM: TypeAdapter[Claim] = TypeAdapter(AnyClaim)


def parse_claims(content: Any, where: str = "claims.yaml") -> list[Claim]:
    """The claims of one study, from `{defaults: ..., gates: ..., claims: [...]}` or the bare list of claims.

    `where` names the file in errors. Raises ConfigError with every mistake on its own line, at whatever scale: unknown
    key or test, missing margin, duplicate id, ...
    """
    items, defaults, gates = _opened(content, where)
    claims, problems = [], []
    for place, item in enumerate(items, 1):
        name = item.get("id", f"number {place}") if isinstance(item, Mapping) else f"number {place}"
        try:
            claim = _CLAIM.validate_python(_filled(item, defaults, gates))
            claims.append(claim)
            resolve(claim, claim.scales[0])
        except ValidationError as error:
            problems.append(explain(error, AnyClaim, f"{where}: claim {name}").replace(": : ", ": "))
        except ConfigError as error:
            problems.append(f"{where}: {error}")
    ids = [claim.id for claim in claims]
    problems += [
        f"{where}: claim {one}: this id is there twice" for one in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return claims


def _opened(content: Any, where: str) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Claims, defaults and gates of a file, as they stand there; the latter two are checked by themselves."""
    file: Mapping[str, Any] = content if isinstance(content, Mapping) else {"claims": content}
    items = file.get("claims")
    if not isinstance(items, list) or not items:
        raise ConfigError(f"{where}: allowed is `claims:` with a list of at least one claim")
    known = ("defaults", "gates", "claims")
    for key in file:
        if key not in known:
            raise ConfigError(f"{where}: {key}: unknown key{nearest(str(key), known)} (allowed: {', '.join(known)})")
    defaults, gates = file.get("defaults") or {}, file.get("gates") or {}
    validate(Defaults, defaults, f"{where}: defaults")
    for name, gate in gates.items():
        validate(Gate, gate, f"{where}: gates.{name}")
        if not any(name in _names(one) for one in (*items, defaults) if isinstance(one, Mapping)):
            raise ConfigError(f"{where}: gates.{name}: no claim names it")
    return items, dict(defaults), dict(gates)


def _names(claim: Mapping[str, Any]) -> list[Any]:
    """The gates that a claim names."""
    gates = claim.get("gate")
    return [one.get("gate") if isinstance(one, Mapping) else one for one in gates] if isinstance(gates, list) else []


def _filled(item: Any, defaults: Mapping[str, Any], gates: Mapping[str, Any]) -> Any:
    """A claim with the file's defaults for what it does not say, and its gates written out.

    A claim that is only reported is decided by no scale, and takes `decided_by` only where it says so itself.
    """
    if not isinstance(item, Mapping):
        return item
    own = {key: value for key, value in defaults.items() if not (key == "decided_by" and item.get("exploratory"))}
    filled = {**own, **item}
    if isinstance(filled.get("gate"), list):
        filled["gate"] = [_gate(one, gates, str(item.get("id"))) for one in filled["gate"]]
    return filled


def _gate(one: Any, gates: Mapping[str, Any], claim: str) -> Any:
    """A gate by its name, with the conditions that are added to it; one that is written out as it is."""
    name = one.get("gate") if isinstance(one, Mapping) else one
    if not isinstance(name, str):
        return one
    if name not in gates:
        hint, known = nearest(name, gates), ", ".join(gates) or "none"
        raise ConfigError(f"claim {claim}: gate: {name!r}: the file has no such one{hint} (known: {known})")
    added = {key: value for key, value in one.items() if key != "gate"} if isinstance(one, Mapping) else {}
    for key in set(added) - {"where"}:
        raise ConfigError(f"claim {claim}: gate: {name}: {key}: only `where` may be added")
    return {**gates[name], "where": {**gates[name].get("where", {}), **added.get("where", {})}}


def check_claims(
    claims: Sequence[Claim],
    measures: Mapping[str, Collection[str]],
    where: str = "claims.yaml",
    *,
    tables: Mapping[str, Mapping[str, TableSchema]] = NO_TABLES,
) -> None:
    """Hold the claims of a study against its measures (`table name -> metrics that its column "metric" takes`).

    `tables` are the schemas of all tables at each scale; a claim is held against those of the scales that test it.
    Raises ConfigError, one line a mistake: unknown table, metric, column or value, no control, no `decided_by`.
    """
    problems = [
        f"{where}: claim {claim.id}: {problem}"
        for claim in claims
        for problem in (
            list(_problems(claim, resolve(claim, claim.scales[0]), measures))
            or [
                problem
                for scale in claim.scales
                if scale in tables
                for problem in column_problems(resolve(claim, scale), tables[scale])
            ]
        )
    ]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _problems(claim: Claim, asked: ResolvedClaim, measures: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not claim.controls and not claim.exploratory:
        yield "controls: this key is missing; every claim lists at least one that must not come out"
    if claim.decided_by is None and not claim.exploratory:
        yield "decided_by: this key is missing; every claim names the scale that can decide it"
    if claim.rests_on is None:
        yield f"rests_on: this key is missing (allowed: {', '.join(get_args(RestsOn))}; docs/claims.md)"
    for table, metric in sorted(reads(asked), key=str):
        if table is None:
            yield f"table: this key is missing (tables: {', '.join(measures)})"
        elif table not in measures:
            yield f"table: {table!r}: no measure of this name{nearest(table, measures)} (known: {', '.join(measures)})"
        elif metric is None:
            yield f"metric: this key is missing (metrics of {table}: {', '.join(measures[table])})"
        elif metric not in measures[table]:
            known = ", ".join(measures[table])
            yield f"metric: {metric!r}: table {table} has none such{nearest(metric, measures[table])} (known: {known})"


def reads(claim: ResolvedClaim) -> set[tuple[str | None, str | None]]:
    """Every (table, metric) that the claim, its parts, its controls and its gates read."""
    found: set[tuple[str | None, str | None]] = set()
    controlled = [rule for control in claim.controls for rule in leaves(control.asked)]
    for rule in [*claim.rules, *controlled, *(gate.rule for gate in claim.gates)]:
        for term in rule.terms:
            chosen = rule.selects(term).get("metric")
            metrics = chosen if isinstance(chosen, list) else [chosen]
            found |= {(rule.table, None if one is None else str(one)) for one in metrics}
        if rule.statistic and rule.statistic.spearman and rule.statistic.spearman.with_:
            found.add((rule.table, rule.statistic.spearman.with_))
        if rule.censored and rule.censored.metric:
            found.add((rule.table, rule.censored.metric))
    return found
