"""The seven figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from dynatlas.figures.marks import beyond, printed, seed_bands, time_map
from dynatlas.figures.palette import NEUTRAL, arm_styles, ordered_styles
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)
from dynatlas.figures.tables import log_summary, rows_where, seed_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"rnn": "tanh", "gru": "GRU", "lstm": "LSTM"}
STYLES = arm_styles(list(NAMES))
SHOWN = 6
"""Networks whose spectra are drawn in colour, spread over the gains."""

LEADING = 10
"""Exponents that are drawn once more, at a scale of their own."""
TEXT = "primary"
EVERY = {"color": NEUTRAL, "linewidth": 0.3}
SUMMARIES = {"lambda_1": "λ₁", "mean": "mean λ"}


def _cells(table: pd.DataFrame) -> list[str]:
    """The cells that a table holds, in the order of `NAMES`."""
    return [cell for cell in NAMES if cell in set(table["cell"])]


def _wide(networks: pd.DataFrame, cell: str) -> pd.DataFrame:
    """One row for each network, one column for each metric."""
    own = rows_where(networks, cell=cell, text=TEXT)
    return own.pivot_table(index=["seed", "configuration"], columns="metric", values="value").reset_index()


@house_style()
def draw_spectra(*, spectra: pd.DataFrame) -> Figure:
    """F1: all spectra after training in grey, below their leading exponents; in colour, some networks of one seed."""
    cells = _cells(spectra)
    figure, panels = new_panels(2, len(cells), width=2, height=4.4)
    for (above, below), cell in zip(panels.T, cells, strict=True):
        own = rows_where(spectra, cell=cell, text=TEXT)
        last = rows_where(own, metric="exponent", step=own["step"].max())
        wide = last.pivot_table(index="order", columns=["seed", "configuration"], values="value")
        seed = last["seed"].min()
        gains = rows_where(own, metric="gain", seed=seed).set_index("configuration")["value"].sort_values()
        chosen = gains.iloc[np.linspace(0, len(gains) - 1, min(SHOWN, len(gains))).round().astype(int)]
        looks = ordered_styles(chosen.tolist())
        for axes, shown in ((above, wide), (below, wide.head(LEADING))):
            axes.plot(shown.index, shown.to_numpy(), **EVERY, alpha=0.25)
            for network, style in zip(chosen.index, looks.values(), strict=True):
                axes.plot(shown.index, shown[seed, network], **style.line, markevery=max(len(shown) // 8, 1))
            axes.set(xlabel="order", ylabel="exponent (nats a step)")
        above.set_title(NAMES[cell])
        below.set_title(f"{NAMES[cell]}, leading {len(wide.head(LEADING))}")
    letter_panels(panels)
    arm_legend(figure, looks, names="gain {:.3g}", others={"all networks": EVERY}, ncols=4)
    return figure


@house_style()
def draw_losses(*, networks: pd.DataFrame) -> Figure:
    """F2: final loss against lambda_1 and the mean exponent, early and at the end of training; colour is the gain."""
    cells = _cells(networks)
    shown = [(when, summary) for summary in SUMMARIES for when in ("early", "end")]
    figure, panels = new_panels(len(shown), len(cells), width=2, height=1.6 * len(shown) + 0.2, sharey="col")
    gains = rows_where(networks, metric="gain", text=TEXT)["value"]
    for column, cell in zip(panels.T, cells, strict=True):
        own = _wide(networks, cell)
        for axes, (when, summary) in zip(column, shown, strict=True):
            x, y = own[f"{when}_{summary}"], own["final_loss"]
            points = axes.scatter(x, y, c=own["gain"], s=6, linewidths=0, norm=LogNorm(gains.min(), gains.max()))
            axes.set(xlabel=f"{SUMMARIES[summary]}, {when} (nats a step)", title=NAMES[cell])
    figure.supylabel("final validation loss (nats)", fontsize=8)
    letter_panels(panels)
    bar = figure.colorbar(
        points, ax=list(panels.flat), shrink=0.5, aspect=40, label="gain of initial recurrent weights"
    )
    log_axis(bar.ax, "y")
    return figure


@house_style()
def draw_foreseen(*, networks: pd.DataFrame, readouts: pd.DataFrame) -> Figure:
    """F3: final losses against those foreseen from early exponents (above) and from the early loss (below)."""
    cells = _cells(networks)
    figure, panels = new_panels(2, len(cells), width=2, height=4.4)
    readers = {"foreseen_by_spectrum": "early spectrum", "foreseen_by_loss": "early loss"}
    for row, (metric, reader) in enumerate(readers.items()):
        for axes, cell in zip(panels[row], cells, strict=True):
            own = _wide(networks, cell)
            style = STYLES[cell]
            axes.plot(own["final_loss"], own[metric], linestyle="none", marker=style.marker, color=style.color,
                      markersize=2.6, markeredgewidth=0, alpha=0.6)  # fmt: skip
            ends = [own[[metric, "final_loss"]].min().min(), own[[metric, "final_loss"]].max().max()]
            axes.plot(ends, ends, **REFERENCE)
            scores = rows_where(readouts, cell=cell, text=TEXT, losses="own", reader=reader)
            shown = [_score(name, rows_where(scores, metric=key)) for key, name in (("r2", "R²"), ("spearman", "ρ"))]
            axes.set_title("\n".join([NAMES[cell], *shown]))
            axes.set_ylabel(f"foreseen from\n{reader} (nats)")
            axes.set_xlabel("final loss (nats a symbol)")
    letter_panels(panels)
    arm_legend(figure, {}, others={"foreseen = final": REFERENCE})
    return figure


def _score(name: str, rows: pd.DataFrame) -> str:
    """Mean over held-out seeds with its interval, in words."""
    interval = seed_interval(rows["value"].to_numpy())
    mean, low, high = (printed(value, ".2f") for value in (interval.mean, interval.low, interval.high))
    return f"{name} {mean} [{low}, {high}]"


@house_style()
def draw_lengths(*, lengths: pd.DataFrame) -> Figure:
    """F4: running estimates of some exponents, and the spread of lambda_1 over sequences, against the length."""
    cells = _cells(lengths)
    figure, panels = new_panels(1, len(cells) + 1, width=2, height=2.8)
    running = rows_where(lengths, metric="running")
    looks = ordered_styles(sorted(set(running["order"])))
    for axes, cell in zip(panels[0], cells, strict=False):
        own = rows_where(running, cell=cell)
        seed_bands(axes, own, "order", x="steps", styles=looks)
        axes.set(title=f"{NAMES[cell]}, gain {own['gain'].iloc[0]:g}", xlabel="length T (steps)")
        axes.set_ylabel("exponent (nats a step)")
    axes = panels[0, -1]
    spread = rows_where(lengths, metric="spread").groupby(["cell", "seed", "steps"])["value"].mean().reset_index()
    shown = seed_bands(axes, spread, "cell", x="steps", styles=STYLES, log=True)
    line = log_summary(rows_where(spread, cell=cells[-1]), ["steps"]).sort_values("steps")
    axes.plot(line["steps"], line["mean"].iloc[0] * (line["steps"] / line["steps"].iloc[0]) ** -0.5, **REFERENCE)
    axes.set(xlabel="length T (steps)", ylabel="s.d. of λ₁ (nats a step)", title="spread over sequences")
    log_axis(axes, "x")
    log_axis(axes, "y")
    arm_legend(axes, shown, names=NAMES, others={"T to the -1/2": REFERENCE})
    letter_panels(panels)
    arm_legend(figure, looks, names="order {}")
    return figure


@house_style()
def draw_course(*, spectra: pd.DataFrame) -> Figure:
    """F5: spectra along training, of the first seed's networks of smallest, middle and largest gain."""
    cells = _cells(spectra)
    figure, panels = new_panels(len(cells), 3, width=2, height=1.5 * len(cells) + 0.5)
    for row, cell in enumerate(cells):
        own = rows_where(spectra, cell=cell, text=TEXT)
        own = own[own["seed"] == own["seed"].min()]
        gains = rows_where(own, metric="gain").set_index("configuration")["value"].sort_values()
        exponents = rows_where(own, metric="exponent")
        low, high = exponents["value"].quantile([0.02, 0.99])
        for axes, network in zip(panels[row], gains.index[[0, len(gains) // 2, -1]], strict=True):
            one = rows_where(exponents, configuration=network)
            matrix = one.pivot_table(index="order", columns="step", values="value")
            image = time_map(axes, matrix, limits=(low, high))
            log_axis(axes, linear_below=float(matrix.columns[1]))
            axes.set_title(f"{NAMES[cell]}, gain {gains[network]:.2g}")
        extend = beyond(exponents["value"].to_numpy(), low, high)
        figure.colorbar(image, ax=list(panels[row]), label="nats a step", aspect=12, extend=extend)
    figure.supxlabel("updates", fontsize=8)
    figure.supylabel("order", fontsize=8)
    letter_panels(panels)
    return figure


@house_style()
def draw_gradients(*, gradients: pd.DataFrame) -> Figure:
    """F6: growth rate of back-propagated vectors against lambda_1, a point a network, and their difference."""
    figure, panels = new_panels(1, 2, width=2, height=2.6)
    wide = gradients[gradients["metric"].isin(["slope", "lambda_1", "lambda_2"])].pivot_table(
        index=["seed", "gain"], columns="metric", values="value"
    )
    wide = wide.reset_index()
    axes = panels[0, 0]
    points = axes.scatter(wide["lambda_1"], wide["slope"], c=wide["gain"], s=8, linewidths=0)
    ends = [wide["slope"].min(), wide["slope"].max()]
    axes.plot(ends, ends, **REFERENCE, zorder=3)
    arm_legend(axes, {}, others={"rate = λ₁": REFERENCE}, loc="upper left")
    axes.set(xlabel="λ₁ (nats a step)", ylabel="growth rate (nats a step)")
    figure.colorbar(points, ax=axes, label="gain")
    errors, names = rows_where(gradients, metric="error"), {"lambda_1": "λ₁", "lambda_2": "λ₂"}
    looks = seed_bands(panels[0, 1], errors, "against", x="gain", styles=arm_styles(list(names)))
    reference_line(panels[0, 1], 0.02, label="margin", written=False)
    panels[0, 1].set(xlabel="gain", ylabel="|rate - exponent| (nats a step)", ylim=(0, None))
    arm_legend(panels[0, 1], looks, names=names, others={"margin": REFERENCE})
    letter_panels(panels)
    return figure


@house_style()
def draw_starts(*, starts: pd.DataFrame) -> Figure:
    """F7: exponents before training against the spread p of all weights, for the three cells."""
    figure, panels = new_panels(1, 2, width=2, height=2.6)
    titles = {"largest": "largest exponent", "smallest": "N-th exponent"}
    for axes, (metric, title) in zip(panels.flat, titles.items(), strict=True):
        shown = seed_bands(axes, rows_where(starts, metric=metric), "cell", x="spread", styles=STYLES)
        reference_line(axes, -math.log(2), label="log ½", written=False)
        axes.set(xlabel="p: all weights are U(-p, p)", title=title, ylabel="nats a step")
        log_axis(axes)
    letter_panels(panels)
    arm_legend(figure, shown, names=NAMES, others={"log ½": REFERENCE})
    return figure
