"""The hash of the code that a step runs, so that a job runs again when its code changes and only then.

Snakemake does not see edits in imported modules. A fingerprint covers the named modules and everything of dynatlas that
they import, transitively. It is taken over the parsed code without docstrings and error texts: no wording retrains.
What carries numbers without deciding them (`GROUND`) is followed, but not counted.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = "dynatlas"
NUMERICAL_LIBRARIES = ("numpy", "torch")
GROUND = frozenset(
    {
        *("steps", "artefacts", "nodes", "fingerprint", "names"),
        *("config", "validation", "declarations", "numbers", "columns", "table_schema", "places"),
        *("calls", "settings", "signatures", "arguments", "number_table", "plan", "keeping", "joint"),
    }
)
"""Parts of the package that read declarations, hand on and keep what others compute. An edit of theirs makes nothing
again: what is computed hangs on what they import, and what they may change in a file is `FORMAT`."""
FORMAT = 1
"""How `GROUND` hands on and keeps values: types, names, orders. It enters every key and is raised by hand, when the
same functions with the same settings leave other content behind (`tests/ground/test_format.py` notices)."""


class CodeIndex:
    """Parsed sources of the package under `source` (the folder that holds `dynatlas`), each read once, on demand.

    It looks at files, never at what this process has imported: `source` may be another copy of the package.
    """

    def __init__(self, source: Path):
        self.source = source
        self._paths = {_module_name(path, source): path for path in (source / PACKAGE).rglob("*.py")}
        self._trees: dict[str, ast.Module] = {}
        self._imports: dict[str, set[str]] = {}
        self._digests: dict[str, str] = {}
        self._fingerprints: dict[tuple[str, ...], str] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._paths

    def modules(self) -> list[str]:
        """Names of all modules of the package."""
        return sorted(self._paths)

    def path(self, module: str) -> Path:
        """The file of a module."""
        return self._paths[module]

    def tree(self, module: str) -> ast.Module:
        """The parsed source of a module, without docstrings and error texts. Raises SyntaxError naming the file."""
        if module not in self._trees:
            path = self._paths[module]
            self._trees[module] = _without_words(ast.parse(path.read_bytes(), filename=str(path)))
        return self._trees[module]

    def function(self, module: str, name: str) -> ast.FunctionDef | None:
        """The definition of a function at the top of a module, or None."""
        found = [node for node in self.tree(module).body if isinstance(node, ast.FunctionDef) and node.name == name]
        return found[0] if found else None

    def imports(self, module: str) -> set[str]:
        """The modules of the package that a module imports anywhere in its code, but for type checking only."""
        if module not in self._imports:
            around = module if self._paths[module].name == "__init__.py" else module.rpartition(".")[0]
            named = (name for node in _running(self.tree(module)) for name in _imported(node, around))
            self._imports[module] = {self._existing(name) for name in named} - {""}
        return self._imports[module]

    def _existing(self, name: str) -> str:
        """The module that `name` is, or is an attribute of; empty for what is not of this package."""
        while name and name not in self._paths:
            name = name.rpartition(".")[0]
        return name

    def closure(self, *modules: str) -> set[str]:
        """The modules, everything of dynatlas that they import, transitively, and the packages around them."""
        todo, found = list(modules), set(modules)
        while todo:
            name = todo.pop()
            new = (self.imports(name) | ({name.rpartition(".")[0]} & self._paths.keys())) - found
            found |= new
            todo.extend(new)
        return found

    def fingerprint(self, *modules: str) -> str:
        """The hash of the closure of `modules`, but for what carries numbers without deciding them (`GROUND`)."""
        if modules not in self._fingerprints:
            closure = sorted(name for name in self.closure(*modules) if not _carries(name))
            self._fingerprints[modules] = digest(f"{name}:{self._digest(name)}" for name in closure)
        return self._fingerprints[modules]

    def _digest(self, module: str) -> str:
        if module not in self._digests:
            self._digests[module] = hashlib.sha256(ast.dump(self.tree(module)).encode()).hexdigest()
        return self._digests[module]


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of some texts, in order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    return {name: _version(name) for name in NUMERICAL_LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _module_name(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _blocks(node: ast.AST) -> Iterator[tuple[str, list[ast.AST]]]:
    """The lists of statements inside a statement, by the name of its field."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inside = getattr(node, name, None)
        if isinstance(inside, list):
            yield name, inside


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below `node` but those that only a type checker reads."""
    typing_only = isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
    for name, inside in _blocks(node):
        if not (typing_only and name == "body"):
            for statement in inside:
                yield statement
                yield from _running(statement)


def _imported(node: ast.AST, around: str) -> list[str]:
    """Full names that an import statement in a module of the package `around` may mean."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = around.split(".")[: len(around.split(".")) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _carries(module: str) -> bool:
    return module.removeprefix(f"{PACKAGE}.").partition(".")[0] in GROUND


def _without_words(node: Any) -> Any:
    """The statement without what only a person reads: docstrings, and what an exception or an assertion says."""
    for name, inside in list(_blocks(node)):
        # a text standing alone is a docstring, or one after an attribute: neither is ever computed with
        setattr(node, name, [_without_words(item) for item in inside if not _is_text(item)])
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        node.exc.args, node.exc.keywords = [], []
    elif isinstance(node, ast.Assert):
        node.msg = None
    return node


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def code_digest(index: CodeIndex, *modules: str) -> str:
    """Hash of modules with all they import, and of the libraries that decide numbers."""
    return digest([index.fingerprint(*modules), *(f"{lib}={v}" for lib, v in library_versions().items())])


def templates_digest(root: Path) -> str:
    """Hash of the site's templates, which pages and notebooks are filled into."""
    return digest(file_digest(path) for path in sorted((root / "src" / "dynatlas" / "site" / "templates").glob("*")))
