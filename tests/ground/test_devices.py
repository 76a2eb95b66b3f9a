"""What holds tensors, on another device: torch's `meta`, which every machine has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from dynatlas.devices import moved
from dynatlas.members import Group, Members


class Pair(NamedTuple):
    left: torch.Tensor
    right: str


@dataclass(frozen=True)
class Held:
    x: torch.Tensor
    parts: dict[str, list[torch.Tensor]]
    pair: Pair
    name: str = "held"
    nothing: None = None


def held() -> Held:
    x = torch.arange(6.0).view(2, 3)
    return Held(x, {"a": [x[0], x.mT]}, Pair(x.long(), "word"))


def test_tensors_move_wherever_they_are_and_the_rest_stays():
    found = moved(held(), "meta")
    tensors = [found.x, *found.parts["a"], found.pair.left]
    assert [one.device.type for one in tensors] == ["meta"] * 4
    assert [tuple(one.shape) for one in tensors] == [(2, 3), (3,), (3, 2), (2, 3)]
    assert tensors[-1].dtype == torch.int64
    assert (found.pair.right, found.name, found.nothing) == ("word", "held", None)
    assert type(found.pair) is Pair
    assert isinstance(moved((held().x, 3), "meta"), tuple)


def test_what_is_there_already_is_the_same_tensor():
    before = held()
    after = moved(before, "cpu")
    assert after.x is before.x
    assert after.parts["a"][1] is before.parts["a"][1]
    assert moved("word", "meta") == "word"
    assert moved(None, "meta") is None
    assert moved(Held, "meta") is Held


def test_a_group_moves_with_its_members():
    group = Group(Members(seed=[0, 1]), {"w": torch.zeros(2, 3)})
    found = moved({"networks": group}, "meta")["networks"]
    assert found["w"].device.type == "meta"
    assert found.members == group.members
