"""What a made-up study's nodes are handed, and what they leave behind: run, table, figures, verdicts and ledger.

    python tests/support/sample_nodes.py     # writes it anew into tests/ground/format.json, with the present FORMAT

Everything goes through `run_node`. It shows what the parts of the package do that fingerprints do not count
(`dynatlas.fingerprint.GROUND`); `tests/ground/test_format.py` compares.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from dynatlas import artefacts
from dynatlas.fingerprint import FORMAT
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members
from dynatlas.nodes import Node
from dynatlas.steps import claims, compute, figures
from dynatlas.table_schema import TableSchema

KEPT = Path(__file__).parents[1] / "ground" / "format.json"
HERE = "sample_nodes"
TRAINED = ("alone", "part@x=1", "part@x=2")
CLAIMS = """
claims:
  - {id: C1, says: made up, source: {where: nowhere}, rests_on: experiment, table: sizes, metric: size, test: greater,
     margin: 1e-3, decided_by: quick, controls: [{where: {name: b}}]}
"""
ROWS = [
    {"study": "made-up", "id": "C1", "part_of": None, "verdict": "reproduced", "effect": 0.1, "p": None, "n": 2},
    {"study": "made-up", "id": "C2", "part_of": "C1", "verdict": "not run", "effect": None, "p": None, "n": 3},
]
MEMBERS = Members(seed=[100, 101], cell=[{"kind": "b", "rate": 0.1}, {"kind": "a", "rate": float("inf")}])
handed: dict[str, Any] = {}
"""What the functions below were called with, by their names."""


def make_arrays(job: Job, **settings: Any) -> dict[str, Any]:
    """Arrays of all kinds, in no order."""
    handed["make_arrays"] = {"seeds": repr(job.seeds), "base_seed": job.base_seed, "settings": repr(settings)}
    return {
        "float": torch.tensor([[0.1, float("nan")], [-0.0, float("inf")]]),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "half": np.array([0.1], dtype=np.float16),
        "complex": torch.tensor([1 + 2j], dtype=torch.complex64),
        "mask": torch.tensor([True, False]),
        "count": 3,
        "bytes": np.array([255], dtype=np.uint8),
        "none": torch.zeros(0, 2),
        "group": Group(MEMBERS, {"w": np.arange(4.0).reshape(2, 2, 1), "diverged": [[True, False], [False, True]]}),
    }


TABLE = TableSchema({"size": (-inf, inf)}, {"name": ["a", "b"], "step": "int", "masked": "bool", "rate": [0.1, 0.3]})


def measure_sizes(job: Job, *, one: Run, several: list[Run], scale: float) -> pd.DataFrame:
    """A table with columns of all kinds."""
    handed["measure_sizes"] = {"one": shown(one), "several": [run.settings["part"] for run in several], "scale": scale}
    return pd.DataFrame(
        {
            "name": ["b", "a"],
            "seed": job.seeds,
            "metric": "size",
            "value": np.array([0.1, 1e-300]) * scale,
            "step": [7, 8],
            "masked": [True, False],
            "rate": np.array([0.1, 0.3], dtype=np.float32),
        }
    )


def draw_sizes(*, sizes: pd.DataFrame) -> Any:
    """An empty figure."""
    from matplotlib.figure import Figure

    handed["draw_sizes"] = shown(sizes)
    return Figure()


def shown(value: Run | pd.DataFrame) -> dict[str, Any]:
    """A run or a table as plain JSON: types, order and every digit."""
    if isinstance(value, Run):
        groups = {name: group for name, group in value.items() if isinstance(group, Group)}
        found = {"arrays": _numbers({name: array for name, array in value.items() if name not in groups})}
        found |= {name: {"members": repr(group.members), "arrays": _numbers(group)} for name, group in groups.items()}
        return found | {"names": list(value), "seeds": repr(value.seeds), "settings": repr(value.settings)}
    columns = [f"{name}: {value[name].dtype} {value[name].tolist()}" for name in value.columns]
    return {"columns": columns, "index": repr(value.index.tolist())}


def _numbers(arrays: Mapping[str, torch.Tensor]) -> list[str]:
    return [f"{name}: {array.dtype} {list(array.shape)} {array.tolist()}" for name, array in arrays.items()]


def sample(folder: Path) -> Any:
    """All of it, computed in `folder`."""
    handed.clear()
    trained = [_train(folder, label) for label in TRAINED]
    tables = [_measure(folder, trained, part) for part in (1, 2)]
    drawn = _draw(folder, tables)
    decided, joined = _decide(folder, tables)
    left = {
        "run": shown(artefacts.read_run(Path(trained[0].outputs[0]), key=trained[0].key)),
        "table": shown(artefacts.read_table(Path(tables[0].outputs[0]), keys=[tables[0].key])),
        "figures": list(artefacts.read_json(Path(drawn.outputs[0]), key=drawn.key)["files"]),
        "claims": artefacts.read_json(Path(decided.outputs[0]), key=decided.key)["rows"],
        "ledger": artefacts.read_json(Path(joined.outputs[0]), key=joined.key)["rows"],
        "ledger as a table": shown(artefacts.read_table(Path(joined.outputs[1]), keys=[joined.key])),
    }
    return json.loads(json.dumps({"handed": handed, "left": left}))


def _train(folder: Path, name: str) -> Node:
    settings = {"rate": 0.1, "part": name, "nested": {"b": 1, "a": [None, True, "word", float("inf")]}}
    return _run(folder, "train", name, call="make_arrays", settings=settings, path=f"runs/{name}.safetensors")


def _measure(folder: Path, trained: list[Node], part: int) -> Node:
    needs = {"one": (trained[0],), "several": tuple(trained[1:])}
    rest = {"needs": needs, "single": frozenset({"one"}), "table": TABLE, "settings": {"scale": 2.0**part}}
    return _run(folder, "measure", f"sizes@x={part}", call="measure_sizes", path=f"tables/{part}.parquet", **rest)


def _draw(folder: Path, tables: list[Node]) -> Node:
    settings = {"figures": {"sizes": {"call": f"{HERE}:draw_sizes", "needs": ["sizes"]}}}
    names = ("figures.json", "pictures/sizes.png", "pictures/sizes.pdf")
    node = _node(folder, "figures", "figures", names, settings=settings, needs={"sizes": tuple(tables)})
    figures.run_node(node)
    return node


def _decide(folder: Path, tables: list[Node]) -> tuple[Node, Node]:
    """The two steps around the claims' own code, which is counted: what it is given, and what is made of its rows."""
    file = folder / "claims.yaml"
    file.write_text(CLAIMS)
    needs = {"sizes": tuple(tables)}
    decided = _node(folder, "claims", "claims", ("claims.json",), settings={"file": str(file)}, needs=needs)

    def hash_of(claim: Any, settings: Any) -> str:
        handed["claim_hash"] = {name: repr(value) for name, value in settings.items()}
        return "hash"

    def decide(claim: Any, tables: Any, **given: Any) -> Any:
        given = {name: repr(given[name]) for name in ("study", "seeds", "base_seed", "claim_hash")}
        named = {name: shown(table) for name, table in tables.items()}
        handed["decide"] = given | {"scale": repr(claim.scale), "margin": claim.head.margin, "tables": named}
        return [SimpleNamespace(to_dict=lambda row=row: row) for row in ROWS]

    with mock.patch.object(claims, "decide", decide), mock.patch.object(claims, "claim_hash", hash_of):
        claims.run_node(decided)
    joined = _node(folder, "ledger", "ledger", ("ledger.json", "ledger.parquet"), needs={"made-up": (decided,)})
    claims.run_node(joined)
    return decided, joined


def _run(folder: Path, step: str, name: str, *, call: str, path: str, **rest: Any) -> Node:
    node = _node(folder, step, name, (path,), call=f"{HERE}:{call}", **rest)
    compute.run_node(node)
    return node


def _node(folder: Path, step: str, name: str, paths: tuple[str, ...], **rest: Any) -> Node:
    outputs = tuple(str(folder / path) for path in paths)
    common = {"study": "made-up", "scale": "quick", "seeds": (100, 101), "base_seed": 5, "key": f"key of {name}"}
    return Node(step=step, name=name, outputs=outputs, **common, **rest)


def main() -> None:
    """Write what is left behind now, beside FORMAT."""
    with tempfile.TemporaryDirectory() as folder:
        content = {"format": FORMAT, **sample(Path(folder))}
    KEPT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import sample_nodes  # by the name by which the nodes call it

    sample_nodes.main()
