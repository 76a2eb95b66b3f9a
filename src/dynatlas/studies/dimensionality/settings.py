"""The numbers of the study: what each means, its unit, and what it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import Ascending, Count, Index, NonNegative, Positive, Settings, Several, Share

Data = Annotated[
    Literal["digits", "manifold", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100"],
    Field(description="what is learned"),
]
DataSets = Annotated[Several[Data], Field(description="sets whose inputs are looked at")]
Activation = Annotated[
    Literal["relu", "tanh", "sigmoid", "softplus", "identity"], Field(description="nonlinearity of the hidden units")
]
Arm = Literal["trained", "identity", "tanh"]
Arms = Annotated[
    dict[Data, Annotated[dict[Arm, Activation], Field(min_length=1)]],
    Field(min_length=1, description="networks on each data set, and the nonlinearity of each"),
]
Width = Annotated[Count, Field(description="units of each hidden layer")]
Depth = Annotated[Count, Field(description="hidden layers")]
Batch = Annotated[Count, Field(description="examples an update")]
Batches = Annotated[Several[Count], Field(description="numbers of examples an update")]
Steps = Annotated[Count, Field(description="updates")]
Snapshots = Annotated[Ascending[Index], Field(description="updates at which networks are kept")]
LearningRate = Annotated[Positive, Field(description="learning rate of plain gradient descent")]
LearningRates = Annotated[Several[Positive], Field(description="learning rates")]
NoiseLevels = Annotated[
    Several[NonNegative], Field(description="standard deviations of the noise on weights at which gradients are taken")
]
Examples = Annotated[Count, Field(description="training examples")]
Sizes = Annotated[Several[Count], Field(description="numbers of training examples")]
Fractions = Annotated[Several[Share], Field(description="shares of the labels that are drawn anew")]
Kind = Annotated[Literal["plain", "residual"], Field(description="convolutional network, without or with shortcuts")]
Inputs = Annotated[Count, Field(description="inputs of the linear network")]
Units = Annotated[Count, Field(description="hidden units of the linear network")]
Outputs = Annotated[Count, Field(description="outputs of the linear network")]
Estimator = Literal["mle", "twonn", "local_participation_ratio", "participation_ratio"]
Estimators = Annotated[Several[Estimator], Field(description="estimators of dimension")]
Sigmas = Annotated[
    Several[Positive], Field(description="standard deviations of the noise whose effect on the loss is predicted")
]
Error = Annotated[Positive, Field(description="wanted standard error of what is drawn, over what is predicted")]
Pairs = Annotated[Count, Field(description="at least so many antithetic pairs of draws")]
Manifolds = Annotated[
    Several[Literal["gaussian", "cube", "sphere", "swiss_roll"]], Field(description="manifolds of known dimension")
]
Dimensions = Annotated[Several[Annotated[Count, Field(ge=2)]], Field(description="dimensions of the manifolds")]
Points = Annotated[Several[Count], Field(description="numbers of points on a manifold")]


class Plain(Settings):
    """A convolutional network without shortcuts."""

    channels: Annotated[list[Count], Field(min_length=1)] = Field(description="channels of each stage")
    strides: list[Count] = Field(default=[], description="stride of each stage; default: 1, then 2 each")


class Residual(Settings):
    """A residual network."""

    widths: Annotated[list[Count], Field(min_length=1)] = Field(description="channels of each group of blocks")
    blocks: Count = Field(description="blocks of a group")


class ImageSizes(Settings):
    """The convolutional networks."""

    plain: Plain
    residual: Residual


class ReluNoise(Settings):
    """Noise on the weights of a ReLU network."""

    sigmas: Sigmas
    pairs: Pairs
    examples: Examples
    probes: Count = Field(description="random vectors from which traces are estimated")
