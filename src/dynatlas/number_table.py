"""A study's numbers at all scales, each with what it means: for a reader, in a terminal or on the study's page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from dynatlas.arguments import Arguments
from dynatlas.calls import SECTIONS
from dynatlas.declarations import StudySpec
from dynatlas.numbers import REFERENCE
from dynatlas.settings import Settings
from dynatlas.signatures import Signatures

UNIT = re.compile(r"(.*?)(?: \[(.+)\])?")


@dataclass(frozen=True)
class Row:
    """One number: its name, meaning and unit, and its value at each scale, as text."""

    name: str
    meaning: str
    unit: str
    values: Mapping[str, str]


def number_rows(spec: StudySpec, signatures: Signatures) -> list[Row]:
    """Every number of a study, in the order of the yaml; one that holds several by name has a row for each."""
    types = dict(_types(spec, signatures))
    given = {scale: spec.numbers_at(scale) for scale in spec.scales}
    names = dict.fromkeys(name for numbers in given.values() for name in numbers)
    rows = [_row("seeds", "seeds of every run and table", {scale: own["seeds"] for scale, own in given.items()})]
    for name in names:
        if name != "seeds":
            rows += _rows(name, types.get(name), {scale: own[name] for scale, own in given.items() if name in own})
    return rows


def _types(spec: StudySpec, signatures: Signatures) -> Iterator[tuple[str, Any]]:
    """The names of all numbers that arguments take, whole or inside, and their types."""
    for section in SECTIONS:
        for name, entry in getattr(spec, section).items():
            call = Arguments(spec, next(iter(spec.scales)), signatures).call(section, name, entry)
            for argument, value in {**entry.with_, **entry.stacked, **entry.jobs}.items():
                yield from _inside(signatures.type_of(call, argument), value)


def _inside(kind: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """The names of numbers that a declared value refers to, and the types of what stands in their place."""
    parts = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if parts and not parts["axis"]:
        yield parts["name"], kind
    for key, one in value.items() if isinstance(value, dict) else ():
        yield from _inside(_under(kind, key), one)


def _under(kind: Any, key: str) -> Any:
    """The type of what stands under a key: of a class of numbers, of one of several, or of a mapping."""
    if isinstance(kind, type) and issubclass(kind, Settings) and key in kind.names():
        field = kind.model_fields[kind.names()[key]]
        return Annotated[field.annotation, field]
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return next(filter(None, (_under(one, key) for one in get_args(kind))), None)


def _rows(name: str, kind: Any, values: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a number of some type, by scale."""
    inside = _settings_in(kind)
    if inside is None:
        yield _row(name, _description(kind), values)
        return
    for key, field in inside.names().items():
        info = inside.model_fields[field]
        own = {scale: value.get(key, info.default) for scale, value in values.items() if isinstance(value, dict)}
        meaning = info.description or _description(info.annotation)
        nested = _settings_in(info.annotation)
        yield from [_row(f"{name}.{key}", meaning, own)] if nested is None else _rows(f"{name}.{key}", nested, own)


def _row(name: str, description: str, values: Mapping[str, Any]) -> Row:
    meaning, unit = UNIT.fullmatch(description.replace("\n", " ")).groups()  # type: ignore[union-attr]
    return Row(name, meaning, unit or "", {scale: _shown(value) for scale, value in values.items()})


def _settings_in(kind: Any) -> type[Settings] | None:
    """The class of numbers that a type is, also where it may be left out."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        return kind
    found = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Settings)]
    others = [one for one in get_args(kind) if one is not type(None)]
    return found[0] if found and get_origin(kind) is not dict and len(others) == 1 else None


def _description(kind: Any) -> str:
    """What a type says of its number; a class of numbers says it in its docstring."""
    if get_origin(kind) is Annotated:
        told = [one.description for one in get_args(kind)[1:] if isinstance(one, FieldInfo) and one.description]
        return told[-1] if told else _description(get_args(kind)[0])
    return next(filter(None, (_description(one) for one in get_args(kind))), "")


def _shown(value: Any) -> str:
    """A value in few signs."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        whole = f"[{', '.join(map(_shown, value))}]"
        return whole if len(whole) <= 40 else f"[{_shown(value[0])}, ... {len(value)} values ..., {_shown(value[-1])}]"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
