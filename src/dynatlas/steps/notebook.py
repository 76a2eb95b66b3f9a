"""The notebook step (a study's narrative, against its tables, figures and verdicts) and the guide step (no study)."""

from __future__ import annotations

from pathlib import Path

from dynatlas import artefacts
from dynatlas.nodes import ROOT, Node
from dynatlas.site.notebook import NotebookError, render_notebook
from dynatlas.site.pages import SITE


def run_node(node: Node) -> None:
    """Write the executed notebook and its page; a failing one leaves what it had beside the log.

    Raises ArtefactError naming notebook, cell and line where a cell fails, or the input that is damaged.
    """
    for nodes in node.needs.values():
        for part in nodes:
            artefacts.check_key(Path(part.outputs[0]), artefacts.provenance_of(Path(part.outputs[0])), part.key)
    source = (ROOT / str(node.settings["file"])).read_text(encoding="utf-8")
    parameters = {"study": node.study, "scale": node.scale, "root": "."} if node.study else {}
    name = node.study or node.name
    links = (
        {"dynatlas": f"{SITE}index.html", name: f"{SITE}{name}.html"} if node.study else {"dynatlas": "../index.html"}
    )
    try:
        notebook, page = render_notebook(source, name=name, parameters=parameters, cwd=Path.cwd(), links=links)
    except NotebookError as error:
        partial = Path("logs", node.scale, node.study, f"{node.name}-partial.ipynb")
        artefacts.write_bytes(partial, error.partial)
        raise artefacts.ArtefactError(f"{error}; what was executed is kept in {partial}") from error
    artefacts.write_bytes(Path(node.outputs[0]), page)
    artefacts.write_bytes(Path(node.outputs[1]), notebook)
