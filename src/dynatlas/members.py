"""Who the members of an ensemble are: seeds and labels on named axes, and arrays whose leading axes these are.

A job trains all seeds and all conditions that vectorise as one stack of networks, its *members*. `Members` says what
they are; a `Group` holds arrays of them, and is what a training function returns and what a `Run` gives back:

    members = Members(seed=job.seeds, rate=[0.1, 0.3])
    fitted = fit(draw, loss, model.initialise(generators, 2), ...)       # leading axis member: seed by seed
    return {"networks": members.group(fitted.parameters)}                # leading axes (seed, rate)

    run["networks"].at(rate=0.3)["w"]                                    # (seed, ...)
    for seed, own in run["networks"].each("seed"):                       # own["w"]: (rate, ...)

Labels are what somebody chose before training. What is drawn for each member, a random gain say, is no label but an
array of the group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from dynatlas.names import UnknownNameError, named, nearest

if TYPE_CHECKING:
    from torch import Tensor

Label = str | int | float | bool
Record = dict[str, Label]
Labels = Iterable[Any]
"""Words, numbers (also numpy's and torch's), or records of them: mappings from a field to its word or number."""
SHOWN = 12
"""So many labels are listed in a message."""


class Members:
    """Named axes in their order, each with its labels; as many members as all combinations of these.

    `Members(seed=[100, 101], rate=[0.1, 0.3])` are four, the last axis varying fastest. Where conditions are no
    product, an axis has records for labels, and is selected by their fields:
    `Members(seed=[100], cell=[{"mode": "static", "n": 1.0}, {"mode": "late", "n": 5.0}])` answers `at(mode="late")`.
    """

    def __init__(self, /, **axes: Labels):
        """Raises ValueError naming the axis and the label for an axis that is empty, names a label twice or mixes words
        with records, and for two axes with one field; labels are words and numbers."""
        self._records = {axis: _records(axis, labels) for axis, labels in axes.items()}
        self._axis_of: dict[str, str] = {}
        for axis, records in self._records.items():
            for field in records[0]:
                if field in self._axis_of or (field != axis and field in self._records):
                    other = self._axis_of.get(field, field)
                    raise ValueError(f"members: field {field!r} of axis {axis!r} is also one of axis {other!r}")
                self._axis_of[field] = axis

    @property
    def axes(self) -> dict[str, list[Label | Record]]:
        """Axis -> its labels: words, numbers or records, as they were given."""
        return {
            axis: [record[axis] if tuple(record) == (axis,) else dict(record) for record in records]
            for axis, records in self._records.items()
        }

    @property
    def fields(self) -> tuple[str, ...]:
        """All that members can be selected by, beside whole records."""
        return tuple(self._axis_of)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(len(records) for records in self._records.values())

    @property
    def records(self) -> list[Record]:
        """What each member is, field by field, in the order of members."""
        return [
            {field: value for record in records for field, value in record.items()}
            for records in product(*self._records.values())
        ]

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and list(self.axes.items()) == list(other.axes.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Members({', '.join(f'{axis}={labels!r}' for axis, labels in self.axes.items())})"

    def in_words(self) -> str:
        """The axes and their lengths, as messages name them."""
        return "(" + ", ".join(f"{axis} {len(records)}" for axis, records in self._records.items()) + ")"

    def of(self, field: str) -> list[Label]:
        """This field of each member, in their order; UnknownNameError for another."""
        place = list(self._records).index(named(self._axis_of, field, "field of members"))
        outer, inner = math.prod(self.shape[:place]), math.prod(self.shape[place + 1 :])
        labels = [record[field] for record in self._records[self._axis_of[field]]]
        return [label for _ in range(outer) for label in labels for _ in range(inner)]

    def times(self, /, **axes: Labels) -> Members:
        """These members with further axes behind their own."""
        for axis in axes:
            if axis in self._records:
                raise ValueError(f"members: there is an axis {axis!r} already")
        return Members(**self.axes, **axes)

    def at(self, /, **wanted: Any) -> Members:
        """The members that have these labels.

        A single value takes its field away, and with its last field an axis goes; a list keeps both, in its own order.
        A whole record may be named by its axis.

        Raises UnknownNameError with the nearest word for a field or a label that there is not among these members, and
        ValueError for a list that is empty or names a label twice.
        """
        members = self
        for name, value in wanted.items():
            members = _narrowed(members, name, value)[1]
        return members

    def each(self, name: str) -> Iterator[tuple[Any, Members]]:
        """Each value of a field, or each label of an axis, and the members that have it."""
        for value in self.labels(name):
            yield value, self.at(**{name: value})

    def labels(self, name: str) -> list[Any]:
        """The labels of an axis, or the values of a field, each once; UnknownNameError for another name."""
        if name in self._records:
            return self.axes[name]
        named(self._axis_of, name, "axis or field of members")
        return list(dict.fromkeys(self.of(name)))

    def flat(self, x: Tensor) -> Tensor:
        """(axes ..., ...) -> (member, ...); one member without axes gets a leading axis."""
        _check_shape("the array", x, self)
        return x.reshape(len(self), *x.shape[len(self.shape) :])

    def split(self, x: Tensor, dim: int = 0) -> Tensor:
        """(..., member, ...) with the members at `dim` -> (..., axes ..., ...)."""
        if x.dim() <= dim or x.shape[dim] != len(self):
            raise ValueError(
                f"axis {dim} of an array {tuple(x.shape)} should have the {len(self)} members {self.in_words()}"
            )
        return x.reshape(*x.shape[:dim], *self.shape, *x.shape[dim + 1 :])

    def spread(self, x: Tensor, *axes: str) -> Tensor:
        """What is the same for all members that agree in these axes: (axes ..., ...) -> (member, ...).

        `members.spread(batch, "seed")` hands the batch of each seed to all its members.
        """
        some = Members(**{axis: self.axes[axis] for axis in self._records if axis in axes})
        if tuple(axes) != tuple(some._records):
            raise ValueError(
                f"spread over {', '.join(axes)}: wanted are some of these axes, in order: {self.in_words()}"
            )
        _check_shape("the array", x, some)
        rest = x.shape[len(axes) :]
        apart = x.reshape(*(len(of) if axis in axes else 1 for axis, of in self._records.items()), *rest)
        return apart.expand(*self.shape, *rest).reshape(len(self), *rest)

    def group(self, arrays: Mapping[str, Any]) -> Group:
        """A group of arrays with leading axis member, such as the parameters that `fit` gives."""
        return Group(self, {name: self.split(_tensor(array)) for name, array in arrays.items()})


class Group(Mapping[str, "Tensor"]):
    """Arrays of the same members by name; each has the members' axes first, in their order, then its own."""

    def __init__(self, members: Members, arrays: Mapping[str, Any]):
        """Raises ValueError naming the array whose leading axes are not those of the members."""
        self.members = members
        self._arrays = {name: _tensor(array) for name, array in arrays.items()}
        for name, array in self._arrays.items():
            _check_shape(f"array {name!r}", array, members)

    def __getitem__(self, name: str) -> Tensor:
        return named(self._arrays, name, "array of this group")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in self._arrays.items())
        return f"Group({self.members!r}: {shapes})"

    def at(self, /, **wanted: Any) -> Group:
        """The arrays of the members that have these labels, with these members; see `Members.at`."""
        members, arrays = self.members, self._arrays
        for name, value in wanted.items():
            places, narrowed = _narrowed(members, name, value)
            dim = list(members._records).index(members._axis_of.get(name, name))
            gone = len(narrowed.shape) < len(members.shape)
            arrays = {key: _taken(array, dim, places, gone) for key, array in arrays.items()}
            members = narrowed
        return Group(members, arrays)

    def each(self, name: str) -> Iterator[tuple[Any, Group]]:
        """Each value of a field, or each label of an axis, and the group of those that have it."""
        for value in self.members.labels(name):
            yield value, self.at(**{name: value})

    def flat(self) -> dict[str, Tensor]:
        """All arrays with one leading axis member, of length 1 for a single one: as models and `fit` take them."""
        return {name: self.members.flat(array) for name, array in self._arrays.items()}

    def only(self, *names: str) -> Group:
        """The group with these arrays alone."""
        return Group(self.members, {name: self[name] for name in names})

    def to(self, device: str) -> Group:
        """The group on another device."""
        return Group(self.members, {name: array.to(device) for name, array in self._arrays.items()})


