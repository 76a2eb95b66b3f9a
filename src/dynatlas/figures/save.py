"""Figures to bytes: the same figure gives the same bytes, with its provenance inside and no date."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dynatlas.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_KEYWORD = "dynatlas"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def figure_bytes(figure: Figure, kind: Literal["pdf", "png"], *, title: str, provenance: Mapping[str, Any]) -> bytes:
    """Render a figure; provenance (anything JSON holds, stable things only) goes into a text chunk or the keywords.

    Raises:
        ValueError: another kind than pdf or png.
    """
    note = json.dumps(provenance, sort_keys=True)  # ASCII, so that both formats keep it as it is
    if kind == "png":
        metadata: dict[str, Any] = {"Software": None, "Title": title, PNG_KEYWORD: note}
    elif kind == "pdf":
        metadata = {"CreationDate": None, "Creator": None, "Producer": None, "Title": title, "Keywords": note}
    else:
        raise ValueError(f"a figure is rendered as pdf or png, not as {kind!r}")
    stream = io.BytesIO()
    with house_style():
        figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()


def figure_files(figure: Figure, *, title: str, provenance: Mapping[str, Any]) -> dict[str, bytes]:
    """A figure as PNG and PDF, by kind, laid out once: the PDF is the picture that is seen as PNG.

    The layout is that of the PNG, whose texts are measured at 200 dots an inch and not at the PDF's 72.
    """
    png = figure_bytes(figure, "png", title=title, provenance=provenance)
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")
    pdf = figure_bytes(figure, "pdf", title=title, provenance=provenance)
    figure.set_layout_engine(layout)
    return {"png": png, "pdf": pdf}


def read_provenance(data: bytes) -> dict[str, Any]:
    """The provenance that `figure_bytes` put into a PDF or PNG.

    Raises:
        ValueError: damaged, not a figure, or not one of ours.
    """
    note = _png_note(data) if data.startswith(_PNG_SIGNATURE) else _pdf_note(data)
    if note is None:
        raise ValueError("no provenance of dynatlas in this file: it is damaged, or was made by something else")
    return json.loads(note)


def _png_note(data: bytes) -> str | None:
    """Text of our chunk (PNG specification, 11.3.4.3), every chunk's checksum verified on the way."""
    at = len(_PNG_SIGNATURE)
    note = None
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        if zlib.crc32(body) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            raise ValueError(f"the PNG is damaged: checksum of the chunk at byte {at}")
        key, _, text = body[4:].partition(b"\0")
        if body[:4] == b"tEXt" and key == PNG_KEYWORD.encode():
            note = text.decode("latin-1")
        if body[:4] == b"IEND":
            return note
        at += 12 + length
    raise ValueError("the PNG is damaged: it has no end")


def _pdf_note(data: bytes) -> str | None:
    found = re.search(rb"/Keywords \(((?:\\.|[^\\)])*)\)", data, re.DOTALL)
    if not (data.startswith(b"%PDF") and found and data.rstrip().endswith(b"%%EOF")):
        return None
    return re.sub(rb"\\(.)", rb"\1", found.group(1)).decode("latin-1")
