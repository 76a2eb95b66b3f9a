"""Networks for images: which one a declaration asks for, and inputs in the form that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from dynatlas.models.convnet import ConvNet, ResNet
from dynatlas.studies.dimensionality.problems import Problem


def image_network(problem: Problem, sizes: Mapping[str, Any]) -> Callable[[], ConvNet | ResNet]:
    """What builds the network: a plain one where `sizes` has `channels`, a residual one where it has `widths`.

    The other entries of `sizes` are keyword arguments of `ConvNet` or `ResNet`. ValueError where inputs are no images.
    """
    if problem.shape is None:
        raise ValueError("convolutional networks need images, as digits or cifar10 are")
    inputs, classes = problem.shape[0], problem.classes
    if "channels" in sizes:
        return lambda: ConvNet(inputs, classes=classes, **sizes)
    return lambda: ResNet(inputs, classes=classes, **sizes)


def as_images(problem: Problem, x: Tensor) -> Tensor:
    """Flat inputs (..., pixel) as (..., channel, row, column)."""
    return x.unflatten(-1, problem.shape)
