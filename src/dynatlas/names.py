"""Looking things up by name, with an answer for those who mistype."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


class UnknownNameError(KeyError, ValueError):
    """A name that is not among the known ones."""

    def __str__(self) -> str:
        return str(self.args[0])


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name nearest to `name`, or an empty string."""
    found = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def named(entries: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of this name; an UnknownNameError says which is nearest, and which there are."""
    if name in entries:
        return entries[name]
    raise UnknownNameError(f"unknown {what} {name!r}{nearest(name, entries)} (known: {', '.join(entries)})")
