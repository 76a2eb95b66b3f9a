"""The functions that declarations call, held against the code that is there before anything runs."""

from __future__ import annotations

from collections.abc import Set

from dynatlas.config import ConfigError
from dynatlas.fingerprint import PACKAGE, CodeIndex
from dynatlas.names import nearest

SECTIONS = {"data": "data", "runs": "train", "measures": "measure"}
"""Which step an entry of each section of a study's yaml becomes."""
MODULE_OF = {"data": "data", "train": "train", "measure": "measure", "figures": "figures"}
"""The study's module in which a step looks for its function."""


def resolved(index: CodeIndex, call: str, package: str, module: str, where: str) -> str:
    """A call of a study in full, as `package.module:function`.

    `call` is a function of the study's `module`, `other:function` of another module of its `package`, or is in full.
    Raises ConfigError, beginning with `where`, for a module or function that is not there.
    """
    named, _, function = call.rpartition(":")
    module = named if named.partition(".")[0] == PACKAGE else f"{package}.{named or module}"
    if module not in index:
        near = [name.removeprefix(f"{package}.") for name in index.modules()]
        raise ConfigError(f"{where}.call: {call!r}: there is no module {module}{nearest(named, near)}")
    if index.function(module, function) is None:
        known = [node.name for node in index.tree(module).body if hasattr(node, "name")]
        raise ConfigError(f"{where}.call: {call!r}: {module} has no such function{nearest(function, known)}")
    return f"{module}:{function}"


def check_call(index: CodeIndex, call: str, given: Set[str], where: str, *, job: bool) -> None:
    """Hold what a node passes against the signature of its function; `job`: its first argument is the job.

    Raises ConfigError, beginning with `where`, for an argument that it does not take or that it misses.
    """
    module, _, name = call.partition(":")
    found = index.function(module, name)
    assert found is not None
    arguments = found.args
    taken = [argument.arg for argument in arguments.kwonlyargs + arguments.args[1 if job else 0 :]]
    unknown = sorted(given - set(taken)) if arguments.kwarg is None else []
    if unknown:
        raise ConfigError(
            f"{where}: {name} takes no argument {unknown[0]!r}{nearest(unknown[0], taken)} "
            f"(it takes: {', '.join(taken)})"
        )
    defaults = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    missing = [argument.arg for argument, default in defaults if default is None and argument.arg not in given]
    if missing:
        raise ConfigError(f"{where}: {name} needs the argument {missing[0]!r}: put it into `with:` or `needs:`")
