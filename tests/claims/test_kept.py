"""Kept ledgers: what goes in comes out, old rows too; what has changed since is said, and nothing is refused for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dynatlas import artefacts, cli
from dynatlas.atlas import Atlas
from dynatlas.claims.kept import ASKED, claims_of, dump_kept, read_kept
from dynatlas.claims.ledger import as_table, render
from dynatlas.commands import keep
from dynatlas.commands import kept as kept_command
from dynatlas.config import ConfigError
from dynatlas.keeping import kept_path

SEEDS = list(range(100, 108))


def row(name: str, **over: Any) -> dict[str, Any]:
    """A row as it was before `rests_on` and `locked`: they are simply not there."""
    values = {
        "study": "toy", "id": name, "part_of": None, "says": f"{name} holds", "scale": "standard",
        "verdict": "reproduced", "effect": 0.123456789, "low": 0.1, "high": 0.2, "n": 8, "p": 1e-9,
        "test": "greater", "margin": 0.1,
        "reason": "", "claim_hash": "ab", "control_verdict": None, "level": 0.95, **dict.fromkeys(ASKED),
    }  # fmt: skip
    return {**values, "metric": "error", **over}


ROWS = [
    row("C1", test="all_of", effect=None, low=None, high=None),
    row("C1.a", part_of="C1", says="a part", verdict="contradicted"),
    row("C2", rests_on="arithmetic", locked="changed", reason="too little"),
]


def claims(**over: Any) -> dict[str, Any]:
    made = {
        "study": "toy", "scale": "standard", "step": "claims", "base_seed": 7, "seeds": SEEDS, "device": "cpu",
        "key": "k" * 64, "fingerprint": "f" * 64, "settings": {"file": "claims.yaml", "digest": "d" * 64}, **over,
    }  # fmt: skip
    return {"provenance": made, "rows": ROWS}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "toy.json"
    path.write_bytes(dump_kept(claims(), commit="c0ffee" * 7, made="2026-11-27"))
    return path


def test_what_is_kept_comes_out_again_with_six_digits(kept: Path) -> None:
    read = read_kept(kept)
    assert list(read.rows) == ["C1", "C1.a", "C2"]
    assert [one["id"] for one in claims_of(read)] == ["C1", "C2"]
    assert read.rows["C1.a"]["effect"] == 0.123457
    assert read.rows["C1.a"]["verdict"] == "contradicted"
    assert (read.rows["C2"]["rests_on"], read.rows["C2"]["locked"], read.rows["C2"]["reason"]) == (
        "arithmetic", "changed", "too little")  # fmt: skip
    assert read.about == "made at commit c0ffeec0ff on 2026-11-27, base seed 7, 8 seeds (100 to 107)"


def test_rows_of_earlier_code_lack_what_came_later(kept: Path) -> None:
    early = read_kept(kept).rows["C1"]
    assert (early["rests_on"], early["locked"], early["effect"], early["study"]) == (None, None, None, "toy")


def test_a_flipped_byte_is_noticed(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes().replace(b"contradicted", b"reproduced!!"))
    with pytest.raises(artefacts.ArtefactError, match="damaged"):
        read_kept(kept)


@pytest.mark.parametrize("name", ASKED)
def test_a_claim_that_asks_something_else_by_now_is_noticed(kept: Path, name: str) -> None:
    read = read_kept(kept)
    assert not read.asked_otherwise(ROWS[2])
    assert read.asked_otherwise({**ROWS[2], name: "else"})
    assert not read.asked_otherwise({**ROWS[2], "margin": 0.5, "id": "C2"})  # margins may differ between scales
    assert not read.asked_otherwise({**ROWS[2], "id": "new"})


def now(name: str, **over: Any) -> dict[str, Any]:
    """A row of this code's ledger."""
    counted = dict.fromkeys(("controls", "controls_passed", "controls_fixed", "controls_by_chance"), 0)
    rest = {"p_holm": None, "control_effect": None, "control_fixed": None, "rests_on": "experiment", "locked": "yes"}
    return row(name, **{**counted, **rest, **over})


def test_the_ledger_gets_a_column_for_the_scale_and_a_line_on_what_made_it(kept: Path) -> None:
    rows = [now("C2"), now("C2", study="other"), now("C9"), now("C1", metric="another")]
    text = render(rows, "markdown", beside=[read_kept(kept)])
    header, _, *cells = (line.split(" | ") for line in text.splitlines() if line.startswith("|"))
    assert [line[header.index("standard")] for line in cells] == [
        "reproduced 0.123 [0.1, 0.2]", "", "", "reproduced (asked otherwise then)"]  # fmt: skip
    assert text.endswith(
        "\n- standard of toy: made at commit c0ffeec0ff on 2026-11-27, base seed 7, 8 seeds (100 to 107)\n"
    )
    assert "standard" not in render(rows, "markdown")


def test_a_kept_ledger_of_earlier_code_prints_as_it_stands(kept: Path) -> None:
    lines = as_table(list(read_kept(kept).rows.values())).splitlines()[1:]
    shown = [line.split()[1:3] for line in lines]
    assert shown == [["C1", "reproduced"], ["C1.a", "contradicted"], ["C2", "reproduced"]]


def test_what_has_changed_is_said_beside_the_provenance(kept: Path) -> None:
    assert replace(read_kept(kept), since="claims changed since").about.endswith("(100 to 107); claims changed since")


# ---------------------------------------------------------------- the plan, and the command


