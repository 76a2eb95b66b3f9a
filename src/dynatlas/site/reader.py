"""What a study's notebook reads: its claims, tables and figures, at one scale. A notebook never computes them.

study = open_study("task-primitives", "quick")
study.claim_table()
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from dynatlas import artefacts
from dynatlas.config import read_yaml, split_scale
from dynatlas.names import nearest
from dynatlas.nodes import ROOT
from dynatlas.site.content import alternative, shown_width

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Html:
    """A piece of HTML that a notebook shows; `text` is what a terminal shows in its place."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StudyReader:
    """The results of one study at one scale, under `root`."""

    study: str
    scale: str
    root: Path

    @property
    def results(self) -> Path:
        """The folder of the study's results."""
        return self.root / "results" / self.scale / self.study

    def rows(self) -> list[dict[str, object]]:
        """The rows of the study's claims.json, as the ledger has them."""
        return list(artefacts.read_json(self.results / "claims.json")["rows"])

    def claims(self) -> DataFrame:
        """One row a claim or part, one column a field of the ledger, indexed by id."""
        import pandas as pd

        return pd.DataFrame(self.rows()).set_index("id")

    def table(self, name: str) -> DataFrame:
        """A measure's table, whole, also where its jobs made it in parts: those of the plan that the verdicts rest on.

        What else lies beside them (of an axis value that was taken out, say) is not read.

        Raises:
            KeyError: no such table; names the nearest one.
            ArtefactError: a part is missing, damaged, or not the one that the verdicts rest on.
        """
        tables = artefacts.read_json(self.results / "claims.json")["provenance"]["settings"]["tables"]
        if name not in tables:
            raise KeyError(self._unknown("table", name, sorted(tables)))
        parts = tables[name]
        try:
            return artefacts.read_table(*(self.root / path for path in parts), keys=list(parts.values()))
        except artefacts.ArtefactError as error:
            raise artefacts.ArtefactError(f"{error}; or the verdicts too: {_command(self.study, self.scale)}") from None

    def figure(self, name: str) -> Html:
        """A figure, for display.

        Raises:
            KeyError: no such figure; names the nearest one.
        """
        manifest = self.results / "figures.json"
        known = [Path(file).stem for file in artefacts.read_json(manifest)["files"] if file.endswith(".png")]
        if name not in known:
            raise KeyError(self._unknown("figure", name, known))
        folder = self.root / "figures" / self.scale / self.study
        png = artefacts.read_file(folder, manifest, name=f"{name}.png")
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        declared = read_yaml(ROOT / "config" / "studies" / f"{self.study}.yaml")["figures"][name]
        words = alternative(declared["title"], declared["caption"])
        html = f'<img alt="{escape(words)}" src="{source}" width="{shown_width(png)}">'
        return Html(html, f"figure {name}: {declared['title']}")

    def claim_table(self) -> Html:
        """The claims with verdict (colour and shape), effect, interval, margin and control, for display."""
        from dynatlas.site.render import render_claim_table

        made = artefacts.read_json(self.results / "claims.json")["provenance"]
        draw = {"scale": self.scale, "base_seed": made["base_seed"], "seeds": {self.study: made["seeds"]}}
        rows = self.rows()
        text = "\n".join(f"{row['id']}: {row['verdict']}" for row in rows)
        return Html(render_claim_table(rows, draw), text)

    def _unknown(self, kind: str, name: str, known: list[str]) -> str:
        there = ", ".join(known) or "none"
        return f"{self.study} has no {kind} {name!r} at scale {self.scale}{nearest(name, known)} (there are: {there})"


def open_study(study: str, scale: str, root: str | Path = ".") -> StudyReader:
    """The results of a study at a scale.

    Args:
        study: its name, such as `task-primitives`.
        scale: as it stands in paths, such as `quick`.
        root: the folder that holds `results/` and `figures/`, or any below it (Jupyter starts in the notebook's own).

    Raises:
        ArtefactError: nothing of this study was made there; says what makes it.
    """
    claims = Path("results", scale, study, "claims.json")
    for folder in (Path(root), *Path(root).resolve().parents):
        if (folder / claims).exists():
            return StudyReader(study, scale, folder)
    raise artefacts.ArtefactError(f"{Path(root, claims)} does not exist; to make it: {_command(study, scale)}")


def _command(study: str, scale: str) -> str:
    """What makes all of a study at a scale as it stands in paths."""
    declared, dev = split_scale(scale)
    return f"snakemake --config scale={declared}{' seeds=dev' if dev else ''} -- {study}"
