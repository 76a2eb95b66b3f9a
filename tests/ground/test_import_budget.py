"""What a module may import, measured in a fresh Python: the engine reads the plan at every start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = ("torch", "numpy", "pandas", "seaborn", "scipy", "matplotlib", "pyarrow", "sklearn")
LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*modules):
    """Top-level packages that a fresh Python has loaded after importing `modules`."""
    done = subprocess.run([sys.executable, "-c", LOADED, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def under(package, *, leave_out=()):
    """Names of all modules of a package of dynatlas."""
    paths = sorted((SOURCE / "dynatlas" / package).rglob("*.py"))
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in paths if path.stem != "__init__"]
    return [name for name in names if name.rpartition(".")[2] not in leave_out]


def test_the_engines_side_imports_nothing_that_computes():
    ground = ("plan", "config", "atlas", "engine", "nodes", "fingerprint", "seeds", "jobs", "artefacts", "cli")
    assert not loaded(*(f"dynatlas.{name}" for name in ground)) & set(HEAVY)


def test_holding_the_claims_against_the_plan_imports_nothing_that_computes():
    assert not loaded("dynatlas.claims.checks", "dynatlas.claims.declaration") & set(HEAVY)


@pytest.mark.parametrize(("package", "forbidden"), [("figures", {"torch"}), ("claims", {"torch", "seaborn", "scipy"})])
def test_a_wing_keeps_to_its_budget(package, forbidden):
    assert under(package)
    assert not loaded(*under(package)) & forbidden


def test_no_study_draws_with_torch():
    drawing = [name for name in under("studies") if name.endswith(".figures")]
    assert not loaded(*drawing) & {"torch"}
