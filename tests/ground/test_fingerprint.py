"""Fingerprints: other code, other hash; the same code in other words, the same hash."""

import textwrap
import tomllib
from pathlib import Path

import grimp
import pytest

from dynatlas.fingerprint import GROUND, CodeIndex

SOURCES = {
    "__init__": '"""A package."""',
    "a": """
        from typing import TYPE_CHECKING

        from dynatlas.wing import b
        import dynatlas.c

        if TYPE_CHECKING:
            from dynatlas.typed import T
        else:
            from dynatlas.untyped import T

        def f(x):
            \"\"\"What it gives.\"\"\"
            from dynatlas.late import g
            return g(x) + b.h(x)  # why
        """,
    "wing/__init__": '"""A wing."""',
    "wing/b": "from .sibling import h\nfrom ..up import k",
    "wing/sibling": "def h(x):\n    return x",
    "wing/other": "def o(x):\n    return x",
    "up": "k = 1",
    "c": "try:\n    import numpy\nfinally:\n    from dynatlas.d import *",
    "d": "with open('/dev/null') as s:\n    match 1:\n        case _:\n            import dynatlas.e",
    "e": "e = 1",
    "late": "def g(x):\n    return 2 * x",
    "typed": "T = int",
    "untyped": "T = object",
    "alone": "n = 1",
}
USED = {"a", "wing", "wing.b", "wing.sibling", "up", "c", "d", "e", "late", "untyped"}


@pytest.fixture
def package(tmp_path):
    """Writes modules of a made-up dynatlas; gives its index."""

    def write(**changed):
        for name, text in (SOURCES | changed).items():
            path = tmp_path / "dynatlas" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text) + "\n")
        return CodeIndex(tmp_path)

    return write


def test_the_closure_is_what_really_runs(package):
    assert package().closure("dynatlas.a") == {"dynatlas", *(f"dynatlas.{name}" for name in USED)}


@pytest.mark.parametrize("module", [name for name in SOURCES if name != "__init__"])
def test_a_change_counts_exactly_where_it_is_imported(package, module):
    before = package().fingerprint("dynatlas.a")
    after = package(**{module: SOURCES[module] + "\nnew = 1" if module != "a" else "f = 1"}).fingerprint("dynatlas.a")
    dotted = module.removesuffix("/__init__").replace("/", ".")
    assert (before != after) == (dotted in USED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# why", "# for another reason"),
        ("What it gives.", "What it gives, in other words."),
        ("return g(x) + b.h(x)", "return (\n                g(x)\n                + b.h(x)\n            )"),
        ("import dynatlas.c\n", "import dynatlas.c\n\n\n"),
    ],
)
def test_words_and_layout_do_not_count(package, old, new):
    assert SOURCES["a"].count(old) == 1
    changed = SOURCES["a"].replace(old, new)
    assert package().fingerprint("dynatlas.a") == package(a=changed).fingerprint("dynatlas.a")


@pytest.mark.parametrize(("old", "new"), [("2 * x", "3 * x"), ("2 * x", "2.0 * x"), ("def g(x)", "def g(x, y=0)")])
def test_code_counts_wherever_it_stands(package, old, new):
    changed = SOURCES["late"].replace(old, new)
    assert package().fingerprint("dynatlas.a") != package(late=changed).fingerprint("dynatlas.a")


def test_a_new_module_counts_only_once_it_is_used(package):
    before = package().fingerprint("dynatlas.a")
    assert package(**{"wing/new": "x = 1"}).fingerprint("dynatlas.a") == before
    assert package(**{"wing/b": "from dynatlas.wing.new import x"}).fingerprint("dynatlas.a") != before


def test_a_text_that_is_a_value_counts(package):
    before = package(up="k = 'one'").fingerprint("dynatlas.a")
    assert package(up="k = 'two'").fingerprint("dynatlas.a") != before


@pytest.mark.parametrize("place", sorted(GROUND))
def test_what_only_carries_numbers_is_followed_and_not_counted(package, place):
    ground = {place: "from dynatlas.alone import n", "up": f"from dynatlas import {place}"}
    index = package(**ground)
    assert {f"dynatlas.{place}", "dynatlas.alone"} <= index.closure("dynatlas.a")
    before = index.fingerprint("dynatlas.a")
    assert package(**ground | {place: "from dynatlas.alone import n\nm = n"}).fingerprint("dynatlas.a") == before
    assert package(alone="n = 2", **ground).fingerprint("dynatlas.a") != before


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("raise ValueError(f'{x} is one')", "raise ValueError(f'one: {x}', x)", False),
        ("raise ValueError(f'{x} is one')", "raise TypeError(f'{x} is one')", True),
        ("raise ValueError(f'{x} is one')", "raise ValueError(f'{x} is one') from None", True),
        ("assert x != 2, x", "assert x != 2, 'two'", False),
        ("assert x != 2, x", "assert x != 3, x", True),
        ("if x == 1:", "if x == 4:", True),
        ("'said'", "'written'", True),
    ],
)
def test_what_an_error_says_does_not_count_when_it_is_raised_does(package, old, new, counts):
    source = (
        "def g(x):\n    if x == 1:\n        raise ValueError(f'{x} is one')\n    assert x != 2, x\n    return 'said'"
    )
    assert source.count(old) == 1
    before = package(late=source).fingerprint("dynatlas.a")
    assert (package(late=source.replace(old, new)).fingerprint("dynatlas.a") != before) == counts


def test_what_is_not_counted_is_there_and_forbidden_to_whatever_computes():
    """But for words (`names` answers those who mistype) and for what studies say their numbers' types with."""
    root = Path(__file__).parents[2]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = [set(contract["forbidden_modules"]) for contract in contracts if contract["type"] == "forbidden"]
    assert forbidden == {f"dynatlas.{place}" for place in GROUND} - {"dynatlas.names", "dynatlas.settings"}
    assert all(f"dynatlas.{place}" in CodeIndex(root / "src") for place in GROUND)


def test_functions_are_found_by_name(package):
    index = package()
    assert index.function("dynatlas.late", "g").name == "g"
    assert index.function("dynatlas.late", "h") is None
    assert "dynatlas.late" in index
    assert "dynatlas.lat" not in index


def test_imports_agree_with_grimp_on_this_package():
    index = CodeIndex(Path(__file__).parents[2] / "src")
    graph = grimp.build_graph("dynatlas", cache_dir=None, exclude_type_checking_imports=True)
    assert set(index.modules()) == graph.modules
    for module in index.modules():
        # grimp adds no package for `from package import module`; importing the module runs the package anyway
        difference = index.imports(module) ^ graph.find_modules_directly_imported_by(module)
        assert all(index.source.joinpath(*name.split(".")).is_dir() for name in difference), (module, difference)