def concatenate(groups: Sequence[Group], axis: str) -> Group:
    """Groups that differ in the labels of one axis alone, as one group.

    Raises ValueError where they differ in more: other axes, arrays, or shapes.
    """
    import torch

    first = groups[0]
    dim = list(first.members.axes).index(named({one: one for one in first.members.axes}, axis, "axis of members"))
    labels: list[Label | Record] = []
    for group in groups:
        axes = group.members.axes
        if list(axes) != list(first.members.axes) or axes | {axis: 0} != first.members.axes | {axis: 0}:
            raise ValueError(f"groups to be joined along {axis!r} differ in more: {group.members} and {first.members}")
        if set(group) != set(first):
            raise ValueError(f"groups to be joined hold other arrays: {', '.join(group)} and {', '.join(first)}")
        labels += axes[axis]
    arrays = {name: torch.cat([group[name] for group in groups], dim=dim) for name in first}
    return Group(Members(**(first.members.axes | {axis: labels})), arrays)


def stack(groups: Mapping[Any, Group], axis: str) -> Group:
    """Groups of the same members and arrays, by label, as one with a further axis; ValueError where they differ."""
    apart = []
    for label, group in groups.items():
        arrays = {name: array.unsqueeze(len(group.members.shape)) for name, array in group.items()}
        apart.append(Group(group.members.times(**{axis: [label]}), arrays))
    return concatenate(apart, axis)


