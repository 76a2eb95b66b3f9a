"""The numbers of the study: what each means, its unit, and what it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import Count, Index, NonNegative, Positive, Real, Settings, Several, Span, Switch

Task = Annotated[Literal["digits", "copy", "text", "characters"], Field(description="what is learned")]
TaskNames = Annotated[Several[Task], Field(description="tasks")]
Mode = Literal["static", "homogeneous", "heterogeneous", "frozen", "late homogeneous", "late heterogeneous"]
GridName = Annotated[Literal["starts", "adaptive", "fine", "relu", "few"], Field(description="one of the grids")]
GridNames = Annotated[Several[GridName], Field(description="grids, by name")]
Cells = Annotated[dict[Mode, GridNames], Field(min_length=1, description="grids of starts in each mode of learning")]
Ratio = Annotated[NonNegative, Field(description="learning rate of gain and saturation over that of the weights")]
Together = Annotated[Index, Field(description="networks that go through a batch at once; 0 for all of them")]
Units = Annotated[Count, Field(description="recurrent units")]
Gain = Annotated[Positive, Field(description="gain n of the activation")]
Saturation = Annotated[Real, Field(description="saturation s of the activation")]
Updates = Annotated[Count, Field(description="updates")]
Batch = Annotated[Count, Field(description="sequences an update")]
Rate = Annotated[Positive, Field(description="learning rate of Adam")]
Update = Annotated[Index, Field(description="the update at which shapes are compared [updates]")]
Curves = Annotated[
    Several[Annotated[list[Real], Field(min_length=2, max_length=2)]],
    Field(description="gain n and saturation s of the curves that are drawn"),
]
Limit = Annotated[Positive, Field(description="curves are drawn from minus to plus this input")]
CurvePoints = Annotated[Count, Field(description="points of a curve")]
GainSpan = Annotated[Span[Gain], Field(description="gains that slopes are drawn for")]
CellCount = Annotated[Count, Field(description="gains, and saturations, that slopes are drawn for")]
Sequences = Annotated[Count, Field(description="held-out sequences that exponents are taken on")]
BurnIn = Annotated[Index, Field(description="steps before exponents are taken [steps]")]
NormSteps = Annotated[Count, Field(description="steps that norms of Jacobians are the mean of [steps]")]
Every = Annotated[Count, Field(description="updates between two looks at held-out data")]
Held = Annotated[Count, Field(description="held-out sequences")]
Symbols = Annotated[Count, Field(ge=2, description="different symbols")]


class Grid(Settings):
    """All pairs of these gains and saturations."""

    n: Several[Gain] = Field(description="gains n")
    s: Several[Saturation] = Field(description="saturations s")


Grids = Annotated[dict[GridName, Grid], Field(min_length=1, description="grids of starts (n, s), by name")]


class Images(Settings):
    """Images that are read pixel by pixel, in an order of their own."""

    source: Literal["digits", "mnist", "fashion_mnist", "kmnist"] = Field(description="which images")
    train: Count = Field(description="training images")
    test: Count = Field(description="held-out images")
    pixels_per_step: Count = Field(description="pixels that are read at once")


class PixelData(Images):
    """Images, and how many are read for an update."""

    batch: Batch


class CopyData(Settings):
    """Symbols that are said again after a delay."""

    delay: Count = Field(description="empty steps before the answer [steps]")
    count: Count = Field(description="symbols to be said again")
    symbols: Symbols
    batch: Batch
    test: Held
    scalar: Switch = Field(default=False, description="whether a symbol is one number, not one input of its own")


class TextData(Settings):
    """A text whose symbols repeat."""

    steps: Count = Field(description="length of a window [symbols]")
    symbols: Symbols
    lag: Count = Field(description="how far back the symbol stands that decides [symbols]")
    length: Count = Field(description="length of the text [symbols]")
    batch: Batch
    test: Held


class CharacterData(Settings):
    """A published text."""

    name: Literal["ptb"] = Field(description="which text")
    steps: Count = Field(description="length of a window [characters]")
    batch: Batch
    test: Held


class Training(Settings):
    """How the networks of a task learn."""

    units: Units
    updates: Updates
    learning_rate: Rate
    every: Every


class PixelTask(Training):
    """Naming images."""

    data: PixelData


class CopyTask(Training):
    """Copying symbols."""

    data: CopyData


class TextTask(Training):
    """Foreseeing a text that is made up."""

    data: TextData


class CharacterTask(Training):
    """Foreseeing a published text."""

    data: CharacterData


class Tasks(Settings):
    """The numbers of each task that is learned at a scale."""

    digits: PixelTask | None = None
    copy_: CopyTask | None = Field(default=None, alias="copy")
    text: TextTask | None = None
    characters: CharacterTask | None = None


class Plainly(Settings):
    """Inputs that are changed without a number."""

    kind: Literal["ramp", "half-sine"]


class Offset(Settings):
    """Inputs plus a number."""

    kind: Literal["offset"]
    size: Real = Field(description="what is added")


class Gained(Settings):
    """Inputs times a number."""

    kind: Literal["gain"]
    factor: Positive = Field(description="what they are multiplied by")


class Noise(Settings):
    """Inputs plus noise."""

    kind: Literal["noise"]
    sd: Positive = Field(description="standard deviation of the noise")


class Drift(Settings):
    """Inputs plus a slow wave."""

    kind: Literal["slow-drift"]
    amplitude: Positive = Field(description="amplitude of the wave")


class Step(Settings):
    """Inputs plus a step."""

    kind: Literal["step"]
    amplitude: Positive = Field(description="height of the step")
    position: Index = Field(description="where it begins [steps]")
    length: Count = Field(description="how long it lasts [steps]")


Change = Annotated[Plainly | Offset | Gained | Noise | Drift | Step, Field(discriminator="kind")]
ChangeName = Literal[
    "ramp", "half-sine", "offset +.3", "offset -.3", "gain .5", "gain 2", "noise .2", "slow drift", "step"
]
ChangesByName = Annotated[dict[ChangeName, Change], Field(min_length=1, description="changes of the inputs, by name")]


class Information(Settings):
    """How the information of inputs and states is estimated."""

    samples: Count = Field(description="sequences that it is estimated from")
    components: Count = Field(description="principal components of the state")
    k: Count = Field(description="neighbours of the estimator")
