"""Rules of the house that a machine can read: sizes, no hidden state, no registry in a study, no copied blocks."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dynatlas"
FILES = sorted(PACKAGE.rglob("*.py"))
STUDIES = PACKAGE / "studies"
LONGEST_FILE, LONGEST_FUNCTION, SHORTEST_COPY = 400, 60, 6
NUMPY_RANDOM = {"RandomState", "Generator", "PCG64", "SeedSequence", "default_rng", "BitGenerator"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "__import__", "manual_seed", "set_default_dtype", "torch.manual_seed", "torch.seed"),
    *("torch.set_default_dtype", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all", "torch.load", "torch.save"),
    *("np.load", "np.save", "numpy.load", "numpy.save"),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "random", "marshal"}


def shown(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def trees():
    return {path: ast.parse(path.read_text()) for path in FILES}


def dotted(node):
    """`a.b.c` for an attribute chain; `?.c` for an attribute of something computed."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def test_files_and_functions_are_short(trees):
    long = [
        f"{shown(path)}: {count} lines"
        for path in FILES
        if (count := len(path.read_text().splitlines())) > LONGEST_FILE
    ]
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{shown(path)}: {node.name}: {lines} lines")
    assert not long


def test_no_global_random_state_and_nothing_that_runs_a_file(trees):
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found += [f"{shown(path)}:{node.lineno}: {name}" for name in [dotted(node.func)] if _forbidden(name)]
            elif isinstance(node, ast.Import):
                found += [f"{shown(path)}: {one.name}" for one in node.names if one.name in FORBIDDEN_MODULES]
            elif isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_MODULES:
                found.append(f"{shown(path)}: {node.module}")
    assert not found


def _forbidden(name):
    if name.startswith(("np.random.", "numpy.random.")):
        return name.split(".")[2] not in NUMPY_RANDOM
    return name in FORBIDDEN_CALLS


def test_the_rule_on_calls_knows_what_it_forbids():
    forbidden = ("torch.manual_seed", "np.random.seed", "numpy.random.normal", "torch.set_default_dtype", "torch.load")
    assert all(map(_forbidden, (*forbidden, "eval", "exec", "torch.cuda.manual_seed")))
    allowed = (
        "np.random.Generator",
        "generator.manual_seed",
        "torch.Generator.manual_seed",
        "re.compile",
        "model.eval",
    )
    assert not any(map(_forbidden, allowed))


def carried(tree):
    """Lines that take a value out of a caught exception: fingerprints leave out what exceptions are raised with."""
    caught = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name]
    for handler in caught:
        for node in ast.walk(handler):
            if isinstance(node, ast.Attribute) and dotted(node) in (f"{handler.name}.args", f"{handler.name}.value"):
                yield node.lineno


def test_no_value_travels_in_an_exception(trees):
    assert not [f"{shown(path)}:{line}" for path, tree in trees.items() for line in carried(tree)]
    assert list(carried(ast.parse("try:\n    f()\nexcept ValueError as error:\n    x = error.args[0]\n"))) == [4]


def test_a_packages_init_holds_a_docstring_and_nothing_else(trees):
    for path, tree in trees.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(tree), shown(path)
            assert len(tree.body) == 1, shown(path)
    for folder in {path.parent for path in FILES}:
        assert (folder / "__init__.py").exists(), shown(folder)


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_study_imports_a_registry_or_another_study(trees):
    for path, tree in trees.items():
        if STUDIES not in path.parents:
            continue
        own = path.relative_to(STUDIES).parts[0]
        for name in imports(tree):
            assert "registry" not in name.split("."), f"{shown(path)} imports {name}"
            if name.startswith("dynatlas.studies."):
                assert name.split(".")[2] == own, f"{shown(path)} imports {name}"


def test_only_the_top_floor_knows_studies_by_name(trees):
    for path, tree in trees.items():
        if STUDIES not in path.parents:
            assert not [name for name in imports(tree) if name.startswith("dynatlas.studies")], shown(path)


def lines_that_do(path):
    """(number, line) of a module, without blank lines, comments, imports and the signatures of functions.

    Two functions that are called alike name the same arguments, and whoever uses the same things imports them.
    """
    text = path.read_text()
    lines = [line.strip() for line in text.splitlines()]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        elif isinstance(node, ast.FunctionDef):
            first = node.body[0].lineno
            lines[node.lineno - 1 : first - 1] = [""] * (first - node.lineno)
    return [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]


def repeated_blocks(folder, size):
    """Blocks of `size` equal lines that stand in two places under `folder`."""
    seen = defaultdict(set)
    for path in folder.rglob("*.py"):
        lines = lines_that_do(path)
        for at in range(len(lines) - size + 1):
            block = tuple(line for _, line in lines[at : at + size])
            seen[block].add((str(path.relative_to(folder)), lines[at][0]))
    return sorted(sorted(places) for places in seen.values() if len(places) > 1)


def test_no_block_is_copied():
    assert repeated_blocks(PACKAGE, SHORTEST_COPY) == []


def test_a_copied_block_would_be_found(tmp_path):
    block = "\n".join(f"x{number} = {number}" for number in range(SHORTEST_COPY))
    (tmp_path / "a.py").write_text(f"import a\n{block}\n")
    (tmp_path / "b.py").write_text(f"y = 1\n\n{block}\n")
    assert repeated_blocks(tmp_path, SHORTEST_COPY) == [[("a.py", 2), ("b.py", 3)]]
    (tmp_path / "b.py").write_text(block.replace("x4", "z4"))
    assert repeated_blocks(tmp_path, SHORTEST_COPY) == []


def test_imports_and_signatures_are_no_copies(tmp_path):
    names = "\n".join(f"    name{number}," for number in range(SHORTEST_COPY))
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"from c import (\n{names}\n)\n\ndef {name}(\n{names}\n):\n    pass\n")
    assert repeated_blocks(tmp_path, SHORTEST_COPY) == []
    assert repeated_blocks(tmp_path, 1) == [[("a.py", 18), ("b.py", 18)]]


def test_rule_files_hold_functions_in_one_place_only():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        defines = [line for line in path.read_text().splitlines() if line.lstrip().startswith("def ")]
        assert bool(defines) == (path.name == "common.smk"), shown(path)
        directives = {line.strip() for line in path.read_text().splitlines()}
        assert not directives & {"run:", "script:", "notebook:"}, shown(path)
        assert not any(line.startswith("configfile:") for line in directives), shown(path)
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 70


WINGS = ("ensemble", "instruments", "models", "optim", "tasks", "datasets", "problems")


def half_abstract(trees):
    """Classes that others inherit from and that could still be made: neither abstract nor final."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    inherited = {base for node in classes.values() for base in map(dotted, node.bases)} & set(classes)
    return sorted(
        name
        for name in inherited
        if not {"ABC", "Protocol", "TypedDict"} & set(map(dotted, classes[name].bases)) and not name.endswith("Error")
    )


def test_a_class_of_the_wings_is_abstract_or_final(trees):
    assert half_abstract([tree for path, tree in trees.items() if path.relative_to(PACKAGE).parts[0] in WINGS]) == []


def test_a_class_that_is_half_of_each_would_be_found():
    text = (
        "class A:\n  pass\nclass B(A):\n  pass\nclass C(ABC):\n  pass\nclass D(C):\n  pass\nclass E(nn.Module):\n  pass"
    )
    assert half_abstract([ast.parse(text)]) == ["A"]
