"""The numbers of the study: what each means, its unit, and what it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import Count, NonNegative, Positive, PositiveOrInfinite, Settings, Several, Word

Task = Literal["DelayPro", "DelayAnti", "MemPro", "MemAnti", "MemDm1", "MemDm2", "CtxMemDm1", "CtxMemDm2", "MultiMem"]
Strategy = Literal["MP", "MPu", "DP", "SEP", "JOINT", "GP", "SEQ", "MR", "RES", "MR2", "RES2"]
Timing = Annotated[Literal["quick", "lineage"], Field(description="ranges of all intervals of a trial")]
Part = Annotated[Literal["noise", "damage"], Field(description="one half of the perturbations")]
NoiseFamily = Literal["input-noise", "transition-noise", "activity-noise", "longer-delay"]
DamageFamily = Literal[
    "absolute-weight-noise", "relative-weight-noise", "unit-silencing", "connection-silencing", "localised-lesion"
]

Strategies = Annotated[Several[Strategy], Field(description="strategies")]
Modular = Annotated[
    Several[Literal["MP", "MPu"]], Field(description="modules whose inputs are masked (MP) or not (MPu)")
]
Tasks = Annotated[Several[Task], Field(description="tasks")]
Units = Annotated[Count, Field(description="units of a module, or of a network")]
Steps = Annotated[Count, Field(description="updates")]
DenseSteps = Annotated[
    dict[Literal["DP", "DP-short"], Steps], Field(min_length=1, description="updates of each dense network")
]
Trials = Annotated[Count, Field(description="trials of a step, of each task where several are learned")]
LearningRate = Annotated[Positive, Field(description="learning rate of Adam")]
Interval = Annotated[Count, Field(description="updates between two looks at the accuracy")]
Gain = Annotated[Positive, Field(description="gain of the orthogonal recurrent weights")]
Draws = Annotated[
    dict[str, Word], Field(min_length=1, description="suffix of a reservoir's name, and its random stream")
]
Penalty = Annotated[NonNegative, Field(description="penalty of the ridge readouts")]
Projections = Annotated[
    dict[Literal["SEQ", "GP", "GP-0.01", "GP-0.001"], PositiveOrInfinite],
    Field(min_length=1, description="alpha of the projection of updates, of each strategy; infinite, plain learning"),
]
Magnitudes = Annotated[Several[Positive], Field(description="sizes of a perturbation, in the unit of its family")]
Sizes = Annotated[
    Several[Annotated[list[Count], Field(min_length=2, max_length=2)]],
    Field(description="modules and units of networks whose parameters are counted"),
]


class Setting(Settings):
    """What all strategies share."""

    timing: Timing
    dt: Positive = Field(description="time step [ms]")
    sigma_x: NonNegative = Field(description="standard deviation of the noise on inputs")
    sigma_rec: NonNegative = Field(description="standard deviation of the noise on states")
    evaluation_trials: Count = Field(description="trials that the accuracy is taken on")


class Families(Settings):
    """The perturbations, and how large each is made."""

    noise: Annotated[dict[NoiseFamily, Magnitudes], Field(min_length=1)] = Field(
        description="noise on what networks see and do"
    )
    damage: Annotated[dict[DamageFamily, Magnitudes], Field(min_length=1)] = Field(
        description="damage to weights and units"
    )
