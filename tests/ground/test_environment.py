"""One list of dependencies in three forms; profiles that agree; what src imports is declared."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "jupyter-client": "jupyter_client"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required(*extras):
    lists = [project()["dependencies"], *(project()["optional-dependencies"][extra] for extra in extras)]
    parsed = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(one.name): one.specifier for one in parsed}


def locked():
    """Name to the versions that the lock holds (several where they differ by platform)."""
    found = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def conda():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_the_conda_environment_holds_the_same_ranges():
    lines = [Requirement(line) for line in conda()["dependencies"]]
    ranges = {one.name: one.specifier for one in lines}
    assert ranges.pop("python") == SpecifierSet(project()["requires-python"])
    assert ranges == {CONDA_NAMES.get(name, name): specifier for name, specifier in required().items()}
    assert len(lines) == len(ranges) + 1


def test_the_conda_environment_has_only_known_keys_and_channels():
    assert set(conda()) == {"name", "channels", "dependencies"}
    assert conda()["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    assert all(isinstance(line, str) for line in conda()["dependencies"])


def test_the_lock_satisfies_every_range_and_leaves_torch_out():
    versions = locked()
    assert "torch" not in versions
    for name, specifier in required("dev").items():
        if name != "torch":
            assert name in versions, f"{name} is not in requirements.lock; run: make lock"
            assert all(version in specifier for version in versions[name]), (name, versions[name], specifier)


def test_the_lock_holds_a_hash_for_every_line():
    blocks = re.split(r"\n(?=[\w.-]+==)", (ROOT / "requirements.lock").read_text().strip())
    assert len(blocks) == sum(map(len, locked().values()))
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_the_makefile_installs_a_torch_that_pyproject_allows():
    version = re.search(r"^TORCH \?= torch==(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert Version(version) in required()["torch"]


def imported(folder):
    """Top-level packages that the Python files of a folder import, wherever in their code."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0], path


@pytest.mark.parametrize(("folder", "extras"), [("src", ()), ("benchmarks", ("dev",)), ("tests", ("dev",))])
def test_every_import_belongs_to_a_declared_dependency(folder, extras):
    allowed = set(required(*extras))
    providers = packages_distributions()
    for package, path in imported(folder):
        if package in sys.stdlib_module_names or package == "dynatlas" or (path.parent / f"{package}.py").exists():
            continue
        names = {canonicalize_name(name) for name in providers.get(package, [package])}
        assert names & allowed, f"{path.relative_to(ROOT)} imports {package}, which pyproject.toml does not declare"


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())


@pytest.mark.parametrize("name", ["gpu", "slurm"])
def test_a_workflow_profile_repeats_what_the_default_says(name):
    """A workflow profile replaces the default one, key by key and whole."""
    own = profile(name)
    for key, value in profile("default").items():
        assert key in own, f"profiles/{name} lacks {key}"
        assert own[key] == value or (name, key) == ("slurm", "cores")


def test_every_profile_is_described():
    assert {path.name for path in (ROOT / "profiles").iterdir()} == {"default", "gpu", "slurm"}
    assert profile("slurm")["executor"] == "slurm"
    assert "gpu=1" in profile("gpu")["resources"]