@pytest.fixture
def atlas(once: Any, copy_repository: Any, tmp_path: Path) -> Atlas:
    root = copy_repository(tmp_path / "atlas")
    yaml = root / "config" / "studies" / "toy.yaml"
    quick = "  quick: {seeds: 8, points: 16}\n"
    yaml.write_text(yaml.read_text().replace(quick, quick + quick.replace("quick", "standard")))
    return Atlas(root)


def keep_plan(atlas: Atlas, **over: Any) -> None:
    """Keep a ledger as the plan of now would make it, but for `over`."""
    node = Atlas(atlas.root).plan("toy", "standard").node("claims", "claims")
    made = {"provenance": {**node.provenance, **over}, "rows": ROWS}
    artefacts.write_bytes(kept_path(atlas.root, "toy", "standard"), dump_kept(made, commit="c", made="2026-11-27"))


def since(atlas: Atlas, scale: str = "quick", **overrides: Any) -> str:
    page = Atlas(atlas.root, overrides).plan("toy", scale).node("page", "page")
    return page.settings["kept"]["standard"]["since"]


def test_a_page_knows_the_ledgers_of_other_scales_and_what_has_changed_since(atlas: Atlas) -> None:
    assert Atlas(atlas.root).plan("toy").node("page", "page").settings["kept"] == {}
    keep_plan(atlas)
    assert since(atlas) == ""
    assert since(atlas, base_seed=9, seeds=12) == ""  # what this run draws says nothing about that one
    assert "standard" not in Atlas(atlas.root).plan("toy", "standard").node("page", "page").settings["kept"]
    keep_plan(atlas, key="x" * 64)
    assert since(atlas) == "code, settings or seeds changed since"
    yaml = atlas.root / "src" / "dynatlas" / "studies" / "toy" / "claims.yaml"
    yaml.write_text(yaml.read_text() + "# edited\n")
    assert since(atlas) == "claims changed since"


def test_a_scale_that_cannot_be_planned_any_more_stops_nothing_else(atlas: Atlas) -> None:
    keep_plan(atlas)
    yaml = atlas.root / "config" / "studies" / "toy.yaml"
    yaml.write_text(yaml.read_text().replace("standard: {seeds: 8, points: 16", "standard: {seeds: 8, pints: 16"))
    assert since(atlas) == "its plan cannot be read any more"


def test_a_damaged_one_stops_the_plan_and_names_the_way_out(atlas: Atlas) -> None:
    keep_plan(atlas)
    path = kept_path(atlas.root, "toy", "standard")
    path.write_bytes(path.read_bytes().replace(b"reproduced", b"Reproduced"))
    with pytest.raises(ConfigError, match=r"toy.json is damaged.*dynatlas keep --scale standard --studies toy"):
        Atlas(atlas.root).plan("toy")


def run_keep(atlas: Atlas, folder: Path, monkeypatch: pytest.MonkeyPatch, scale: str = "standard") -> int:
    monkeypatch.setattr(keep, "atlas_of", lambda options: Atlas(atlas.root, path_scale=options.scale))
    return keep.run(cli.parse(["keep", "--scale", scale, "--from", str(folder)]))


def test_what_is_kept_is_printed_without_any_run(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept_command, "atlas_of", lambda options: Atlas(atlas.root, path_scale=options.scale))
    with pytest.raises(ConfigError, match="none of toy has a ledger in docs/ledgers/standard; to keep that of a run:"):
        kept_command.run(cli.parse(["kept", "--scale", "standard"]))
    keep_plan(atlas, key="x" * 64)
    assert kept_command.run(cli.parse(["kept", "--scale", "standard", "--brief"])) == 0
    printed = capsys.readouterr().out
    assert "C1.a" not in printed
    assert printed.endswith("(100 to 107); code, settings or seeds changed since\n")
    kept_command.run(cli.parse(["kept", "--scale", "standard", "--format", "json"]))
    (whole,) = json.loads(capsys.readouterr().out)
    assert (whole["study"], whole["commit"], list(whole["rows"])) == ("toy", "c", ["C1", "C1.a", "C2"])


def made_by(folder: Path, sidecar: dict[str, Any] | None) -> None:
    """A run's folder: claims and what stands beside its logs."""
    path = folder / "results" / "standard" / "toy" / "claims.json"
    artefacts.write_json(path, claims()["provenance"], {"rows": ROWS})
    if sidecar is not None:
        artefacts.write_bytes(folder / "logs" / "standard" / "toy" / "claims-claims.json", json.dumps(sidecar).encode())


def test_the_command_keeps_a_run_of_other_code(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_by(tmp_path, {"key": "k" * 64, "commit": "beef" * 10, "finished": "2026-11-26T10:00:00+00:00"})
    assert run_keep(atlas, tmp_path, monkeypatch) == 0
    about = "made at commit beefbeefbe on 2026-11-26, base seed 7, 8 seeds (100 to 107)"
    assert capsys.readouterr().out == f"docs/ledgers/standard/toy.json: toy, {about}\n"
    assert read_kept(kept_path(atlas.root, "toy", "standard")).rows["C2"]["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("sidecar", "scale", "words"),
    [
        (None, "standard", r"says at which commit .* was made, and cannot be read"),
        ({"key": "other", "commit": "c", "finished": "2026"}, "standard", "is about another run"),
        ({}, "standard-dev", "development seeds decide nothing"),
        ({}, "quick", "nothing to keep, none of these exists: .*results/quick/toy/claims.json"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sidecar: Any, scale: str, words: str
) -> None:
    made_by(tmp_path, sidecar)
    with pytest.raises((artefacts.ArtefactError, ConfigError), match=words):
        run_keep(atlas, tmp_path, monkeypatch, scale)
