"""Two small figures."""

import pandas as pd
from matplotlib.figure import Figure


def draw_errors(*, error: pd.DataFrame) -> Figure:
    """Error against rate."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(error["rate"], error["value"], "o")
    axes.set(xlabel="rate", ylabel="squared error", yscale="log")
    return figure


def draw_biases(*, bias: pd.DataFrame) -> Figure:
    """Mean target of each seed."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(bias["seed"], bias["value"], "o")
    axes.set(xlabel="seed", ylabel="mean target")
    return figure
