"""The types of the arguments of a study's functions, and values held to them.

Annotations are read from the parsed source of the tree that is planned, and name types of the `settings.py` of that
very tree. Neither a study's functions nor what they import are run for it: no torch.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dynatlas.config import ConfigError
from dynatlas.fingerprint import CodeIndex, file_digest
from dynatlas.names import nearest
from dynatlas.settings import Settings

CONTAINERS: Mapping[str, Any] = {"list": list, "dict": dict, "tuple": tuple}


class Signatures:
    """The types of arguments, as the functions of one tree declare them; each is made once."""

    def __init__(self, index: CodeIndex):
        self.index = index
        self._types: dict[tuple[str, str], TypeAdapter[Any]] = {}
        self._of: dict[tuple[str, str], TypeAdapter[Any]] = {}

    def plain(self, call: str, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The settings as they stand in a node: checked, with all defaults, and nothing that is not JSON.

        Raises ConfigError, beginning with `where`, for every value that its argument's type does not allow.
        """
        checked = {name: _plain(self._held(call, name, value, where)) for name, value in settings.items()}
        again = {name: _plain(self._held(call, name, value, where)) for name, value in checked.items()}
        if again != checked or json.loads(json.dumps(checked)) != checked:
            raise ConfigError(f"{where}: settings do not come back from JSON as they were: {checked}")
        return checked

    def typed(self, call: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a node as its function takes them: mappings become what the annotations name.

        They stay as they are for a function outside of the tree.
        """
        if call.partition(":")[0] not in self.index:
            return dict(settings)
        return {name: self._held(call, name, value, call) for name, value in settings.items()}

    def type_of(self, call: str, argument: str) -> Any:
        """The type that an argument's annotation names. ConfigError where it names none of the study's settings."""
        return self._adapter(call, argument)._type

    def _held(self, call: str, argument: str, value: Any, where: str) -> Any:
        try:
            return self._adapter(call, argument).validate_python(value)
        except ValidationError as error:
            raise ConfigError(_explained(error, f"{where}.{argument}")) from None

    def _adapter(self, call: str, argument: str) -> TypeAdapter[Any]:
        """The type of an argument, looked up once; the same words in one study are one type."""
        if (call, argument) not in self._of:
            self._of[call, argument] = self._made(call, argument)
        return self._of[call, argument]

    def _made(self, call: str, argument: str) -> TypeAdapter[Any]:
        module, _, name = call.partition(":")
        annotation = self._annotation(module, name, argument)
        source = ast.unparse(annotation)
        package = _package(call)
        if (package, source) not in self._types:
            settings = self.settings_of(package)
            found = _named(annotation, vars(settings), f"{module}: {name}: {argument}: {source}")
            self._types[package, source] = TypeAdapter(found)
        return self._types[package, source]

    def _annotation(self, module: str, name: str, argument: str) -> ast.expr:
        function = self.index.function(module, name)
        assert function is not None
        for one in function.args.kwonlyargs + function.args.args:
            if one.arg == argument and one.annotation is not None:
                return one.annotation
        raise ConfigError(f"{module}: {name}: {argument}: no annotation; it names a type of the study's settings.py")

    def settings_of(self, package: str) -> ModuleType:
        """The module `settings` of a study's package, of the tree that is planned. ConfigError where there is none."""
        name = f"{package}.settings"
        if name not in self.index:
            raise ConfigError(f"{package}: no settings.py; it holds the types of what the study's functions take")
        path = self.index.path(name)
        return _loaded(name, path, file_digest(path))


@cache
def signatures_of(index: CodeIndex) -> Signatures:
    """The signatures of a tree; one for all plans of it."""
    return Signatures(index)


@cache
def _loaded(name: str, path: Path, digest: str) -> ModuleType:
    """A settings module by what stands in it, beside others of the same name that other trees may have."""
    unique = f"{name}@{digest[:12]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module  # pydantic looks a class's names up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[unique]
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from None
    return module


def _package(call: str) -> str:
    """The study's package of a call, `dynatlas.studies.<study>`."""
    return ".".join(call.partition(":")[0].split(".")[:3])


def _named(node: ast.expr, names: Mapping[str, Any], where: str) -> Any:
    """The type that an annotation names. ConfigError for one that is not made of the types of settings.py."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name) and node.id in CONTAINERS:
        return CONTAINERS[node.id]
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _named(node.left, names, where) | _named(node.right, names, where)
    if isinstance(node, ast.Subscript):
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        found = tuple(_named(one, names, where) for one in inside)
        return _named(node.value, names, where)[found if len(found) > 1 else found[0]]
    shown = ast.unparse(node)
    own = [name for name in names if not name.startswith("_")]
    raise ConfigError(f"{where}: {shown} is no type of the study's settings.py{nearest(shown, own)}")


def _plain(value: Any) -> Any:
    """A typed value as JSON has it; numbers stay what they were."""
    if isinstance(value, Settings | dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _explained(error: ValidationError, where: str) -> str:
    """What is wrong with a value, one line a place: the place, what stands there, what is allowed, the nearest word."""
    lines = []
    for item in error.errors(include_url=False):
        place = ".".join([where, *(str(part) for part in item["loc"] if part != "[key]")])
        given = item["input"]
        shown = "" if isinstance(given, dict | list) or item["type"] == "missing" else f": {given!r}"
        message = item["msg"].removeprefix("Value error, ").replace("Input should be", "allowed is")
        message = {"missing": "this number is missing"}.get(item["type"], message)
        expected = re.findall(r"'([^']*)'", str(item.get("ctx", {})))
        lines.append(f"{place}{shown}: {message[0].lower()}{message[1:]}{nearest(str(given), expected)}")
    return "\n".join(dict.fromkeys(lines))
