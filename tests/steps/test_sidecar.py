"""What is noted beside the logs about where a step ran."""

from __future__ import annotations

import json
import subprocess
import sys

import torch

from dynatlas.nodes import Node
from dynatlas.steps.sidecar import sidecar_path, write_sidecar

NODE = Node(step="train", study="toy", name="runs", scale="smoke", outputs=("results/smoke/toy/runs/runs.safetensors",))
WITHOUT_TORCH = "import dynatlas.steps.sidecar as s, sys; print(s.cpu_capability(), 'torch' in sys.modules)"


def test_the_vector_instructions_that_torch_takes_are_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with write_sidecar(NODE):
        pass
    noted = json.loads((tmp_path / sidecar_path(NODE)).read_text())
    assert noted["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert noted["node"] == "smoke/toy/train/runs"


def test_noting_them_loads_no_torch():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
