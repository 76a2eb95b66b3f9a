"""A figure made small, for where many stand side by side."""

from __future__ import annotations

import io

from PIL import Image

WIDTH = 640
"""Pixels: twice the width at which it is shown, for screens that are as fine."""
COLOURS = 64


def thumbnail(png: bytes, *, width: int = WIDTH) -> bytes:
    """The picture in at most `width` pixels and a few colours, as PNG; the same bytes for the same picture."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    size = min(width, picture.width), round(picture.height * min(1.0, width / picture.width))
    small = picture.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    small.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
