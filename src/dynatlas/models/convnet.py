"""Convolutional networks for images as ordinary modules: a plain one, and residual networks (ResNet-18 by default).

Ensembles of them are made by `dynatlas.ensemble.modules`. Each has `layers(x)`, what every stage gives after its
nonlinearity, then the logits; `forward(x)` is the last of these. Batch norm has no running statistics: it takes those
of the batch at hand, in training and after it, so that a module has no state but its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def initialised(build: Callable[[], Network], generator: torch.Generator) -> Network:
    """What `build` gives, with weights N(0, 2 / fan-in) (He et al. 2015) from `generator`, biases 0, norm scales 1.

    The module is built without memory first, so that torch's global generator is left alone.
    """
    with torch.device("meta"):
        module = build()
    module = module.to_empty(device=generator.device)
    for part in module.modules():
        for name, tensor in part.named_parameters(recurse=False):
            if name == "bias":
                nn.init.zeros_(tensor)
            elif tensor.dim() == 1:
                nn.init.ones_(tensor)
            else:
                nn.init.kaiming_normal_(tensor, nonlinearity="relu", generator=generator)
    return module


class ConvNet(nn.Module):
    """3 x 3 convolutions with ReLU, one a stage, the mean over places, and a linear readout.

    The first stage keeps the resolution, `strides` are those of all stages (by default 1, then 2). `norm` is "batch" or
    "none".
    """

    def __init__(
        self, inputs: int, channels: Sequence[int], classes: int, *, strides: Sequence[int] = (), norm: str = "none"
    ):
        super().__init__()
        strides = strides or (1, *(2 for _ in channels[1:]))
        if not channels or len(strides) != len(channels):
            raise ValueError(f"channels = {channels}, strides = {strides}: wanted are as many of both, at least one")
        sizes = zip((inputs, *channels[:-1]), channels, strides, strict=True)
        self.stages = nn.ModuleList(_convolution(*size, norm=norm) for size in sizes)
        self.readout = nn.Linear(channels[-1], classes)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Each stage after its ReLU, then the logits; x and stages (example, channel, row, column)."""
        return _through(self.stages, self.readout, x)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (example, class)."""
        return self.layers(x)[-1]


class ResidualBlock(nn.Module):
    """relu(x + f(x)) with two 3 x 3 convolutions in f; a 1 x 1 convolution on x where the shape changes.

    He et al. 2016 (Deep residual learning for image recognition), basic block.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, norm: str = "batch"):
        super().__init__()
        self.first = _convolution(inputs, outputs, stride, norm=norm)
        self.second = _convolution(outputs, outputs, 1, norm=norm, relu=False)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, stride, norm=norm, size=1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(example, channel, row, column) -> (example, output channel, row / stride, column / stride)."""
        return torch.relu(self.shortcut(x) + self.second(self.first(x)))


class ResNet(nn.Module):
    """A convolution that keeps the resolution, residual blocks, the mean over places, and a linear readout.

    `widths` are the channels of the groups of `blocks` blocks; every group but the first halves the resolution. The
    default is ResNet-18 as it is used on images of 32 x 32 pixels (first kernel 3 x 3, no pooling).
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: int = 2,
        norm: str = "batch",
    ):
        super().__init__()
        stages: list[nn.Module] = [_convolution(inputs, widths[0], 1, norm=norm)]
        before = widths[0]
        for group, width in enumerate(widths):
            for block in range(blocks):
                stages.append(ResidualBlock(before, width, 2 if group and not block else 1, norm=norm))
                before = width
        self.stages = nn.ModuleList(stages)
        self.readout = nn.Linear(before, classes)

    def layers(self, x: Tensor) -> list[Tensor]:
        """First convolution and each block after its ReLU (example, channel, row, column), then the logits."""
        return _through(self.stages, self.readout, x)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (example, class) of x (example, channel, row, column)."""
        return self.layers(x)[-1]


def convolutional_network(inputs: int, classes: int, **sizes: Any) -> ConvNet | ResNet:
    """A `ConvNet` where `channels` are among the sizes, else a `ResNet`; `sizes` are what either takes."""
    return (ConvNet if "channels" in sizes else ResNet)(inputs, classes=classes, **sizes)


def _through(stages: nn.ModuleList, readout: nn.Linear, x: Tensor) -> list[Tensor]:
    found = []
    for stage in stages:
        x = stage(x)
        found.append(x)
    return [*found, readout(x.mean(dim=(-2, -1)))]


def _convolution(
    inputs: int, outputs: int, stride: int, *, norm: str, size: int = 3, relu: bool = True
) -> nn.Sequential:
    """A convolution that keeps the resolution at stride 1, normalised or with a bias, and a ReLU."""
    if norm not in ("batch", "none"):
        raise ValueError(f"norm = {norm!r}: wanted is 'batch' or 'none'")
    parts: list[nn.Module] = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=norm == "none")]
    parts += [nn.BatchNorm2d(outputs, track_running_stats=False)] if norm == "batch" else []
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))
