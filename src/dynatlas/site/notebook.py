"""A notebook: percent text in, executed notebook and one self-contained HTML page out, the same bytes twice."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from dynatlas.site.kernel import execute
from dynatlas.site.markdown import render_markdown
from dynatlas.site.pages import render_template

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(Exception):
    """A notebook could not be executed; `partial` is the .ipynb up to there (empty if it never began)."""

    def __init__(self, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


def render_notebook(
    source: str,
    *,
    name: str,
    parameters: Mapping[str, Any],
    cwd: Path,
    links: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> tuple[bytes, bytes]:
    """Execute a notebook and render it.

    Args:
        source: jupytext's percent format. If there are parameters, one code cell is tagged `parameters` and assigns
            every parameter a default.
        name: what the page and errors call it: the study's name, or the guide's.
        parameters: values that replace the defaults, of types that `repr` writes back (text, numbers, lists).
        cwd: folder in which the cells run.
        links: the way back from the page, text to address.
        timeout: seconds that one cell may take.

    Returns:
        The executed notebook (.ipynb) and its page (HTML without scripts, pictures and mathematics inside).

    Raises:
        NotebookError: naming notebook, cell, line and exception; or that the parameters do not fit.
    """
    notebook = jupytext.reads(source, fmt="py:percent")
    if parameters:
        _set_parameters(notebook, parameters, name)
    try:
        execute(notebook, cwd=cwd, timeout=timeout)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(_explain(notebook, error, name, timeout), _ipynb(notebook)) from error
    return _ipynb(notebook), _page(notebook, name, links or {})


def _set_parameters(notebook: NotebookNode, parameters: Mapping[str, Any], name: str) -> None:
    """Replace the cell tagged `parameters` by assignments of the given values, on top of its defaults."""
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise NotebookError(f'{name}: {len(tagged)} cells begin with `# %% tags=["parameters"]`; there must be one')
    defaults = _assignments(tagged[0].source, name)
    unknown = [name for name in parameters if name not in defaults]
    if unknown:
        raise NotebookError(f"{name}: the parameters cell assigns {', '.join(defaults)}, not {', '.join(unknown)}")
    tagged[0].source = "\n".join(f"{name} = {value!r}" for name, value in {**defaults, **parameters}.items())


def _assignments(code: str, name: str) -> dict[str, Any]:
    try:
        body = ast.parse(code).body
        return {node.targets[0].id: ast.literal_eval(node.value) for node in body}  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, AttributeError, IndexError):
        raise NotebookError(f"{name}: the parameters cell may only hold lines `name = literal`, got:\n{code}") from None


def _explain(notebook: NotebookNode, error: Exception, name: str, timeout: float) -> str:
    """One paragraph: which cell of which notebook, which line of it, and what was raised there."""
    number, cell = _last_executed(notebook)
    where = f"the notebook of {name}, cell {number} of {len(notebook.cells)}"
    if isinstance(error, CellTimeoutError):
        return f"{where} took longer than {timeout:g} s"
    if not isinstance(error, CellExecutionError):
        return f"{where}: the kernel died there or in the next cell (out of memory?)"
    trace = ANSI.sub("", error.traceback or "")
    lines = re.findall(rf"Cell In\[{cell.execution_count}\], line (\d+)", trace)
    line = int(lines[0]) if lines else 1
    text = cell.source.splitlines()[line - 1].strip()
    return f"{where}, line {line}, `{text}`: {error.ename}: {ANSI.sub('', str(error.evalue))}"


def _last_executed(notebook: NotebookNode) -> tuple[int, NotebookNode]:
    """The code cell at which execution stopped, and its number among all cells (from 1)."""
    code = [(number, cell) for number, cell in enumerate(notebook.cells, start=1) if cell.cell_type == "code"]
    begun = [(number, cell) for number, cell in code if cell.execution_count is not None]
    return begun[-1] if begun else code[0]


def _ipynb(notebook: NotebookNode) -> bytes:
    return (nbformat.writes(notebook, version=4) + "\n").encode()


def _page(notebook: NotebookNode, name: str, links: Mapping[str, str]) -> bytes:
    exporter = HTMLExporter(
        template_name="basic",
        filters={"markdown2html": render_markdown},
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
        mermaid_layout_elk_js_url="",
        jupyter_widgets_base_url="",
        embed_images=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    return render_template("notebook.html", title=name, body=body, links=links).encode()
