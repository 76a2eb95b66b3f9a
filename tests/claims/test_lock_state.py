"""What the lock holds fast: the draw enters every claim's hash, so that shopping for seeds shows."""

from __future__ import annotations

import pytest

from dynatlas.atlas import Atlas
from dynatlas.claims.checks import parse_claims
from dynatlas.claims.lock import claim_hash, lock_state
from dynatlas.claims.resolve import resolve
from dynatlas.config import read_yaml
from dynatlas.places import claims_path, read_lock
from dynatlas.steps.claims import run_settings


def states(overrides: dict[str, object], **changed: object) -> set[str]:
    """`locked` of every row of a study, as `decide_study` would write it."""
    atlas = Atlas(overrides=overrides)
    study = "rnn-geometry"
    node = atlas.plan(study).node("claims", "claims")
    claims = parse_claims(read_yaml(claims_path(atlas.root, atlas.studies[study])))
    lock = read_lock(atlas.root)[study]
    scale = node.scale.removesuffix("-dev")
    asked = [resolve(one.model_copy(update=changed), scale) for one in claims]
    hashes = {one.id: claim_hash(one, run_settings(one, node)) for one in asked}
    return {lock_state(lock, claim, scale, now) for claim, now in hashes.items()}


@pytest.mark.parametrize("scale", ["quick", "standard"])
def test_the_atlas_as_declared_is_as_locked(scale: str) -> None:
    assert states({"scale": scale}) == {"yes"}


@pytest.mark.parametrize(
    "overrides",
    [{"base_seed": 1}, {"seeds": "dev"}, {"seeds": 3}, {"scale": "smoke"}, {"scale": "standard", "base_seed": 7}],
)
def test_another_draw_or_size_is_not(overrides: dict[str, object]) -> None:
    assert states(overrides) == {"changed"}


def test_a_loosened_level_is_not() -> None:
    assert states({}, level=0.9) == {"changed"}
