"""One small figure."""

import pandas as pd
from matplotlib.figure import Figure


def draw_losses(*, loss: pd.DataFrame) -> Figure:
    """Final loss against rate."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(loss["rate"], loss["value"], "o")
    axes.set(xlabel="rate", ylabel="loss")
    return figure
