"""The hash of the code that a step runs, so that a job runs again when its code changes and only then.

Snakemake does not see edits in imported modules. A fingerprint covers the named modules and everything of dynatlas that
they import, transitively. It is taken over the parsed code without docstrings: a comment never retrains.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = "dynatlas"
NUMERICAL_LIBRARIES = ("numpy", "torch")


class CodeIndex:
    """Parsed sources of the package under `source` (the folder that holds `dynatlas`), read once, hashed on demand."""

    def __init__(self, source: Path):
        self.source = source
        self._modules = _import_graph(source)
        self._trees: dict[str, ast.Module] = {}
        self._digests: dict[str, str] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._modules

    def modules(self) -> list[str]:
        """Names of all modules of the package."""
        return sorted(self._modules)

    def tree(self, module: str) -> ast.Module:
        """The parsed source of a module, without docstrings."""
        if module not in self._trees:
            self._trees[module] = _without_docstrings(ast.parse(self._path(module).read_bytes()))
        return self._trees[module]

    def function(self, module: str, name: str) -> ast.FunctionDef | None:
        """The definition of a function at the top of a module, or None."""
        found = [node for node in self.tree(module).body if isinstance(node, ast.FunctionDef) and node.name == name]
        return found[0] if found else None

    def closure(self, *modules: str) -> set[str]:
        """The modules, everything of dynatlas that they import, transitively, and the packages around them."""
        todo, found = list(modules), set(modules)
        while todo:
            name = todo.pop()
            around = [name.rpartition(".")[0]] if name.rpartition(".")[0] in self._modules else []
            new = (self._modules[name] | set(around)) - found
            found |= new
            todo.extend(new)
        return found

    def fingerprint(self, *modules: str) -> str:
        """The hash of the closure of `modules`."""
        return digest(f"{name}:{self._digest(name)}" for name in sorted(self.closure(*modules)))

    def _digest(self, module: str) -> str:
        if module not in self._digests:
            self._digests[module] = hashlib.sha256(ast.dump(self.tree(module)).encode()).hexdigest()
        return self._digests[module]

    def _path(self, module: str) -> Path:
        base = self.source.joinpath(*module.split("."))
        return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of some texts, in order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    return {name: _version(name) for name in NUMERICAL_LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _import_graph(source: Path) -> dict[str, set[str]]:
    """For each module of the package, the modules of the package that it imports."""
    import sys

    import grimp

    sys.path.insert(0, str(source))
    try:
        graph = grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)
    finally:
        sys.path.remove(str(source))
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        # a text standing alone is a docstring, or one after an attribute: neither is ever computed with
        node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return tree


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
