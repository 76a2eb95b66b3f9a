"""What `src` must not call: what torch rounds by where an element stands, or by how many members stand beside it.

`tests/contracts/test_elementwise.py` measures that these differ and that what stands in their place does not.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "dynatlas"
FILES = sorted(PACKAGE.rglob("*.py"))
WAY_OUT = "take what stands in dynatlas.elementwise or dynatlas.reductions"

NAMES = {
    *("sigmoid", "expit", "softplus", "pow", "float_power", "exp2", "cosh", "sinh", "atanh", "arctanh", "atan2"),
    *("arctan2", "hypot", "logaddexp", "logaddexp2", "angle", "polar", "complex", "gelu", "silu", "mish", "elu"),
    *("selu", "celu", "glu", "rnn_tanh", "rnn_relu", "lstm", "gru", "tensordot", "mv", "lstsq", "matrix_exp"),
}
"""Refused as attributes of anything but numpy and math, with or without the underscore of what works in place."""
FUNCTIONAL = {"cross_entropy", "interpolate", "normalize", "one_hot", "pad"}
"""What is allowed of torch.nn.functional."""
MODULES = {
    *("Sigmoid", "LogSigmoid", "Softplus", "GELU", "SiLU", "Mish", "ELU", "SELU", "CELU", "GLU", "Softmin", "RNN"),
    *("GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell", "BCEWithLogitsLoss", "MultiheadAttention", "Transformer"),
}
"""Refused of torch.nn."""
ALONG = {"sum", "mean", "nansum", "nanmean", "logsumexp", "softmax", "log_softmax"}
"""Refused along the first axis, behind which the members may stand."""
POWERS = {2, 3, 0.5}
"""Exponents that torch takes by products and square roots."""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def refused_name(name: str) -> bool:
    """Of an attribute chain such as `torch.nn.functional.elu`, or `?.sigmoid` of something computed."""
    *path, last = name.split(".")
    if not path or path[0] in ("np", "numpy", "math", "dynatlas"):
        return False
    if path[-1] in ("F", "functional"):
        return last not in FUNCTIONAL
    if path[-1] == "nn" and last in MODULES:
        return True
    return path[:2] == ["torch", "optim"] or last.rstrip("_") in NAMES


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def refused_power(node: ast.BinOp) -> bool:
    """`x ** y` unless y is one of POWERS, or both are constants."""
    if isinstance(node.right, ast.Constant) and node.right.value in POWERS:
        return False
    return not (_number(node.left) and _number(node.right))


def refused_reduction(call: ast.Call) -> bool:
    """`x.sum(0)`, `torch.mean(x, dim=0)` and the like."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in ALONG or dotted(call.func).startswith("np."):
        return False
    place = 1 if dotted(call.func.value) == "torch" else 0
    given = [*call.args[place : place + 1], *(word.value for word in call.keywords if word.arg == "dim")]
    return any(isinstance(one, ast.Constant) and one.value == 0 for one in given)


def is_question(node: ast.AST) -> bool:
    """`isinstance(...)`, which computes nothing."""
    return isinstance(node, ast.Call) and dotted(node.func) == "isinstance"


def refusals(text: str) -> list[str]:
    """Every refused thing in a module's source, as `line: what`; nothing where torch is not imported."""
    tree = ast.parse(text)
    modules = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {(getattr(node, "module", None) or node.names[0].name).split(".")[0] for node in modules}
    if "torch" not in roots:
        return []
    asked = {id(part) for node in ast.walk(tree) if is_question(node) for part in ast.walk(node)}
    return [f"{node.lineno}: {ast.unparse(node)}" for node in ast.walk(tree) if id(node) not in asked and refused(node)]


def refused(node: ast.AST) -> bool:
    """Whether a node of a syntax tree is one of the above."""
    if isinstance(node, ast.Attribute):
        return refused_name(dotted(node))
    if isinstance(node, ast.ImportFrom):
        of_torch = (node.module or "").split(".")[0] == "torch"
        return of_torch and any(refused_name(f"{node.module}.{one.name}") for one in node.names)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Pow) and refused_power(node)
    return isinstance(node, ast.Call) and refused_reduction(node)


def test_nothing_is_called_whose_bits_depend_on_the_neighbours():
    found = [f"{path.relative_to(PACKAGE)}:{one}" for path in FILES for one in refusals(path.read_text())]
    assert not found, WAY_OUT


@pytest.mark.parametrize(
    "line",
    [
        *("torch.sigmoid(x)", "x.sigmoid()", "x.sigmoid_()", "(x + 1).cosh()", "f = torch.sigmoid", "torch.pow(x, 2)"),
        *("F.softplus(x)", "torch.nn.functional.elu(x)", "nn.functional.scaled_dot_product_attention(q, k, v)"),
        *("nn.GELU()", "torch.nn.LSTM(3, 4)", "torch.optim.Adam(p)", "torch.special.expit(x)", "x.atan2(y)"),
        *("x ** 1.5", "x ** y", "2 ** x", "x ** 4", "x ** -1", "torch.tensordot(x, y, dims=1)", "torch.complex(x, y)"),
        *("x.mean(0)", "x.sum(dim=0)", "torch.mean(x, 0)", "torch.softmax(x, dim=0)", "x.logsumexp(0)"),
        *("from torch.nn.functional import softplus", "from torch import sigmoid", "from torch.nn import GELU"),
    ],
)
def test_the_rule_knows_what_it_forbids(line):
    assert refusals(f"import torch\n{line}\n") != []
    assert refusals(f"import numpy as np\n{line}\n") == [] or "torch" in line


@pytest.mark.parametrize(
    "line",
    [
        *("x ** 2", "x ** 3", "x ** 0.5", "2 ** 18", "LIMIT ** 0.4", "math.pow(x, y)", "np.cosh(x)", "sigmoid(x)"),
        *("torch.exp(x)", "x.tanh()", "torch.nn.functional.one_hot(x)", "nn.Linear(3, 4)", "nn.Tanh()", "nn.ReLU()"),
        *("x.mean(-1)", "x.sum(dim=(1, 2))", "torch.mean(x, 1)", "x.sum()", "np.mean(x, 0)", "x.amax(0)"),
        *("from torch.nn.functional import cross_entropy", "from torch.func import vmap", "from torch import nn"),
        "isinstance(x, nn.LSTM)",
    ],
)
def test_the_rule_allows_what_is_safe(line):
    assert refusals(f"import torch\n{line}\n") == []
