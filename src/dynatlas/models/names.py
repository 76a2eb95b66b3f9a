"""Looking things up by name, with an answer for those who mistype."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def named(entries: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of this name; a KeyError says `what` is unknown, which is nearest, and which there are."""
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise KeyError(f"unknown {what} {name!r}{hint} known: {', '.join(entries)}")
