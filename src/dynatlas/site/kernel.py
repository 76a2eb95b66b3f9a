"""Executes a notebook in a kernel of this very interpreter; nothing is left behind, nothing differs from run to run."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

import dynatlas

# Memory addresses, and the names that ipykernel gives to the files of cells. Each begins with a fixed text: pictures in
# outputs are megabytes without a blank, on which a pattern that begins with a repetition takes minutes.
UNSTABLE = ((re.compile(r" at 0x[0-9a-f]+"), " at 0x…"), (re.compile(r"/ipykernel_\d+/\d+\.py"), "/<cell>"))
LONGEST_SOCKET = 100
"""Bytes that a Unix socket's path may have, less what zmq adds to it."""


class _ThisInterpreter(AsyncKernelManager):
    """Starts `sys.executable`: a registered kernel of the same name may be another environment's."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel's command line."""
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def execute(notebook: NotebookNode, *, cwd: Path, timeout: float) -> None:
    """Run all cells in place, up to the first that raises.

    Args:
        notebook: gets its outputs, without times and memory addresses.
        cwd: folder in which the cells run.
        timeout: seconds that one cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError, CellTimeoutError, DeadKernelError: as they come.
    """
    with tempfile.TemporaryDirectory(prefix="dynatlas-") as scratch:
        manager = _ThisInterpreter(connection_file=str(Path(scratch, "kernel.json")))
        if len(os.fsencode(scratch)) < LONGEST_SOCKET:
            manager.transport, manager.ip = "ipc", str(Path(scratch, "socket"))  # no port that another could take
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=timeout,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(cwd)}},
        )
        try:
            client.execute(env=_environment(scratch), cleanup_kc=True)
        finally:
            _settle(notebook)


def _environment(scratch: str) -> dict[str, str]:
    """This process's environment, able to import the package, writing only into `scratch`, and with fixed hashing."""
    source = str(Path(str(dynatlas.__file__)).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    writable = {"IPYTHONDIR": scratch, "JUPYTER_RUNTIME_DIR": scratch, "JUPYTER_CONFIG_DIR": scratch}
    fixed = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return {"MPLCONFIGDIR": scratch} | os.environ | writable | fixed


def _settle(notebook: NotebookNode) -> None:
    """Take out of a notebook what differs between two runs of the same cells."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_stable(output) for output in cell.outputs]


def _stable(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, replacement in UNSTABLE:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, dict):
        return nbformat.from_dict({key: item if key == "image/png" else _stable(item) for key, item in value.items()})
    return [_stable(item) for item in value] if isinstance(value, list) else value