def _records(axis: str, labels: Labels) -> tuple[Record, ...]:
    """The labels of an axis as records; a word or number is one of a single field, which bears the axis's name."""
    if isinstance(labels, str | Mapping):
        raise ValueError(f"members: axis {axis!r} is {labels!r}: wanted is a list of labels")
    records = tuple(
        {field: _label(field, value) for field, value in label.items()}
        if isinstance(label, Mapping)
        else {axis: _label(axis, label)}
        for label in labels
    )
    if not records or not all(records):
        raise ValueError(f"members: axis {axis!r} has no labels")
    seen = set()
    for record in records:
        if set(record) != set(records[0]):
            raise ValueError(f"members: axis {axis!r}: {record} and {records[0]} have other fields")
        label = tuple(record[field] for field in records[0])
        if label in seen:
            raise ValueError(f"members: axis {axis!r} has the label {', '.join(map(str, label))} twice")
        seen.add(label)
    return records


def _label(field: str, value: Any) -> Label:
    """A label in a plain type of Python's, whatever library it comes from."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if not isinstance(plain, str | int | float) or plain != plain:
        raise ValueError(f"members: {field}: {value!r} is no label: wanted is a word, a number, or a record of them")
    return plain


def _narrowed(members: Members, name: str, wanted: Any) -> tuple[list[int], Members]:
    """Places on its axis of the members with this value of a field (or with these), and these members."""
    axis = named(members._axis_of | {one: one for one in members._records}, name, "axis or field of members")
    records = members._records[axis]
    several = isinstance(wanted, list | tuple | range)
    if several and not len(wanted):
        raise ValueError(f"members: {name}: an empty list selects nobody")
    places: list[int] = []
    for value in wanted if several else [wanted]:
        found = [place for place, record in enumerate(records) if _meets(record, name, value)]
        if not found:
            known = [", ".join(f"{record[field]}" for field in _fields(name, value)) for record in records]
            shown = ", ".join(dict.fromkeys(known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
            raise UnknownNameError(f"no member has {name} {value!r}{nearest(str(value), known)} (there are: {shown})")
        places += found
    gone = () if several else _fields(name, wanted)
    left = [{field: value for field, value in records[place].items() if field not in gone} for place in places]
    axes: dict[str, Labels] = {**members.axes, axis: left}
    if not any(left):
        del axes[axis]
    return places, Members(**axes)


def _fields(name: str, wanted: Any) -> tuple[str, ...]:
    """The fields that a selection names: those of a whole record, or one."""
    return tuple(wanted) if isinstance(wanted, Mapping) else (name,)


def _meets(record: Record, name: str, wanted: Any) -> bool:
    wanted = wanted if isinstance(wanted, Mapping) else {name: wanted}
    return all(_same(named(record, field, "field"), _label(field, value)) for field, value in wanted.items())


def _same(label: Label, wanted: Label) -> bool:
    """1 and 1.0 are one label, 1 and True are not."""
    return isinstance(label, bool) == isinstance(wanted, bool) and label == wanted


def _taken(array: Tensor, dim: int, places: list[int], gone: bool) -> Tensor:
    """These places of an axis, without it where it is gone; in memory of its own, as a product's rounding may ask."""
    import torch

    part = array.select(dim, places[0]) if gone else array[(slice(None),) * dim + (places,)]
    return part.clone(memory_format=torch.contiguous_format)


def _tensor(array: Any) -> Tensor:
    """A tensor of what was given; numpy's is copied, since it may be read-only."""
    import numpy as np
    import torch

    return array.detach() if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array, order="C"))


def _check_shape(what: str, x: Tensor, members: Members) -> None:
    if tuple(x.shape[: len(members.shape)]) != members.shape:
        raise ValueError(f"{what} is {tuple(x.shape)}: its leading axes should be {members.in_words()}")
