"""Templates to text: the one place that knows where the templates are and how they are filled."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


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
