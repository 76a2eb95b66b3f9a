"""Markdown to HTML with mathematics as MathML, so that no page needs a script or a network for it."""

from __future__ import annotations

import warnings
from re import Match
from typing import Any

import mistune
from latex2mathml.converter import convert
from mistune.renderers.html import HTMLRenderer
from nbconvert.filters.highlight import Highlight2HTML

PLUGINS = ("math", "table", "footnotes", "strikethrough")
INLINE_MATH = r"\$\$(?P<display>(?:[^$\\]|\\.)+?)\$\$|\$(?!\s*\$)(?P<inline>(?:[^$\\]|\\.)+?)\$(?!\d)"
"""What Jupyter takes for mathematics: blanks and line ends inside count for nothing. No digit follows the closing
dollar (`$5 and $10` is money); a dollar that is none of ours is written `\\$`."""


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
        """`$...$`, in a box that scrolls where the line is too short for it."""
        return f'<span class="math">{math_ml(text)}</span>'

    def block_math(self, text: str) -> str:
        """`$$...$$`, in a box that scrolls where the page is too narrow for it."""
        return f'<span class="math block">{math_ml(text, display="block")}</span>\n'


def render_markdown(text: str, *, shift: int = 0) -> str:
    """HTML of a markdown text (GitHub's tables, footnotes, `$...$` mathematics).

    Args:
        text: markdown, which may hold HTML.
        shift: headings move this many levels down, so that a README fits under a page's own title.
    """
    markdown = mistune.create_markdown(renderer=_Renderer(shift), plugins=list(PLUGINS))
    markdown.inline.register("inline_math", INLINE_MATH, _parse_math)
    return str(markdown(text))


def _parse_math(inline: mistune.InlineParser, found: Match[str], state: mistune.InlineState) -> int:
    kind = "inline" if found["display"] is None else "block"
    state.append_token({"type": f"{kind}_math", "raw": found["display"] or found["inline"].strip(" \n`")})
    return found.end()
