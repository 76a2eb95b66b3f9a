"""The lock on what was fixed before looking: a hash of every claim, and a dated reason for every change.

`config/claims.lock` holds `{study: {claim id: {hash, date, changes}}}`. A changed claim needs a line
`- 2026-11-21 C3: why` in its study's README, or one for several, `- 2026-11-21 C3, C4: why`; `changes` counts the
lines that were there when the lock was written.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dynatlas.claims.rules import Asked, Group, ResolvedClaim, Rule
from dynatlas.claims.vocabulary import Term

Lock = dict[str, dict[str, dict[str, Any]]]

_LINE = re.compile(r"^- (\d{4}-\d{2}-\d{2}) ([^\s:,]+(?:, [^\s:,]+)*): *\S", re.MULTILINE)


class LockError(ValueError):
    """A claim changed without a dated line that says why."""


def claim_hash(claim: ResolvedClaim, settings: Mapping[str, Any] | None = None) -> str:
    """Sixteen hex digits over all that can change a verdict: the claim and the settings of its runs (seeds too).

    It is taken of what is asked at the scale, so that neither the way in which a claim is written nor the margin of
    another scale changes it. Where the paper says it, and the paper's own figure, may be corrected without a new hash.
    """
    names = ("scales", "decided_by", "exploratory", "level", "wins", "losses")
    asked = {
        **{name: getattr(claim, name) for name in names},
        "id": claim.id,
        "says": claim.head.says,
        "test": claim.head.test,
        "rests_on": claim.head.rests_on,
        "asked": [_plain(one) for one in claim.asked],
        "gates": [[_plain(gate.rule), gate.at_least, gate.at_most] for gate in claim.gates],
        "controls": [
            [one.declared.says, one.declared.permute, [_plain(rule) for rule in one.asked]] for one in claim.controls
        ],
    }
    text = json.dumps({"claim": asked, "settings": settings or {}}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(asked: Asked) -> dict[str, Any]:
    """A rule by what it reads and asks; the order in which columns are reduced counts, and so it is kept."""
    if isinstance(asked, Group):
        return {"id": asked.head.id, "says": asked.head.says, "all_of": [_plain(rule) for rule in asked.rules]}
    names = ("id", "says", "table", "transform", "exact", "rests_on", "test", "margin", "target", "tolerance")
    return {
        **{name: getattr(asked, name) for name in names},
        "terms": [[term.weight, asked.selects(term), _reduced(asked, term)] for term in asked.terms],
        "statistic": asked.statistic and asked.statistic.model_dump(mode="json", by_alias=True, exclude_none=True),
        "censored": asked.censored and asked.censored.model_dump(mode="json", exclude_none=True),
    }


def _reduced(rule: Rule, term: Term) -> list[tuple[str, str]]:
    return list((rule.reduce if term.reduce is None else term.reduce).items())


def lock_state(entries: Mapping[str, Mapping[str, Any]], claim: str, scale: str, now: str) -> str:
    """`yes` if a study's entries of the lock hold the hash `now` for this claim at this scale, else `changed`.

    A scale that the lock does not fix (smoke) is never as locked, nor are other seeds than the ledger's.
    """
    return "yes" if f"{scale}:{now}" in str(entries.get(claim, {}).get("hash", "")).split() else "changed"


def changes(readme: str) -> dict[str, list[str]]:
    """The dates of the lines `- YYYY-MM-DD <claim ids, parted by commas>: why` of a README, by claim id.

    A line of a day that does not exist is none.
    """
    found: dict[str, list[str]] = {}
    for date, claims in _LINE.findall(readme):
        if not _is_day(date):
            continue
        for claim in claims.split(", "):
            found.setdefault(claim, []).append(date)
    return found


def _is_day(text: str) -> bool:
    try:
        return bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def lock_problems(lock: Lock, hashes: Mapping[str, Mapping[str, str]], readmes: Mapping[str, str]) -> list[str]:
    """What keeps the lock from being true, one line each; nothing if all is well.

    `hashes` are those of now, `{study: {claim id: hash}}`; `readmes` the texts of the studies' READMEs.
    """
    problems = _unexplained(lock, hashes, readmes)
    for study, claims in hashes.items():
        for claim, now in claims.items():
            entry = lock.get(study, {}).get(claim)
            if entry is None:
                problems.append(f"{study}: claim {claim}: not in the lock yet")
            elif entry["hash"] != now:
                problems.append(
                    f"{study}: claim {claim}: not as locked on {entry['date']} ({entry['hash']}, now {now})"
                )
    for study, entries in lock.items():
        for claim, entry in entries.items():
            if claim not in hashes.get(study, {}):
                problems.append(f"{study}: claim {claim}: locked on {entry['date']}, but it is gone")
            elif entry["changes"] > len(changes(readmes.get(study, "")).get(claim, [])):
                problems.append(f"{study}: claim {claim}: a line that explained a change is gone from the README")
    return problems


def _unexplained(lock: Lock, hashes: Mapping[str, Mapping[str, str]], readmes: Mapping[str, str]) -> list[str]:
    """Claims that changed or went since the lock was written, without a new line in the README."""
    problems = []
    for study, entries in lock.items():
        lines = changes(readmes.get(study, ""))
        for claim, entry in entries.items():
            same = hashes.get(study, {}).get(claim) == entry["hash"]
            if not same and len(lines.get(claim, [])) <= entry["changes"]:
                problems.append(
                    f"{study}: claim {claim}: changed since {entry['date']} without a reason; "
                    f"add the line `- YYYY-MM-DD {claim}: why` to the study's README, then write the lock anew"
                )
    return problems


def update_lock(lock: Lock, hashes: Mapping[str, Mapping[str, str]], readmes: Mapping[str, str], *, today: str) -> Lock:
    """The lock for the claims of now; raises LockError for a change that no dated line explains."""
    problems = _unexplained(lock, hashes, readmes)
    if problems:
        raise LockError("\n".join(problems))
    new: Lock = {}
    for study in sorted(hashes):
        lines = changes(readmes.get(study, ""))
        for claim, now in hashes[study].items():
            old = lock.get(study, {}).get(claim)
            entry = {"hash": now, "date": today, "changes": len(lines.get(claim, []))}
            new.setdefault(study, {})[claim] = old if old and old["hash"] == now else entry
    return new
