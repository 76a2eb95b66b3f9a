"""All claims of all studies: Holm's correction, counts, and the ledger as table, markdown or json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dynatlas.claims.intervals import Floats
from dynatlas.claims.verdicts import REPORTED, REPRODUCED, VERDICTS

LedgerRow = dict[str, Any]


def holm(p: Floats) -> Floats:
    """Holm's step-down correction (Holm 1979) of the p values `(test,)`, in their order."""
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return stepped[np.argsort(order, kind="stable")]


def join_rows(rows: Iterable[Mapping[str, Any]]) -> list[LedgerRow]:
    """The rows of all studies with `p_holm` over every tested claim that has a p (parts of a compound have no say)."""
    joined = [dict(row) for row in rows]
    claims = [row for row in joined if row["part_of"] is None and row["verdict"] != REPORTED]
    tested = [row for row in claims if row["p"] is not None]
    if tested:
        for row, corrected in zip(tested, holm(np.array([row["p"] for row in tested])), strict=True):
            row["p_holm"] = float(corrected)
    return joined


def summarise(rows: Sequence[Mapping[str, Any]], studies: Iterable[str] | None = None) -> dict[str, Any]:
    """Counts of verdicts and of passed controls, over claims (not their parts).

    `studies` are all those of the atlas: the ledger is `partial` where some have no row. A control passes by chance
    once in forty (one side of a 95 % interval); an identity's or an exact claim's never does, so those do not count.
    """
    claims = [row for row in rows if row["part_of"] is None]
    controls = [row for row in claims if row["control_verdict"] is not None]
    missing = sorted(set(studies or []) - {row["study"] for row in claims})
    by_chance = sum(row["p"] is not None for row in controls) / 40
    return {
        "claims": len(claims),
        "verdicts": {verdict: sum(row["verdict"] == verdict for row in claims) for verdict in VERDICTS},
        "controls": len(controls),
        "controls_passed": sum(row["control_verdict"] == REPRODUCED for row in controls),
        "controls_by_chance": by_chance,
        "partial": bool(missing),
        "missing_studies": missing,
    }


def summary_text(summary: Mapping[str, Any]) -> str:
    """The counts in three lines for a reader."""
    counts = [f"{count} {verdict}" for verdict, count in summary["verdicts"].items() if count]
    lines = [
        f"{summary['claims']} claims: {', '.join(counts) or 'none'}",
        f"controls: {summary['controls_passed']} of {summary['controls']} passed (they must not); "
        f"by chance {summary['controls_by_chance']:.1f} would",
    ]
    if summary["partial"]:
        lines.append(f"partial: nothing here of {', '.join(summary['missing_studies'])}")
    return "\n".join(lines)


def render(rows: Sequence[Mapping[str, Any]], form: str = "table", *, studies: Iterable[str] | None = None) -> str:
    """The ledger as a text: `table` for a terminal, `markdown`, or `json` (all fields)."""
    if form == "json":
        return json.dumps({"summary": summarise(rows, studies), "rows": list(rows)}, indent=1, allow_nan=False)
    if form not in ("table", "markdown"):
        raise ValueError(f"format {form!r}: allowed are table, markdown, json")
    cells = [_HEADER, *(_cells(row) for row in rows)]
    body = _markdown(cells) if form == "markdown" else _aligned(cells)
    return f"{body}\n\n{summary_text(summarise(rows, studies))}\n"


_HEADER = ("study", "claim", "verdict", "effect [interval]", "test", "n", "p", "Holm", "control", "says")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    says = row["says"] if row["part_of"] is None else row["says"] or row["compared"]
    claim = row["id"] if row["part_of"] is None else "  " + row["id"]
    control = _interval(row, "control_") if row["control_effect"] is not None else ""
    return (
        row["study"],
        claim,
        row["verdict"],
        _interval(row, ""),
        _test(row),
        _number(row["n"]),
        _number(row["p"]),
        _number(row["p_holm"]),
        " ".join(filter(None, [row["control_verdict"], control])),
        says,
    )


def _interval(row: Mapping[str, Any], prefix: str) -> str:
    effect, low, high = (row[f"{prefix}{name}"] for name in ("effect", "low", "high"))
    if effect is None:
        return ""
    return _number(effect) if low == high else f"{_number(effect)} [{_number(low)}, {_number(high)}]"


def _test(row: Mapping[str, Any]) -> str:
    if row["margin"] is None:
        return row["test"] or ""
    around = f" of {row['target']:g}" if row["target"] else ""
    return f"{row['test']} {row['margin']:g}{around}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _aligned(cells: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _markdown(cells: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(one.strip().replace("|", "\\|") for one in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(_HEADER), *lines[1:]])
