"""The parameters of all members as one buffer (member, P), and the tree of tensors that views it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Params = dict[str, Tensor]
Memory = dict[str, Tensor]
"""What an optimiser, a method or a watch keeps from step to step: tensors with leading axis member, by name."""


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a tree lies in a member's row of the flat buffer."""

    members: int
    shapes: Mapping[str, tuple[int, ...]]
    """Of each tensor, without the member axis, in the order of the buffer."""
    dtype: torch.dtype
    """Of the tensors. The buffer has it too, but for half precision, which is added up in float32."""

    @classmethod
    def of(cls, tree: Mapping[str, Tensor]) -> Layout:
        """The layout of a tree of tensors with leading axis member.

        Raises ValueError for an empty tree, tensors that are not of real numbers, and where they disagree on members,
        dtype or device.
        """
        if not tree:
            raise ValueError("there are no parameters to train")
        first_name, first = next(iter(tree.items()))
        for name, tensor in tree.items():
            same = tensor.dim() > 0 and tensor.shape[0] == first.shape[0]
            if not same or tensor.dtype != first.dtype or tensor.device != first.device:
                what = [f"{tuple(t.shape)} {t.dtype} on {t.device}" for t in (tensor, first)]
                raise ValueError(
                    f"parameter {name!r} is {what[0]}, but {first_name!r} is {what[1]}; "
                    "all need the same members, dtype and device"
                )
        if not first.is_floating_point():
            raise ValueError(
                f"parameter {first_name!r} is {first.dtype}, wanted are real numbers: leave what does not learn out of "
                "`trainable`, and give a complex tensor as two real ones (torch.view_as_real)"
            )
        return cls(first.shape[0], {name: tuple(tensor.shape[1:]) for name, tensor in tree.items()}, first.dtype)

    @property
    def size(self) -> int:
        """P, the number of scalars of one member."""
        return sum(_count(shape) for shape in self.shapes.values())

    def pack(self, tree: Mapping[str, Tensor]) -> Tensor:
        """The tree as one new contiguous buffer (member, P), in float32 at least."""
        flat = torch.cat([tree[name].reshape(self.members, -1) for name in self.shapes], dim=1)
        return flat.to(torch.promote_types(flat.dtype, torch.float32))

    def unpack(self, flat: Tensor) -> Params:
        """The tree as views of `flat` (member, P), in its type."""
        parts = flat.split([_count(shape) for shape in self.shapes.values()], dim=1)
        return {
            name: part.view(flat.shape[0], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def copies_of(tree: Mapping[str, Tensor], count: int) -> Params:
    """The same tree with `count` copies of each member, side by side: (member x copy, ...), as new tensors."""
    return {name: tensor.repeat_interleave(count, dim=0) for name, tensor in tree.items()}


def select_members(tree: Mapping[str, Tensor], index: Tensor | slice | list[int]) -> Params:
    """The same tree with only these members, as new tensors."""
    return {name: tensor[index].clone() for name, tensor in tree.items()}
