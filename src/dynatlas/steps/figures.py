"""The figures step: all figures of a study, drawn in one job."""

from __future__ import annotations

from pathlib import Path

from dynatlas import artefacts
from dynatlas.figures.save import figure_files
from dynatlas.figures.style import house_style
from dynatlas.nodes import Node
from dynatlas.steps.compute import load_function, read_needs


def run_node(node: Node) -> None:
    """Draw every figure of the node as PNG and PDF, and write the manifest of their digests.

    The manifest is the first output; the pictures lie in one folder.
    """
    import matplotlib

    matplotlib.use("Agg")
    tables = read_needs(node)
    files: dict[str, bytes] = {}
    for name, figure in node.settings["figures"].items():
        with house_style():
            drawn = load_function(figure["call"])(**{need: tables[need] for need in figure["needs"]})
        made_by = {"study": node.study, "figure": name, "scale": node.scale, "call": figure["call"], "key": node.key}
        pictures = figure_files(drawn, title=name, provenance=made_by)
        files |= {f"{name}.{kind}": picture for kind, picture in pictures.items()}
    manifest, *paths = (Path(path) for path in node.outputs)
    folder = paths[0].parent if paths else manifest.parent
    artefacts.write_files(folder, manifest, provenance=node.provenance, files=files)
