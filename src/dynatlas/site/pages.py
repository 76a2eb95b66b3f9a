"""Templates to text: the one place that knows where the templates are and how they are filled."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

SITE = "../site/"
"""The way from a study's folder to the site's."""


@cache
def _environment() -> Environment:
    """Jinja with everything escaped unless a template says `| safe`, and an error for a name that is not there."""
    return Environment(
        loader=PackageLoader("dynatlas.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_template(name: str, **values: Any) -> str:
    """Fill a template of the folder `templates`."""
    return str(_environment().get_template(name).render(**values))


def in_site(page: bytes) -> bytes:
    """A page of a study's folder as it stands in the site's own folder, whatever that is called where it is put."""
    return page.replace(f'href="{SITE}'.encode(), b'href="')
