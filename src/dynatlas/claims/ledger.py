"""All claims of all studies: Holm's correction, counts, and the ledger as table, markdown or json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from dynatlas.claims.kept import Kept
from dynatlas.claims.verdicts import REPORTED, VERDICTS
from dynatlas.claims.vocabulary import RestsOn
from dynatlas.intervals import Floats

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
    """Counts of verdicts and of passed controls, over claims (not their parts), and what is not as locked.

    `studies` are all those of the atlas: the ledger is `partial` where some have no row. `rests_on` counts the verdicts
    apart by what they rest on. A control passes by chance once in forty (one side of a 95 % interval), if it
    could have: an identity's, an exact claim's and a fixed one never do, so those do not count.
    """
    claims = [row for row in rows if row["part_of"] is None]
    missing = sorted(set(studies or []) - {row["study"] for row in claims})
    return {
        "claims": len(claims),
        "verdicts": _verdicts(claims),
        "rests_on": {kind: _verdicts([row for row in claims if row["rests_on"] == kind]) for kind in get_args(RestsOn)},
        "locked": sum(row["locked"] == "yes" for row in claims),
        "not_locked": [f"{row['study']} {row['id']}".strip() for row in claims if row["locked"] == "changed"],
        "controls": sum(row["controls"] for row in claims),
        "controls_fixed": sum(row["controls_fixed"] for row in claims),
        "controls_passed": sum(row["controls_passed"] for row in claims),
        "controls_by_chance": sum(row["controls_by_chance"] for row in claims) / 40,
        "partial": bool(missing),
        "missing_studies": missing,
    }


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS}


def summary_text(summary: Mapping[str, Any]) -> str:
    """The counts in a few lines for a reader."""
    lines = [f"{summary['claims']} claims: {_counted(summary['verdicts'])}"]
    lines += [
        f"  {sum(verdicts.values())} rest on {_ARTICLE[kind]}: {_counted(verdicts)}"
        for kind, verdicts in summary["rests_on"].items()
        if any(verdicts.values())
    ]
    lines.append(
        f"controls: {summary['controls_passed']} of {summary['controls']} passed (they must not); "
        f"by chance {summary['controls_by_chance']:.1f} would ({summary['controls_fixed']} are fixed: none of their "
        "seeds could have changed them)"
    )
    if changed := summary["not_locked"]:
        lines.append(f"lock: {len(changed)} claims are not as config/claims.lock has them: {_few(changed)}")
    elif summary["locked"]:
        lines.append("lock: every claim is as config/claims.lock has it")
    if summary["partial"]:
        lines.append(f"partial: nothing here of {', '.join(summary['missing_studies'])}")
    return "\n".join(lines)


_ARTICLE = {"arithmetic": "arithmetic", "construction": "construction", "experiment": "an experiment"}


def _counted(verdicts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items() if count) or "none"


def _few(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def draw_text(draw: Mapping[str, Any]) -> str:
    """In one line what decided every random draw: `{scale, base_seed, seeds: {study: [seed, ...]}}`."""
    by_seeds: dict[str, list[str]] = {}
    for study, seeds in draw["seeds"].items():
        by_seeds.setdefault(_span(seeds), []).append(study)
    shown = [f"{span}: {', '.join(studies)}" for span, studies in by_seeds.items()]
    return f"scale {draw['scale']}; base seed {draw['base_seed']}; " + "; ".join(shown)


def _span(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seeds ({seeds[0]} to {seeds[-1]})" if len(seeds) > 1 else f"seed {', '.join(map(str, seeds))}"


def render(
    rows: Sequence[Mapping[str, Any]],
    form: str = "table",
    *,
    studies: Iterable[str] | None = None,
    draw: Mapping[str, Any] | None = None,
    beside: Sequence[Kept] = (),
) -> str:
    """The ledger as a text: `table` for a terminal, `markdown`, or `json` (all fields).

    `draw` (as in `draw_text`) stands above the table; `beside` are kept ledgers, each scale of which gets a column.
    """
    if form == "json":
        content = {"draw": draw, "summary": summarise(rows, studies), "rows": list(rows)}
        return json.dumps(content, indent=1, allow_nan=False)
    above = f"{draw_text(draw)}\n\n" if draw else ""
    below = [*summary_text(summarise(rows, studies)).splitlines(), *kept_lines(beside)]
    if form == "markdown":
        below = [re.sub(r"^( *)", r"\1- ", line) for line in below]
    return "\n".join([f"{above}{as_table(rows, form, beside)}\n", *below, ""])


def as_table(rows: Sequence[Mapping[str, Any]], form: str = "table", beside: Sequence[Kept] = ()) -> str:
    """The rows alone: `table` for a terminal, or `markdown`."""
    if form not in ("table", "markdown"):
        raise ValueError(f"format {form!r}: allowed are table, markdown, json")
    scales = list(dict.fromkeys(one.scale for one in beside))
    cells = [_beside(_HEADER, scales)]
    cells += [_beside(_cells(row), [_kept_cell(row, scale, beside) for scale in scales]) for row in rows]
    return _markdown(cells) if form == "markdown" else _aligned(cells)


def verdict_table(rows: Sequence[Mapping[str, Any]], beside: Sequence[Kept] = ()) -> str:
    """The claims of one study in markdown, as its README shows them: sentence, verdict, effect and control.

    Of a compound the effects of its parts; claims that are not tested or not run at this scale are left out.
    """
    scales = list(dict.fromkeys(one.scale for one in beside))
    cells = [("claim", "verdict", "effect [interval]", "control", *(f"at {scale}" for scale in scales))]
    for row in rows:
        if row["part_of"] is None and row["verdict"] in VERDICTS[:4]:
            parts = [part for part in rows if part["part_of"] == row["id"] and part["effect"] is not None]
            named = (f"{part['id'].removeprefix(row['id'] + '.')} {interval_text(part, '')}" for part in parts)
            effects = "; ".join(named) if parts else interval_text(row, "")
            kept = [_kept_cell(row, scale, beside) for scale in scales]
            cells.append((f"{row['id']}: {row['says']}", row["verdict"], effects, _control(row), *kept))
    return _markdown(cells)


def kept_lines(kept: Iterable[Kept]) -> list[str]:
    """What each kept ledger was made by, a line each."""
    return [f"{one.scale} of {one.study}: {one.about}" for one in kept]


def _beside(cells: tuple[str, ...], others: Sequence[str]) -> tuple[str, ...]:
    """Cells of a row with those of other scales behind verdict and effect."""
    at = _HEADER.index("test")
    return (*cells[:at], *others, *cells[at:])


def _kept_cell(row: Mapping[str, Any], scale: str, kept: Sequence[Kept]) -> str:
    """Verdict and effect at another scale; marked where the claim asked something else then."""
    for one in kept:
        if (one.study, one.scale) == (row["study"], scale) and row["id"] in one.rows:
            there = one.rows[row["id"]]
            otherwise = "(asked otherwise then)" if one.asked_otherwise(row) else ""
            return " ".join(filter(None, [there["verdict"], interval_text(there, ""), otherwise]))
    return ""


_HEADER = (
    "study",
    "claim",
    "verdict",
    "effect [interval]",
    "test",
    "n",
    "p",
    "Holm",
    "control",
    "rests on",
    "locked",
    "says",
)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    says = row["says"] if row["part_of"] is None else row["says"] or row["compared"]
    claim = row["id"] if row["part_of"] is None else "  " + row["id"]
    return (
        row["study"],
        claim,
        row["verdict"],
        interval_text(row, ""),
        _test(row),
        _number(row["n"]),
        _number(row["p"]),
        _number(row["p_holm"]),
        _control(row),
        row["rests_on"] or "",
        row["locked"] or "",
        says or "",
    )


def _control(row: Mapping[str, Any]) -> str:
    fixed = "(fixed)" if row["control_fixed"] else ""
    return " ".join(filter(None, [row["control_verdict"], fixed, interval_text(row, "control_")]))


def interval_text(row: Mapping[str, Any], prefix: str) -> str:
    """`effect [low, high]` of a row, or of its control (`prefix` "control_"); empty where there is none."""
    effect = row[f"{prefix}effect"]
    if effect is None:
        return ""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return _number(effect) if low == high else f"{_number(effect)} [{_number(low)}, {_number(high)}]"


def _test(row: Mapping[str, Any]) -> str:
    if row["margin"] is None:
        return row["test"] or ""
    around = f" of {row['target']:g}" if row["target"] else ""
    return f"{row['test']} {row['margin']:g}{around}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _aligned(cells: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _markdown(cells: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(one.strip().replace("|", "\\|") for one in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]])
