"""The claims of all studies as declared: each sentence stands alone, and says what its verdict rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from dynatlas.atlas import Atlas
from dynatlas.claims.checks import parse_claims
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import Group, ResolvedClaim
from dynatlas.config import read_yaml
from dynatlas.places import claims_path

ATLAS = Atlas()
CLAIMS = {
    f"{study} {claim.id}": resolve(claim, claim.scales[0])
    for study, spec in ATLAS.studies.items()
    for claim in parse_claims(read_yaml(claims_path(ATLAS.root, spec)))
}
LEANS = re.compile(r"^(the same|it|its|they|their|this|these|that|those|likewise|of|minus|against)\b", re.IGNORECASE)
"""How a sentence begins that needs the one above it."""


def sentences(claim: ResolvedClaim) -> Iterator[str]:
    yield claim.head.says
    yield from (rule.says for rule in claim.rules)
    yield from (part.head.says for part in claim.asked if isinstance(part, Group))
    yield from (control.declared.says for control in claim.controls)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_sentence_stands_alone(name: str) -> None:
    """In a list that was filtered by verdict nothing stands above a row."""
    assert [one for one in sentences(CLAIMS[name]) if LEANS.match(one)] == []


@pytest.mark.parametrize("name", CLAIMS)
def test_identities_and_exact_claims_are_no_experiments(name: str) -> None:
    for rule in CLAIMS[name].rules:
        assert rule.rests_on != "experiment" or not (rule.exact or rule.test == "identity"), rule.id


@pytest.mark.parametrize("study", ATLAS.studies)
def test_no_line_is_longer_than_code(study: str) -> None:
    lines = claims_path(ATLAS.root, ATLAS.studies[study]).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []
