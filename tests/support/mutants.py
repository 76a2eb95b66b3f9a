"""Small mistakes in declarations, of the kinds that people make: which are refused before any job?

    python tests/support/mutants.py [STUDY ...]     # all mutants of all studies: prints those that nothing refuses

A mutant is one edit of a study's yaml or claims: a letter changed in a key or a word, a value of the wrong type, a
number made NaN, and in the yaml a number made negative or zero, or left out. One that nothing refuses must be harmless:
it leaves the keys of all data, runs and tables, and the hashes of all claims, as they were. What is another valid
declaration is no mutant: another margin, a condition or a gate left out of a claim (the lock notices these), a number
left out of a scale where that of all scales stands in. Two slips are found late: a metric that no claim reads is
refused when its table is written, and a claim that selects too few conditions when it is decided; smoke shows both.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynatlas.arguments import check_arguments
from dynatlas.atlas import Atlas
from dynatlas.claims.checks import check_claims, parse_claims
from dynatlas.claims.lock import claim_hash
from dynatlas.claims.resolve import resolve
from dynatlas.columns import schemas_of
from dynatlas.config import ConfigError, read_yaml, validate
from dynatlas.declarations import StudySpec
from dynatlas.places import claims_path
from dynatlas.plan import Plan
from dynatlas.signatures import signatures_of

ROOT = Path(__file__).parents[2]
PROSE = {"title", "authors", "year", "arxiv", "doi", "venue", "about", "caption", "says", "source", "paper", "cover"}
"""Keys whose values are for readers alone."""
OWN = {"study", "path", "folder", "sha256", "size", "id", "draws"}
"""Keys whose values are anybody's: names of files, of claims and of random streams."""
AT_ZERO = {
    *("burn_in", "linear_burn_in", "skip", "early", "keep", "dropout", "weight_noise", "blank", "curves", "s"),
    *("sigma_x", "sigma_rec", "penalty", "together", "equal_update", "step_from", "shape_ratio"),
}
"""Keys whose numbers may well be 0."""
EITHER_SIGN = {"s", "curves"}
"""Keys whose numbers may well be negative."""
STEPS = ("data", "train", "measure")


@dataclass(frozen=True)
class Mutant:
    """One edit: where, what kind, and the whole edited file."""

    where: str
    kind: str
    content: Any


def edited(word: str) -> str:
    """The word with one letter changed: another letter in its middle."""
    middle = len(word) // 2
    return word[:middle] + ("q" if word[middle] != "q" else "x") + word[middle + 1 :]


def changed(value: Any) -> Iterator[tuple[str, Any]]:
    """What a slip makes of one value."""
    if isinstance(value, bool):
        yield "type", "maybe"
    elif isinstance(value, int | float):
        yield from [("type", f"{value}!"), ("nan", float("nan"))]
        if value > 0:
            yield from [("negative", -value), ("zero", 0 * value)]
    elif isinstance(value, str) and value:
        yield "letter", edited(value)
        if not value.startswith("="):
            yield "type", 7


def mutants(content: Any) -> Iterator[Mutant]:
    """Every mutant of a file."""
    for path in _paths(content):
        parent = _at(content, path[:-1])
        shown = ".".join(map(str, path))
        if isinstance(parent, dict):
            if isinstance(path[-1], str) and path[-1]:
                yield Mutant(shown, "key", _with(content, path, renamed=edited(path[-1])))
            if _needed(content, path):
                yield Mutant(shown, "deleted", _with(content, path))
        value = parent[path[-1]]
        for kind, other in changed(value):
            valid = "claims" in content and kind in ("negative", "zero")
            allowed = {"zero": AT_ZERO, "negative": EITHER_SIGN}.get(kind, set())
            if not valid and not allowed & set(path):
                yield Mutant(shown, kind, _with(content, path, value=other))


