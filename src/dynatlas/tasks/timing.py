"""How long the parts of a trial last, and how strong its stimuli are: ranges of uniform draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dynatlas.names import named


@dataclass(frozen=True)
class Timing:
    """Ranges (low, high) of the uniform draws: milliseconds, half open; strengths without unit.

    The defaults are those of the papers that these tasks come from (Yang et al. 2019, as Duncker et al. 2020 and Marton
    et al. 2021 take them over). A range with low = high is a fixed value.
    """

    onset_one: tuple[float, float] = (300, 700)
    """Onset of the stimulus in one-stimulus tasks."""
    onset_two: tuple[float, float] = (200, 600)
    """Onset of the first of two stimuli."""
    hold: tuple[float, float] = (500, 1500)
    """Delay tasks: from onset to go."""
    stimulus: tuple[float, float] = (200, 600)
    """How long a stimulus lasts that goes off."""
    gap: tuple[float, float] = (200, 1600)
    """The memory gap: between the two stimuli, or from the only one to go."""
    delay: tuple[float, float] = (100, 300)
    """From the second stimulus to go."""
    response: tuple[float, float] = (300, 700)
    grace: float = 100
    """Not scored: this long after the trial's start and after go."""
    mean: tuple[float, float] = (0.8, 1.2)
    contrast: tuple[float, float] = (0.005, 0.8)
    imbalance: tuple[float, float] = (0.005, 0.8)
    """MultiMem: relative difference between the modalities of one stimulus."""

    def with_gap(self, gap: float) -> Timing:
        """The same with the memory gap of the seven tasks that have one fixed at `gap` ms ("longer delay")."""
        return replace(self, gap=(gap, gap))

    def steps(self, dt: float) -> int:
        """Steps of the longest trial that can be drawn: what every batch is padded to."""
        delay = (self.onset_one, self.hold, self.response)
        memory = (self.onset_one, self.stimulus, self.gap, self.response)
        decision = (self.onset_two, self.stimulus, self.gap, self.stimulus, self.delay, self.response)
        return max(sum(_longest(part, dt) for part in parts) for parts in (delay, memory, decision))


LINEAGE_TIMING = Timing()
QUICK_TIMING = Timing(
    onset_one=(100, 400),
    onset_two=(100, 400),
    hold=(500, 1600),
    stimulus=(200, 500),
    gap=(100, 600),
    delay=(100, 300),
    response=(300, 400),
    contrast=(0.1, 0.8),
)
"""At dt = 100 ms whole steps: onset 1-3, lasts 2-4, gap 1-5, delay 1-2, response 3, hold 5-15; 21 steps in all."""
TIMINGS = {"lineage": LINEAGE_TIMING, "quick": QUICK_TIMING}


def timing_named(name: str) -> Timing:
    """The timing of that name; ValueError with the nearest name."""
    return named(TIMINGS, name, "timing")


def _longest(span: tuple[float, float], dt: float) -> int:
    """Most steps that a draw from the half-open range can have."""
    low, high = span
    return int(low // dt) if low == high else math.ceil(high / dt) - 1
