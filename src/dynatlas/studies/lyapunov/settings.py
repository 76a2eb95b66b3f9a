"""The numbers of the study: what each means, its unit, and what it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import (
    Ascending,
    Count,
    Index,
    Positive,
    Settings,
    Several,
    Share,
    Span,
    Switch,
    Word,
)

Cell = Annotated[Literal["rnn", "gru", "lstm"], Field(description="kind of the recurrent cells")]
Inputs = Annotated[
    Literal["unit", "recurrent"], Field(description="weights of the inputs: U(-1, 1), or as the recurrent ones")
]
Cells = Annotated[
    dict[Cell, Annotated[Count, Field(description="units")]], Field(min_length=1, description="units of each cell")
]
TextName = Annotated[Literal["primary", "longer"], Field(description="one of the texts")]
Bias = Annotated[Switch, Field(description="whether recurrences have biases")]
Configurations = Annotated[Count, Field(description="networks of each seed, with hyperparameters of their own")]
Window = Annotated[Count, Field(description="length of the windows that are learned from [symbols]")]
Batch = Annotated[Count, Field(description="windows an update")]
Steps = Annotated[Count, Field(description="updates")]
Snapshots = Annotated[Ascending[Index], Field(description="updates at which networks are kept")]
Early = Annotated[Index, Field(description="the snapshot from which final losses are foreseen [updates]")]
Validation = Annotated[Count, Field(description="windows of held-out text that the validation loss is taken on")]
Folder = Annotated[Word, Field(description="folder of the published grid")]
Digest = Annotated[Word, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the published data")]
BurnIn = Annotated[Index, Field(description="steps before exponents are taken [steps]")]
Length = Annotated[Count, Field(description="length of a sequence [steps]")]
Gain = Annotated[
    Positive, Field(description="standard deviation of the recurrent weights times the root of the number of units")
]
Gains = Annotated[Several[Gain], Field(description="gains of the networks, one network for each")]


Part = Annotated[Share, Field(gt=0, lt=1)]


class LagText(Settings):
    """A text made up: each symbol repeats that `lag` positions back, or is drawn."""

    kind: Literal["lag"]
    share: Part = Field(description="part of the text that is learned from")
    length: Count = Field(description="length of the text [symbols]")
    symbols: Annotated[Count, Field(ge=2)] = Field(description="different symbols")
    lag: Count = Field(description="how far back the symbol stands that decides [symbols]")
    keep: Share = Field(description="probability of repeating it")


class FileText(Settings):
    """A text that lies where the user puts it."""

    kind: Literal["file"]
    share: Part = Field(description="part of the text that is learned from")
    path: Word = Field(description="where it lies")
    size: Count = Field(description="size of the file [bytes]")
    sha256: Digest
    title: Word = Field(description="what it is called")
    source: Word = Field(description="where the user finds it")


Texts = Annotated[
    dict[TextName, Annotated[LagText | FileText, Field(discriminator="kind")]],
    Field(min_length=1, description="the texts, by name"),
]


class Ranges(Settings):
    """Ranges that the hyperparameters of each network are drawn from."""

    gain: Span[Positive] = Field(
        description="standard deviation of the recurrent weights times the root of the number of units, log-uniform"
    )
    learning_rate: Span[Positive] = Field(description="learning rate of Adam, log-uniform")
    dropout: Span[Share] = Field(description="share of the units that the readout does not see, uniform")


class Decay(Settings):
    """The learning rate is multiplied by a factor again and again."""

    start: Index = Field(description="update of the first time [updates]")
    every: Count = Field(description="updates between two times [updates]")
    factor: Annotated[Positive, Field(le=1)] = Field(description="what it is multiplied by")


class Sequences(Settings):
    """What spectra of trained networks are taken on."""

    sequences: Count = Field(description="sequences of held-out text")
    steps: Length
    burn_in: BurnIn


class Identities(Settings):
    """How much is computed for identities whose result is known."""

    units: Count = Field(description="units of the linear and scaled networks")
    linear_steps: Length
    linear_burn_in: BurnIn
    prefixes: Ascending[Count] = Field(description="lengths at which the sum rule is checked [steps]")
    orbits: Count = Field(description="orbits of the Hénon map and the Lorenz flow")
    henon_steps: Length
    lorenz_steps: Length
    dt: Positive = Field(description="time step of the Lorenz flow")


class Jacobians(Settings):
    """On which networks closed forms of Jacobians are compared with automatic ones."""

    units: Count = Field(description="units of a layer")
    steps: Length
    layers: Several[Count] = Field(description="numbers of layers")


class Gradients(Settings):
    """Tanh networks that never learned, along which vectors are propagated back."""

    units: Count = Field(description="units")
    gains: Gains
    steps: Length
    skip: Index = Field(description="steps that are not counted [steps]")


class Lengths(Settings):
    """Over how many steps exponents settle."""

    gains: Gains
    lengths: Ascending[Count] = Field(description="lengths of the sequences [steps]")
    sequences: Count = Field(description="sequences of each length")
    burn_in: BurnIn
    shown: Ascending[Count] = Field(description="exponents that are followed, 1 the largest")


class Shares(Settings):
    """On how many sequences exponents of how many networks are compared."""

    gains: Gains
    sequences: Count = Field(description="sequences that each network reads")
    steps: Length
    burn_in: BurnIn


class Starts(Settings):
    """Networks whose weights are all drawn alike."""

    spreads: Several[Positive] = Field(description="bounds p of the weights, uniform in ±p")
    steps: Length
    burn_in: BurnIn