def _needed(content: Any, path: tuple[Any, ...]) -> bool:
    """Is it a number that no other block of the yaml gives?"""
    if path[0] == "numbers":
        return len(path) == 2
    return path[0] == "scales" and len(path) == 3 and path[-1] not in content.get("numbers", {})


def _paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values that are no prose."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        if key in PROSE or key in OWN:
            continue
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def _with(content: Any, path: tuple[Any, ...], **new: Any) -> Any:
    """A copy with another value, or another key, or without the entry."""
    # anchors make one object stand in several places; the copy parts them
    whole = unshared(content)
    parent = _at(whole, path[:-1])
    if "value" in new:
        parent[path[-1]] = new["value"]
    else:
        items = [(new.get("renamed") if key == path[-1] else key, value) for key, value in parent.items()]
        parent.clear()
        parent.update({key: value for key, value in items if key is not None})
    return whole


def unshared(content: Any) -> Any:
    """A copy in which nothing stands in two places."""
    if isinstance(content, dict):
        return {key: unshared(value) for key, value in content.items()}
    return [unshared(value) for value in content] if isinstance(content, list) else copy.copy(content)


class Study:
    """One study as it is declared, against which mutants are held."""

    def __init__(self, atlas: Atlas, name: str):
        self.atlas, self.name, self.spec = atlas, name, atlas.studies[name]
        self.yaml = read_yaml(ROOT / "config" / "studies" / f"{name}.yaml")
        self.claims = read_yaml(claims_path(ROOT, self.spec))
        self.keys, self.hashes = self._keys(self.spec), self._hashes(self.claims)

    def escapes(self, mutant: Mutant, file: str) -> bool:
        """Does nothing refuse it, though it changes what is computed or decided?"""
        try:
            if file == "claims":
                return self._hashes(mutant.content) != self.hashes
            spec: StudySpec = validate(StudySpec, mutant.content, "yaml")
            check_arguments(spec, signatures_of(self.atlas.index))
            self._hashes(self.claims, spec)
            return self._keys(spec) != self.keys and not self._late(spec)
        except ConfigError:
            return False

    def _late(self, spec: StudySpec) -> bool:
        """Is the only change that of metrics which no claim reads?"""
        return _without_metrics(spec) == _without_metrics(self.spec)

    def _keys(self, spec: StudySpec) -> dict[tuple[str, str, str], str]:
        """The keys of all that is computed, at every scale."""
        index, config = self.atlas.index, self.atlas.config
        plans = {scale: Plan(ROOT, spec, config, scale=scale, index=index) for scale in spec.scales}
        return {(s, *at): node.key for s, plan in plans.items() for at, node in plan.nodes.items() if at[0] in STEPS}

    def _hashes(self, content: Any, spec: StudySpec | None = None) -> dict[tuple[str, str], str]:
        """The hashes of all claims at every scale, held against the tables."""
        spec = spec or self.spec
        claims = parse_claims(content)
        measures = {name: tuple(measure.metrics) for name, measure in spec.measures.items()}
        check_claims(claims, measures, tables={scale: schemas_of(spec, scale) for scale in spec.scales})
        return {(claim.id, scale): claim_hash(resolve(claim, scale)) for claim in claims for scale in claim.scales}


def _without_metrics(spec: StudySpec) -> dict[str, Any]:
    content = spec.model_dump()
    for measure in content["measures"].values():
        del measure["metrics"]
    return content


def main(names: list[str]) -> int:
    """Print every mutant that escapes, and how many there were."""
    atlas = Atlas(ROOT)
    total = escaped = 0
    for name in names or atlas.studies:
        study = Study(atlas, name)
        for file, content in (("yaml", study.yaml), ("claims", study.claims)):
            for mutant in mutants(content):
                total += 1
                if study.escapes(mutant, file):
                    escaped += 1
                    print(f"{name} {file}: {mutant.where}: {mutant.kind}", flush=True)
    print(f"{escaped} of {total} mutants escaped")
    return int(escaped > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
