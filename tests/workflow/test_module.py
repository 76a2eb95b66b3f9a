"""The atlas as a module of somebody else's workflow."""

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

IMPORTING = """
module atlas:
    snakefile:
        "{snakefile}"
    prefix:
        "within/an atlas"


use rule * from atlas as atlas_*


rule everything:
    default_target: True
    input:
        "within/an atlas/results/quick/site/toy.html",
    output:
        "own.txt",
    shell:
        "echo one > {{output}}; echo two >> {{output}}"
"""


def test_under_a_prefix_everything_lands_there_with_the_same_bytes(made, engine_in, copy_repository, tmp_path):
    repository = copy_repository(tmp_path / "repository")
    mine = engine_in(tmp_path / "mine")
    mine.folder.mkdir()
    (mine.folder / "Snakefile").write_text(IMPORTING.format(snakefile=repository / "Snakefile"))
    before = sorted(path for path in repository.rglob("*") if "__pycache__" not in path.parts)
    mine.make()
    inside = engine_in(mine.folder / "within" / "an atlas")
    patterns = ("toy/data/*", "toy/runs/*", "toy/tables/*", "toy/claims.json", "toy/notebook.*", "site/toy*.html")
    assert len(inside.artefacts(*patterns)) == 11
    assert inside.artefacts(*patterns) == engine_in(made).artefacts(*patterns)
    assert (inside.folder / "figures" / "quick" / "toy" / "errors.png").exists()
    assert {path.name for path in mine.folder.iterdir()} == {"Snakefile", ".snakemake", ".cache", "within", "own.txt"}
    assert (mine.folder / "own.txt").read_text() == "one\ntwo\n", "the importing workflow's own lines are as they were"
    assert sorted(path for path in repository.rglob("*") if "__pycache__" not in path.parts) == before
