"""Every study's `settings.py` holds data and validators that refuse; its closed sets are those of the registries."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from dynatlas.datasets.manifolds import MANIFOLDS
from dynatlas.instruments.dimension_profile import ESTIMATORS
from dynatlas.instruments.input_statistics import INPUT_CHANGES
from dynatlas.instruments.perturb import FAMILIES
from dynatlas.models.activations import ACTIVATIONS
from dynatlas.problems.vectors import NAMES
from dynatlas.studies.adaptive_activation import settings as adaptive_activation
from dynatlas.studies.adaptive_activation.cells import MODES
from dynatlas.studies.adaptive_activation.problems import _PROBLEMS
from dynatlas.studies.dimensionality import settings as dimensionality
from dynatlas.studies.lyapunov import settings as lyapunov
from dynatlas.studies.lyapunov.networks import CELLS
from dynatlas.studies.rnn_geometry import settings as rnn_geometry
from dynatlas.studies.rnn_geometry.world import SETS
from dynatlas.studies.task_primitives import settings as task_primitives
from dynatlas.tasks.multitask import NINE_TASKS
from dynatlas.tasks.timing import TIMINGS

STUDIES = Path(__file__).parents[2] / "src" / "dynatlas" / "studies"
SETTINGS = sorted(STUDIES.glob("*/settings.py"))
IMPORTED = {"__future__", "typing", "pydantic", "dynatlas.settings"}
VALIDATORS = {"field_validator", "model_validator"}


@pytest.mark.parametrize("file", SETTINGS, ids=lambda file: file.parent.name)
def test_settings_are_data_and_validators_that_refuse(file):
    tree = ast.parse(file.read_text())
    assert list(problems(tree)) == []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    assert all(isinstance(one, ast.FunctionDef) and refuses(one) for one in functions)


def problems(tree):
    """What stands at the top of the file and is neither an import, a type, nor a class of numbers."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            if node.module not in IMPORTED:
                yield f"imports {node.module}"
        elif isinstance(node, ast.ClassDef):
            yield from (f"{node.name}: {ast.unparse(one)}" for one in node.body if not of_a_class(one))
        elif not (is_text(node) or is_type(node)):
            yield ast.unparse(node)


def is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_type(node):
    return isinstance(node, ast.Assign) and not any(
        isinstance(inside, ast.Call) and ast.unparse(inside.func) not in ("Field", "TypeVar")
        for inside in ast.walk(node.value)
    )


def of_a_class(node):
    if isinstance(node, ast.AnnAssign):
        return (
            node.value is None or isinstance(node.value, ast.Constant | ast.List | ast.Tuple) or called(node) == "Field"
        )
    return is_text(node) or isinstance(node, ast.FunctionDef)


def called(node):
    return ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""


def refuses(function):
    """A validator that gives back what it was given, or raises."""
    names = {
        ast.unparse(one.func) if isinstance(one, ast.Call) else ast.unparse(one) for one in function.decorator_list
    }
    given = {argument.arg for argument in function.args.args}
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    writes = any(isinstance(node, ast.AugAssign | ast.Delete | ast.Global) for node in ast.walk(function))
    kept = all(isinstance(one, ast.Name) and one.id in given for one in returns)
    return bool(names & VALIDATORS) and bool(returns) and kept and not writes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import torch", True),
        ("from torch import nn", True),
        ("x = compute()", True),
        ("Steps = Annotated[int, Field(gt=0)]", False),
        ("class A(Settings):\n    x: int = Field(gt=0)\n    y: int = 5\n", False),
        ("class A(Settings):\n    x: int = compute()\n", True),
        ("def compute(): return 1", True),
    ],
)
def test_the_rule_finds_what_it_forbids(text, found):
    assert bool(list(problems(ast.parse(text)))) == found


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("    if self.x > self.y:\n        raise ValueError\n    return self", True),
        ("    return 1", False),
        ("    self = 3", False),
    ],
)
def test_a_validator_that_changes_a_number_would_be_found(body, kept):
    function = ast.parse(f"@model_validator(mode='after')\ndef check(self):\n{body}").body[0]
    assert refuses(function) == kept


def test_closed_sets_are_those_of_the_registries():
    assert get_args(get_args(lyapunov.Cell)[0]) == tuple(CELLS)
    assert get_args(task_primitives.Task) == NINE_TASKS
    assert set(get_args(get_args(task_primitives.Timing)[0])) == set(TIMINGS)
    assert get_args(adaptive_activation.Mode) == MODES
    assert set(get_args(get_args(adaptive_activation.Task)[0])) == set(_PROBLEMS)
    kinds = [one.model_fields["kind"].annotation for one in get_args(get_args(adaptive_activation.Change)[0])]
    assert sorted(kind for one in kinds for kind in get_args(one)) == sorted(INPUT_CHANGES)
    assert set(get_args(get_args(dimensionality.Data)[0])) == set(NAMES)
    assert set(get_args(get_args(dimensionality.Activation)[0])) == set(ACTIVATIONS)
    assert set(get_args(dimensionality.Estimator)) <= set(ESTIMATORS)
    assert set(get_args(get_args(get_args(dimensionality.Manifolds)[0])[0])) <= set(MANIFOLDS)
    assert get_args(rnn_geometry.ImageNumbers.model_fields["source"].annotation) == tuple(SETS)
    families = get_args(task_primitives.NoiseFamily) + get_args(task_primitives.DamageFamily)
    assert sorted(families) == sorted(FAMILIES)
