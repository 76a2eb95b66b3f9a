"""The pages themselves: the index over the whole ledger, and one page for each study."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from dynatlas.claims.kept import Kept, claims_of
from dynatlas.claims.ledger import draw_text, summarise
from dynatlas.claims.verdicts import VERDICTS
from dynatlas.config import SCALES
from dynatlas.site.ancestry import ancestry_svg
from dynatlas.site.content import FigureEntry, GuideLink, StudyLink, StudyPage, shown_width
from dynatlas.site.forest import forest_svg, interval_text, number
from dynatlas.site.markdown import render_markdown
from dynatlas.site.pages import render_template
from dynatlas.site.shapes import icon
from dynatlas.site.thumbnail import thumbnail

Row = Mapping[str, Any]

MEANING = {
    "reproduced": "the interval lies wholly beyond the margin, on the stated side",
    "direction": "the effect exists, but may be smaller than the margin",
    "inconclusive": "too little data, or the control came out too",
    "contradicted": "the interval excludes what is claimed",
    "reported": "effect and interval, without a verdict",
    "not run": "this scale does not test it",
}


def render_index(ledger: Mapping[str, Any], studies: Sequence[StudyLink], *, guides: Sequence[GuideLink] = ()) -> str:
    """The ledger as a forest plot over all studies.

    Args:
        ledger: content of ledger.json (`rows`, `provenance`, `sha256`).
        studies: in the order in which they are shown; a study without a row is listed too.
        guides: what is not about a study, in the order in which it is shown.
    """
    rows = ledger["rows"]
    made = ledger["provenance"]
    missing = made["settings"]["missing"]
    return render_template(
        "index.html",
        summary=summarise(rows, [*(link.study for link in studies), *missing]),
        links=[
            {"link": link, "tallies": _tallies(_of_study(rows, link.study), link.kept), "cover": _cover(link.cover)}
            for link in studies
        ],
        kept=[one for link in studies for one in link.kept],
        scales=_scales([one for link in studies for one in link.kept]),
        guides=guides,
        claims=claim_views(rows, [one for link in studies for one in link.kept]),
        scale=made["scale"],
        draw=draw_text({**made, "seeds": made["settings"]["seeds"]}),
        verdicts=MEANING,
        icons={verdict: icon(verdict) for verdict in VERDICTS},
        provenance=_facts({**made, "sha256": ledger["sha256"]}),
    )


def render_study(page: StudyPage, *, index_href: str = "index.html") -> str:
    """A study's own page; it reads nothing but its own claims, figures and texts."""
    figures = [
        {
            "entry": figure,
            "png": b64encode(figure.png).decode(),
            "width": shown_width(figure.png),
            "caption": render_markdown(figure.caption),
            "ancestry": ancestry_svg(figure.ancestry),
        }
        for figure in page.figures
    ]
    return render_template(
        "study.html",
        page=page,
        index_href=index_href,
        summary=summarise(page.rows),
        draw=draw_text(page.draw),
        kept=page.kept,
        scales=_scales(page.kept),
        claims=claim_views(page.rows, page.kept),
        figures=figures,
        readme=render_markdown(page.readme, shift=2),
        verdicts=MEANING,
        icons={verdict: icon(verdict) for verdict in VERDICTS},
        provenance=_facts(page.provenance),
    )


def render_claim_table(rows: Sequence[Row], draw: Mapping[str, Any]) -> str:
    """The claims alone, as a fragment for a notebook, with the style it needs; `draw` as `draw_text` takes it."""
    return render_template("claim_table.html", claims=claim_views(rows), draw=draw_text(draw))


def claim_views(rows: Sequence[Row], kept: Sequence[Kept] = ()) -> list[dict[str, Any]]:
    """Each claim with its parts, all of it as the templates show it, in the order of the ledger.

    `kept` are ledgers of other scales; each claim gets a cell for every scale among them.
    """
    views: list[dict[str, Any]] = []
    for row in rows:
        if row["part_of"] is None:
            views.append({**_view(row, kept), "parts": []})
        else:
            views[-1]["parts"].append(_view(row, kept))
    return views


def _scales(kept: Sequence[Kept]) -> list[str]:
    return [scale for scale in SCALES if any(one.scale == scale for one in kept)]


