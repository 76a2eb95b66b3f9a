"""Tables computed without the engine (tests/support/compute.py, in CI) are those that the engine would make."""

import pytest
from builds import compute_tables

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_they_have_the_engines_bytes_and_the_engine_finds_nothing_to_do_among_them(made, bare, engine_in):
    compute_tables(bare.folder, scale="quick", source=bare.folder / "src")
    patterns = ("*/data/*", "*/runs/*", "*/tables/*")
    assert len(bare.artefacts(*patterns)) == 6
    assert bare.artefacts(*patterns) == engine_in(made).artefacts(*patterns)
    assert bare.planned() == {"figures_toy", "claims", "collect", "notebook", "page", "guide:tour", "index"}


def test_a_node_that_fails_is_named_and_what_is_made_is_kept(bare):
    source, smoke = bare.folder / "src", bare.folder / "results" / "smoke" / "toy"
    right, wrong = "def measure_error(job", "def measure_error(wrong, job"
    bare.replace("src/dynatlas/studies/toy/measure.py", right, wrong)
    with pytest.raises(RuntimeError, match=r"toy: measure error failed: .*measure-error\.log"):
        compute_tables(bare.folder, scale="smoke", source=source)
    assert not (smoke / "tables" / "error.parquet").exists()
    made = {path: path.stat().st_mtime_ns for path in smoke.glob("[dr]*/*")}
    assert len(made) == 4
    bare.replace("src/dynatlas/studies/toy/measure.py", wrong, right)
    compute_tables(bare.folder, scale="smoke", source=source)
    assert (smoke / "tables" / "error.parquet").exists()
    assert made == {path: path.stat().st_mtime_ns for path in made}
