"""One list of dependencies in three forms; profiles that agree; what src imports is declared."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
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


def entries():
    """The lines of the lock as requirements, markers included."""
    lines = re.findall(r"^([\w.-]+==[^\\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return [Requirement(line.strip()) for line in lines]


def environments():
    """Every system and Python that the lock is for, as markers see them."""
    systems = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}
    for python in ("3.11", "3.12", "3.13"):
        for platform, (system, name) in systems.items():
            changed = {"sys_platform": platform, "platform_system": system, "os_name": name}
            yield {**default_environment(), **changed, "python_version": python, "python_full_version": f"{python}.0"}


def wanted_by(name, extras, environment):
    """What an installed distribution asks for in this environment with these extras; nothing where it is not here."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # for another system
        return []
    asked = [Requirement(line) for line in lines]
    return [one for one in asked if _holds(one.marker, extras or {""}, environment)]


def _holds(marker, extras, environment):
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in {"", *extras})


def missing_of(held, roots, environment):
    """What is asked for, directly or by what is asked for, and is not in `held` (name to version)."""
    missing, seen, queue = [], set(), list(roots)
    while queue:
        asked = queue.pop()
        name = canonicalize_name(asked.name)
        if name not in held:
            missing.append(str(asked))
        elif not asked.specifier.contains(held[name], prereleases=True):
            missing.append(f"{asked} (locked: {held[name]})")
        elif (name, *sorted(asked.extras)) not in seen:
            seen.add((name, *sorted(asked.extras)))
            queue += wanted_by(name, asked.extras, environment)
    return missing


@pytest.mark.parametrize(
    "environment", environments(), ids=lambda one: f"{one['sys_platform']}-{one['python_version']}"
)
def test_the_lock_is_closed_under_what_everything_in_it_requires(environment):
    """`make env` installs it with --no-deps: whatever is not in it would be missing."""
    lines = [line for line in entries() if _holds(line.marker, (), environment)]
    held = {canonicalize_name(line.name): next(iter(line.specifier)).version for line in lines}
    asked = [Requirement(line) for line in project()["dependencies"] + project()["optional-dependencies"]["dev"]]
    roots = [one for one in asked if one.name != "torch"] + wanted_by("torch", (), environment)
    roots = [one for one in roots if not one.name.startswith(("nvidia-", "cuda-", "triton"))]  # a CUDA build's own
    assert missing_of(held, roots, environment) == []
    for name in ("coverage", "certifi"):  # one of an extra, one at the bottom
        assert missing_of({key: held[key] for key in held if key != name}, roots, environment), name


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


def _is_ours(package, path):
    """Whether it is a module beside the file that imports it, or of the tests' own."""
    return any((folder / f"{package}.py").exists() for folder in (path.parent, ROOT / "tests" / "support"))


@pytest.mark.parametrize(("folder", "extras"), [("src", ()), ("benchmarks", ("dev",)), ("tests", ("dev",))])
def test_every_import_belongs_to_a_declared_dependency(folder, extras):
    allowed = set(required(*extras))
    providers = packages_distributions()
    for package, path in imported(folder):
        if package in sys.stdlib_module_names or package == "dynatlas" or _is_ours(package, path):
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
