"""The numbers of the study: what each means, its unit, and what it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import Ascending, Count, Index, Positive, Settings, Several, Word

Network = Literal["trained", "shuffled", "longer", "untrained", "second untrained"]
Networks = Annotated[Several[Network], Field(description="networks that are looked at")]
Labels = Annotated[
    dict[Network, Literal["own", "shuffled"]], Field(min_length=1, description="labels that each network learns")
]
Draws = Annotated[
    dict[Network, Word], Field(min_length=1, description="networks that do not learn, and their random streams")
]
Blank = Annotated[Index, Field(description="empty rows between an image and the answer [rows]")]
Units = Annotated[Count, Field(description="recurrent units")]
Epochs = Annotated[Count, Field(description="passes through the training images")]
Batch = Annotated[Count, Field(description="images an update")]
Rate = Annotated[Positive, Field(description="learning rate of Adam")]
Times = Annotated[Ascending[Count], Field(description="when states are looked at [rows read]")]
TimesOf = Annotated[dict[Network, Times], Field(min_length=1, description="when each network is probed [rows read]")]
Lengths = Annotated[
    dict[Network, Count], Field(min_length=1, description="when each network learned to answer [rows read]")
]
Probed = Annotated[Count, Field(description="training images that probes learn on")]
Alpha = Annotated[Positive, Field(description="penalty of the linear probe")]
Neighbours = Annotated[Count, Field(description="neighbours of the probe that looks at the nearest")]
Last = Annotated[Count, Field(description="the last step at which readouts are asked [rows read]")]
Points = Annotated[Count, Field(description="held-out images whose states are looked at")]
Trials = Annotated[Count, Field(description="images after which the free dynamics is followed")]
Settle = Annotated[Count, Field(description="steps without input before it is looked at [steps]")]
Steps = Annotated[Count, Field(description="steps without input on which it is looked at [steps]")]
Exponents = Annotated[Count, Field(description="leading Lyapunov exponents")]
Sequences = Annotated[Count, Field(description="trajectories that exponents and dimensions are the mean of")]
Perplexity = Annotated[Positive, Field(description="perplexity of t-SNE")]


class ImageNumbers(Settings):
    """Which images are read, and how many."""

    source: Literal["digits", "mnist"] = Field(description="digits that ship with the project, or MNIST")
    train: Count = Field(description="training images")
    test: Count | None = Field(default=None, description="held-out images; default: all that are left")
