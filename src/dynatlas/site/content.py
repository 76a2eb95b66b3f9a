"""What goes into a page: plain data, so that a page is a function of its content alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynatlas.claims.kept import Kept

MARKS = re.compile(r"[*`$]+")


@dataclass(frozen=True)
class Ancestor:
    """A node that a figure comes from, or the figure itself."""

    name: str
    step: str
    """data, train, measure or figures."""
    needs: tuple[str, ...] = ()
    """Names of the nodes it reads."""
    about: str = ""
    """One line; shown where a pointer rests on the node."""


@dataclass(frozen=True)
class FigureEntry:
    """One figure of a study, with all that its place on the page says."""

    name: str
    title: str
    caption: str
    """Markdown."""
    png: bytes
    ancestry: Sequence[Ancestor] = ()
    command: str = ""
    """What remakes the figure."""

    @property
    def words(self) -> str:
        """What is read aloud in its place."""
        return alternative(self.title, self.caption)


def shown_width(png: bytes) -> int:
    """Width in CSS pixels at which a figure's text is as large as the page's (8 pt at 200 dpi; PNG's IHDR chunk)."""
    return round(0.7 * int.from_bytes(png[16:20], "big"))


def alternative(title: str, caption: str) -> str:
    """What is read aloud in a figure's place: its title, and its caption without the marks of markdown."""
    return f"{title}. {MARKS.sub('', ' '.join(caption.split()))}"


@dataclass(frozen=True)
class StudyPage:
    """Everything on a study's page."""

    study: str
    scale: str
    paper: Mapping[str, Any]
    """title, authors, year, and where known arxiv, doi, venue."""
    rows: Sequence[Mapping[str, Any]]
    """The rows of the study's own claims.json."""
    figures: Sequence[FigureEntry]
    readme: str
    """Markdown."""
    notebook_href: str
    command: str
    """What remakes the whole study."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    draw: Mapping[str, Any] = field(default_factory=dict)
    """What decided every random draw, as `claims.ledger.draw_text` takes it."""
    kept: Sequence[Kept] = ()
    """Its ledgers at other scales."""
    numbers: Sequence[Mapping[str, Any]] = ()
    """Its numbers: `name`, `meaning`, `unit`, and `values` by scale."""


@dataclass(frozen=True)
class GuideLink:
    """A notebook that belongs to no study."""

    title: str
    href: str
    """Its page; the notebook itself lies beside it, as .ipynb."""


@dataclass(frozen=True)
class StudyLink:
    """What the index says about a study besides its claims."""

    study: str
    title: str
    href: str
    cover: FigureEntry | None = None
    """The figure that stands for the study."""
    kept: Sequence[Kept] = ()
    """Its ledgers at other scales."""
