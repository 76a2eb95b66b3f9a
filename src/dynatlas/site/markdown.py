"""Markdown to HTML with mathematics as MathML, so that no page needs a script or a network for it."""

from __future__ import annotations

import warnings
from typing import Any

import mistune
from latex2mathml.converter import convert
from mistune.renderers.html import HTMLRenderer
from nbconvert.filters.highlight import Highlight2HTML

PLUGINS = ("math", "table", "footnotes", "strikethrough")


def math_ml(latex: str, *, display: str = "inline") -> str:
    """LaTeX as MathML; what cannot be converted stays as it was written, in `<code>`."""
    try:
        return convert(latex, display=display)
    except Exception:  # the converter raises many kinds; a formula must never cost the page
        return f"<code>{mistune.escape(latex)}</code>"


class _Renderer(HTMLRenderer):
    """Headings moved down by `shift`, fenced code highlighted, mathematics as MathML (not left to a script)."""

    def __init__(self, shift: int) -> None:
        super().__init__(escape=False)
        self.shift = shift

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """A heading, at most six deep."""
        return super().heading(text, min(level + self.shift, 6), **attributes)

    def block_code(self, code: str, info: str | None = None) -> str:
        """A fenced block, coloured where its language is known."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown language is plain text, and no reason to warn
            return str(Highlight2HTML()(code, (info or "text").split()[0]))

    def inline_math(self, text: str) -> str:
        """`$...$`."""
        return math_ml(text)

    def block_math(self, text: str) -> str:
        """`$$...$$` on lines of its own."""
        return f"<p>{math_ml(text, display='block')}</p>\n"


def render_markdown(text: str, *, shift: int = 0) -> str:
    """HTML of a markdown text (GitHub's tables, footnotes, `$...$` mathematics).

    Args:
        text: markdown, which may hold HTML.
        shift: headings move this many levels down, so that a README fits under a page's own title.
    """
    return str(mistune.create_markdown(renderer=_Renderer(shift), plugins=list(PLUGINS))(text))
