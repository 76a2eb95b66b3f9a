"""What a study passes to its functions at each scale, held to their types before any job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from dynatlas.calls import MODULE_OF, SECTIONS, check_call, resolved
from dynatlas.columns import schemas_of
from dynatlas.config import ConfigError
from dynatlas.declarations import NodeSpec, StudySpec
from dynatlas.names import nearest
from dynatlas.numbers import REFERENCE, Numbers
from dynatlas.signatures import Signatures


class Arguments:
    """The entries of one study at one scale: their axes, their seeds, and what their functions are given."""

    def __init__(self, spec: StudySpec, scale: str, signatures: Signatures):
        self.spec, self.scale, self.signatures = spec, scale, signatures
        self.where = f"config/studies/{spec.study}.yaml"
        self.numbers = Numbers(spec.numbers_at(scale), scale, self.where)

    def axes(self, name: str, spec: NodeSpec) -> Iterator[dict[str, Any]]:
        """The values of the `jobs:` axes of each job that an entry is split into."""
        axes = {axis: self.numbers.resolve(values, f"{name}.jobs.{axis}") for axis, values in spec.jobs.items()}
        for axis, values in axes.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(
                    f"{self.where}: {name}.jobs.{axis}: {values!r}: allowed is a list of at least one value"
                )
        for values in product(*axes.values()):
            yield dict(zip(axes, values, strict=True))

    def seeds(self, name: str, spec: NodeSpec) -> int:
        """How many seeds an entry has."""
        given = self.numbers.values["seeds"] if spec.seeds is None else spec.seeds
        count = self.numbers.resolve(given, f"{name}.seeds")
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(f"{self.where}: {name}.seeds: {count!r}: allowed is a whole number of at least 1")
        return count

    def call(self, section: str, name: str, spec: NodeSpec) -> str:
        """The function of an entry, in full."""
        module, where = MODULE_OF[SECTIONS[section]], f"{self.where}: {name}"
        return resolved(self.signatures.index, spec.call, self.spec.package, module, where)

    def settings(self, call: str, name: str, spec: NodeSpec, axes: Mapping[str, Any]) -> dict[str, Any]:
        """What one job's function is given beside its needs, as plain JSON with all defaults.

        It is held against the function's signature, then each value against its type.
        """
        parts = {"with": spec.with_, "stacked": spec.stacked, "jobs": axes}
        given = {part: self.numbers.resolve(values, f"{name}.{part}", axes) for part, values in parts.items()}
        names = {*spec.with_, *spec.stacked, *axes, *spec.needs}
        check_call(self.signatures.index, call, names, f"{self.where}: {name}", job=True)
        found: dict[str, Any] = {}
        for part, values in given.items():
            found |= self.signatures.plain(call, values, f"{self.where}: at scale {self.scale}: {name}.{part}")
        return found

    def check(self) -> None:
        """Hold all that the entries pass to the types of their functions; nodes are not built for it.

        Raises ConfigError for the first value that does not fit, and for a run with fewer seeds than what reads it.
        """
        entries = {
            name: (section, spec)
            for section in SECTIONS
            for name, spec in getattr(self.spec, section).items()
            if self.scale in spec.scales
        }
        for name, (section, spec) in entries.items():
            call = self.call(section, name, spec)
            for axes in self.axes(name, spec):
                self.settings(call, name, spec, axes)
            count = self.seeds(name, spec)
            for need in spec.needs:
                if need in entries and self.seeds(need, entries[need][1]) < count:
                    raise ConfigError(
                        f"{self.where}: {name}: has {count} seeds at scale {self.scale}, but {need}, which it needs, "
                        f"has {self.seeds(need, entries[need][1])}"
                    )
        schemas_of(self.spec, self.scale)


def check_arguments(spec: StudySpec, signatures: Signatures) -> None:
    """Hold a study's numbers at all of its scales to the types of its functions.

    Raises ConfigError also for a number that nothing reads.
    """
    for scale in spec.scales:
        Arguments(spec, scale, signatures).check()
    where, read = f"config/studies/{spec.study}.yaml", set(_read(spec)) | {"seeds"}
    for block, numbers in {
        "numbers": spec.numbers,
        **{f"scales.{one}": own for one, own in spec.scales.items()},
    }.items():
        for name in numbers:
            if name not in read:
                raise ConfigError(f"{where}: {block}.{name}: nothing reads this number{nearest(name, read)}")


def _read(spec: StudySpec) -> Iterator[str]:
    """The names of all numbers that entries refer to."""
    for section in SECTIONS:
        for entry in getattr(spec, section).values():
            for given in (entry.with_, entry.stacked, entry.jobs, entry.seeds):
                yield from references(given)


def references(given: Any) -> Iterator[str]:
    """The names of the numbers that a declared value refers to."""
    if isinstance(given, dict | list):
        for one in given.values() if isinstance(given, dict) else given:
            yield from references(one)
    elif isinstance(given, str) and (parts := REFERENCE.fullmatch(given)):
        yield parts["name"]
