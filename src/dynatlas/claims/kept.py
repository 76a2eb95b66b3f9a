"""A ledger kept in git: the verdicts of a scale that takes longer than a reader waits, with what they were made by.

`docs/ledgers/<scale>/<study>.json` is sealed JSON, `{sha256, provenance, rows}`: one file a study, since such a scale
is run one study at a time. Provenance holds the commit, the day, the seeds and base seed, and the key of the claims
node: where the plan has another key by now, whoever shows the ledger says so, and shows it all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynatlas import artefacts

OF_A_CLAIM = ("says", "reason", "claim_hash", "locked")
OF_EVERY_ROW = (
    *("id", "part_of", "verdict", "effect", "low", "high", "n", "p", "test", "margin", "target", "rests_on"),
    *("control_verdict", "control_effect", "control_low", "control_high"),
)
ASKED = ("table", "metric", "statistic", "transform", "test", "target", "compared")
"""What a claim asks, whatever the scale. Margins may differ between scales, and of several controls a row shows one."""


class KeptRow(dict[str, Any]):
    """A row of the ledger with None for whatever was not kept, or was not there when it was made."""

    def __missing__(self, name: str) -> None:
        return None


@dataclass(frozen=True)
class Kept:
    """The kept ledger of one study at one scale."""

    study: str
    scale: str
    commit: str
    made: str
    """The day on which the claims were decided, `2026-11-27`."""
    base_seed: int
    seeds: tuple[int, ...]
    rows: dict[str, KeptRow]
    """By id, parts of compounds too."""
    since: str = ""
    """What has changed since, in words; empty if nothing has."""

    @property
    def about(self) -> str:
        """Where the numbers come from, in a line."""
        return (
            f"made at commit {self.commit[:10]} on {self.made}, base seed {self.base_seed}, {len(self.seeds)} seeds "
            f"({self.seeds[0]} to {self.seeds[-1]})" + (f"; {self.since}" if self.since else "")
        )

    def asked_otherwise(self, row: Mapping[str, Any]) -> bool:
        """Did the claim or part of this id ask something else when this ledger was made than `row` does now?"""
        return row["id"] in self.rows and self.rows[row["id"]]["asked"] != asked(row)


def asked(row: Mapping[str, Any]) -> str:
    """Eight hex digits over what a row's claim asks: two rows that differ in them are not about the same."""
    text = json.dumps([row[name] for name in ASKED], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def dump_kept(claims: Mapping[str, Any], *, commit: str, made: str) -> bytes:
    """The bytes of a kept ledger.

    Args:
        claims: content of a study's claims.json, of this code or of earlier code.
        commit: at which its claims were decided.
        made: the day of it.
    """
    said = claims["provenance"]
    provenance = {name: said[name] for name in ("study", "scale", "base_seed", "seeds", "device", "key", "fingerprint")}
    provenance |= {"claims": said["settings"]["digest"], "commit": commit, "made": made}
    return artefacts.dump_json(provenance, {"rows": [_row(row) for row in claims["rows"]]})


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    names = OF_EVERY_ROW if row["part_of"] else (*OF_EVERY_ROW, *OF_A_CLAIM)
    values = {name: _short(row.get(name)) for name in names}
    return {**{name: value for name, value in values.items() if value not in (None, "")}, "asked": asked(row)}


def _short(value: Any) -> Any:
    """Floats with six significant digits; the results that were not rounded can be made again."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def read_kept(path: Path, *, since: str = "") -> Kept:
    """A kept ledger; `since` is what the plan says has changed. Raises ArtefactError (the plan looked first)."""
    whole = artefacts.read_json(path)
    said = whole["provenance"]
    rows = {row["id"]: KeptRow(row, study=said["study"], scale=said["scale"]) for row in whole["rows"]}
    return Kept(
        study=said["study"],
        scale=said["scale"],
        commit=said["commit"],
        made=said["made"],
        base_seed=said["base_seed"],
        seeds=tuple(said["seeds"]),
        rows=rows,
        since=since,
    )


def claims_of(kept: Kept) -> Sequence[KeptRow]:
    """Its claims without the parts of compounds, in their order."""
    return [row for row in kept.rows.values() if row["part_of"] is None]
