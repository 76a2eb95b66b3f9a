"""What an edit of this package makes again, of all studies at quick: planned, never run."""

import ast
import shutil
from pathlib import Path

import grimp
import pytest

from dynatlas.atlas import Atlas
from dynatlas.fingerprint import GROUND, CodeIndex

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
DECIDE = ("dynatlas.jobs", "dynatlas.reductions", "dynatlas.instruments.dimension")
"""Two that stand beside `GROUND` and decide numbers, and an instrument."""


def planned(source):
    """Every node of the atlas, by its path, with the code under `source`."""
    atlas = Atlas(ROOT, {}, path_scale="quick")
    atlas.index = CodeIndex(source)
    nodes = [node for study in atlas.selected for node in atlas.plan(study).nodes.values()]
    return {node.outputs[0]: node for node in [*nodes, *atlas.guides().values(), *atlas.joint().values()]}


@pytest.fixture(scope="module")
def before():
    return planned(SOURCE)


@pytest.fixture
def rekeyed(before, tmp_path):
    """`rekeyed({module: change})`: paths of nodes whose keys are others when each source is put through `change`."""

    def plan(changes):
        shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for module, change in changes.items():
            path = tmp_path / "src" / f"{module.replace('.', '/')}.py"
            path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        after = planned(tmp_path / "src")
        assert after.keys() == before.keys()
        return {path for path, node in after.items() if node.key != before[path].key}

    return plan


class OtherWords(ast.NodeTransformer):
    """Another text in everything that is raised and asserted."""

    def __init__(self):
        self.texts, self.inside = 0, False

    def _said(self, node, field):
        self.inside, around = True, self.inside
        said = getattr(node, field)
        setattr(node, field, said and self.visit(said))
        self.inside = around
        return node

    def visit_Raise(self, node):
        return self._said(node, "exc")

    def visit_Assert(self, node):
        return self._said(node, "msg")

    def visit_Constant(self, node):
        if self.inside and isinstance(node.value, str):
            self.texts += 1
            node.value += " in other words"
        return node


def test_an_error_text_anywhere_makes_nothing_again(rekeyed):
    other = OtherWords()
    modules = [name for name in CodeIndex(SOURCE).modules() if (SOURCE / f"{name.replace('.', '/')}.py").exists()]
    assert rekeyed({name: lambda text: ast.unparse(other.visit(ast.parse(text))) for name in modules}) == set()
    assert other.texts > 500


def test_code_that_only_carries_numbers_makes_nothing_again(rekeyed):
    carrying = [name for name in CodeIndex(SOURCE).modules() if name.split(".")[1:2] and name.split(".")[1] in GROUND]
    files = [name for name in carrying if name != "dynatlas.steps"]
    assert {name.split(".")[1] for name in files} == GROUND
    assert rekeyed({name: lambda text: f"{text}\nnew = 1\n" for name in files}) == set()


@pytest.mark.parametrize("module", DECIDE)
def test_code_that_decides_numbers_makes_again_what_imports_it_and_what_needs_that(before, rekeyed, module):
    graph = grimp.build_graph("dynatlas", cache_dir=None, exclude_type_checking_imports=True)
    users = {module, *graph.find_downstream_modules(module)}
    found = rekeyed({module: lambda text: f"{text}\nnew = 1\n"})
    guides = {path for path, node in before.items() if node.step == "guide"}  # these have imports of their own
    assert found - guides == following(before, lambda node: runs(node, users))
    assert found & guides


def runs(node, modules):
    """Whether a step's own code, or a function that it calls, is one of `modules`."""
    called = [figure["call"] for figure in node.settings.get("figures", {}).values() if "call" in figure]
    runner = {"data": "compute", "train": "compute", "measure": "compute"}
    runner |= {"ledger": "claims", "page": "site", "index": "site"}
    step = f"dynatlas.steps.{runner.get(node.step, node.step)}"
    read = {"dynatlas.site.reader"} if node.step == "notebook" else set()
    return not modules.isdisjoint({step, *read, *(call.partition(":")[0] for call in [node.call, *called])})


def following(nodes, first):
    """Paths of the nodes that `first` holds of, and of all that need them."""
    found = set()
    for path, node in nodes.items():  # what is needed stands before what needs it
        needed = {part.outputs[0] for parts in node.needs.values() for part in parts}
        if first(node) or not found.isdisjoint(needed):
            found.add(path)
    return found


def test_another_decision_makes_every_verdict_again_and_no_number(before, rekeyed):
    found = rekeyed({"dynatlas.claims.decide": lambda text: text.replace("\ndef decide(", "\n@other\ndef decide(", 1)})
    assert {before[path].step for path in found} == {"claims", "ledger", "notebook", "page", "index"}
    verdicts = {path for path, node in before.items() if node.step in ("claims", "ledger")}
    assert len(verdicts) == 6
    assert verdicts <= found
