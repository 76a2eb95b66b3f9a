"""What the numbers of a study may be: the base class and the common types of every study's `settings.py`.

A number is strict (a word, a truth value or a fraction in a whole number's place is refused) and finite, and stays as
it was written: 1 is not made 1.0, since it may name a random stream or stand in a table. A description says what is
meant, and ends in the unit where there is one: "time step [ms]".
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import pairwise
from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from dynatlas.names import nearest


class Settings(BaseModel, Mapping[str, Any]):
    """Numbers that belong together: a number that it does not know is refused, and nothing changes after reading.

    It is a mapping as well: it can be handed on as keywords (`Timing(**settings)`), and read by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @classmethod
    def names(cls) -> dict[str, str]:
        """The numbers by the name that they have in yaml: it is another where Python has that one (`copy`, `with`)."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        """Refuse a number that there is not, with the nearest name."""
        names = cls.names()
        for name in given if isinstance(given, dict) else ():
            if name not in names:
                raise ValueError(f"no number {name!r}{nearest(str(name), names)} (there are: {', '.join(names)})")
        return given

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        """The names of all numbers."""
        return iter(self.names())

    def __len__(self) -> int:
        """How many numbers there are."""
        return len(type(self).model_fields)

    def __getitem__(self, name: str) -> Any:
        """The number of this name; KeyError for another."""
        return getattr(self, self.names()[name])


Entry = TypeVar("Entry")


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError("allowed is a number")
    return value


def _finite(value: Any) -> Any:
    if not isfinite(_number(value)):
        raise ValueError("allowed is a finite number")
    return value


def _single(values: list[Entry]) -> list[Entry]:
    """Refuse a value that stands twice: it would train the same networks twice, or make the same rows."""
    seen = set()
    for value in values:
        if isinstance(value, Hashable):
            if value in seen:
                raise ValueError(f"{value!r} stands twice in the list")
            seen.add(value)
    return values


def _ends(values: list[Any]) -> list[Any]:
    if values[0] > values[1]:
        raise ValueError(f"[{values[0]}, {values[1]}]: the lower end comes first")
    return values


def _ascending(values: list[Any]) -> list[Any]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError(f"{values}: each is larger than the one before")
    return values


Real = Annotated[int | float, PlainValidator(_finite)]
"""Any finite number."""
Positive = Annotated[Real, Field(gt=0)]
NonNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
"""A part of a whole: 0 is none, 1 is all."""
PositiveOrInfinite = Annotated[int | float, PlainValidator(_number), Field(gt=0)]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, gt=0)]
Index = Annotated[int, Field(strict=True, ge=0)]
Switch = Annotated[bool, Field(strict=True)]
Word = Annotated[str, Field(strict=True, min_length=1)]
Several = Annotated[list[Entry], Field(min_length=1), AfterValidator(_single)]
"""At least one value, each once."""
Ascending = Annotated[list[Entry], Field(min_length=1), AfterValidator(_ascending)]
"""At least one value, each larger than the one before."""
Span = Annotated[list[Entry], Field(min_length=2, max_length=2), AfterValidator(_ends)]
"""Lower and upper end of a range, which may be one and the same."""
Named = Annotated[dict[str, Entry], Field(min_length=1)]
"""At least one value, by name."""
