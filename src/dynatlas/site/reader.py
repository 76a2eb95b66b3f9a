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
from dynatlas.names import nearest
from dynatlas.site.content import shown_width

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
        """A measure's table, whole, also where its jobs made it in parts.

        Raises:
            KeyError: no such table; names the nearest one.
        """
        folder = self.results / "tables"
        parts = sorted([*folder.glob(f"{name}.parquet"), *folder.glob(f"{name}@*.parquet")])
        if not parts:
            known = sorted({path.stem.partition("@")[0] for path in folder.glob("*.parquet")})
            raise KeyError(self._unknown("table", name, known))
        return artefacts.read_table(*parts)

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
        html = f'<img alt="figure {escape(name)}" src="{source}" width="{shown_width(png)}">'
        return Html(html, f"figure {name}")

    def claim_table(self) -> Html:
        """The claims with verdict (colour and shape), effect, interval, margin and control, for display."""
        from dynatlas.site.render import render_claim_table

        rows = self.rows()
        text = "\n".join(f"{row['id']}: {row['verdict']}" for row in rows)
        return Html(render_claim_table(rows), text)

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
    wanted, dev = scale.removesuffix("-dev"), " seeds=dev" if scale.endswith("-dev") else ""
    raise artefacts.ArtefactError(
        f"{Path(root, claims)} does not exist; to make it: snakemake --config scale={wanted}{dev} -- {study}"
    )