def _at_scale(row: Row, scale: str, kept: Sequence[Kept]) -> dict[str, Any]:
    """What a kept ledger says of a row; without a verdict where it says nothing."""
    found = next((one for one in kept if (one.study, one.scale) == (row["study"], scale)), None)
    there = found.rows.get(row["id"]) if found else None
    if found is None or there is None:
        return {"scale": scale, "verdict": None}
    return {
        "scale": scale,
        "verdict": there["verdict"],
        "kind": str(there["verdict"]).replace(" ", "-"),
        "icon": icon(there["verdict"]),
        "effect": interval_text(there),
        "reason": re.sub(r" \([^)]*\)", "", there["reason"] or ""),  # of a count, without the names of its parts
        "otherwise": found.asked_otherwise(row),
    }


def _view(row: Row, kept: Sequence[Kept]) -> dict[str, Any]:
    return {
        "row": row,
        "scales": [_at_scale(row, scale, kept) for scale in _scales(kept)],
        "anchor": f"{row['study']}-{row['id']}",
        "kind": str(row["verdict"]).replace(" ", "-"),
        "icon": icon(row["verdict"]),
        "plot": forest_svg(row),
        "effect": interval_text(row),
        "control": interval_text(row, "control_"),
        "rule": _rule(row),
        "source": _source(row),
        "facts": _claim_facts(row),
    }


def _source(row: Row) -> str:
    """Where the statement stands, and the paper's own figure where its card has one."""
    where = f" ({row['paper_where']})" if row["paper_where"] else ""
    own = f"the paper's own figure: {row['paper']}{where}" if row["paper"] else ""
    return "; ".join(filter(None, [row["source"], own]))


def _rule(row: Row) -> str:
    """`accuracy, greater 0.1`, `accuracy, equivalent 0.05 of 1`; a compound has its kind alone."""
    kind = (row["test"] or "").replace("_", " ")
    if row["margin"] is not None:
        kind += f" {number(row['margin'])}" + (f" of {number(row['target'])}" if row["target"] else "")
    alone = row["effect"] is None and row["part_of"] is None
    return kind if alone else ", ".join(filter(None, [_measured(row), kind]))


def _measured(row: Row) -> str:
    """The metric with whatever was done to it: `log10 updates`, `spearman along size of loss`."""
    metric = row["metric"] or ""
    metric = f"{row['transform']} {metric}" if row["transform"] else metric
    return f"{row['statistic']} of {metric}" if row["statistic"] else metric


def _claim_facts(row: Row) -> list[tuple[str, str]]:
    """What stands under a claim's details: only what there is."""
    facts = {
        "compared": row["compared"],
        "test": _rule(row),
        "seeds": None if row["n"] is None else str(row["n"]),
        "level": None if row["effect"] is None else f"{row['level']:.4g}",
        "p against margin": number(row["p"]),
        "p, sign flip": number(row["p_sign_flip"]),
        "p, Holm": number(row["p_holm"]),
        "control": row["control"],
        "control's verdict": " · ".join(filter(None, [row["control_verdict"], row["control_reason"]])),
        "rests on": row["rests_on"],
        "decided by": row["decided_by"],
        "claim's hash": row["claim_hash"][:16],
        "as locked": row["locked"],
    }
    return [(name, value) for name, value in facts.items() if value]


def _cover(figure: FigureEntry | None) -> str:
    """The data of the small picture; empty where there is none."""
    return b64encode(thumbnail(figure.png)).decode() if figure else ""


def _of_study(rows: Sequence[Row], study: str) -> list[Row]:
    return [row for row in rows if row["study"] == study and row["part_of"] is None]


def _tallies(rows: Sequence[Row], kept: Sequence[Kept]) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """The verdicts of a study counted: at this scale (whose name is left out), and at those of kept ledgers."""
    return [("", _tally(rows)), *((one.scale, _tally(claims_of(one))) for one in kept)]


def _tally(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """(verdict, its icon, how many) for every verdict that occurs."""
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS}
    return [(verdict, icon(verdict), count) for verdict, count in counts.items() if count]


def _facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Provenance as rows of two cells; nested values as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False))
        for name, value in provenance.items()
    ]
