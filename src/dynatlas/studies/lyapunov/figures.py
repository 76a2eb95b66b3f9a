"""The seven figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynatlas.figures.marks import seed_band, summarise
from dynatlas.figures.palette import COLOURS, NEUTRAL, ArmStyle, arm_styles
from dynatlas.figures.style import arm_legend, house_style, letter_panels, new_panels, reference_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"rnn": "tanh", "gru": "GRU", "lstm": "LSTM"}
STYLES = arm_styles(list(NAMES))
SHOWN = 6
"""Networks whose spectra are drawn in colour, spread over the gains."""

LEADING = 10
"""Exponents that are drawn once more, at a scale of their own."""
TEXT = "primary"


def _rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows in which every named column has the wanted value."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def _cells(table: pd.DataFrame) -> list[str]:
    """The cells that a table holds, in the order of `NAMES`."""
    return [cell for cell in NAMES if cell in set(table["cell"])]


def _wide(networks: pd.DataFrame, cell: str) -> pd.DataFrame:
    """One row for each network, one column for each metric."""
    own = _rows(networks, cell=cell, text=TEXT)
    return own.pivot_table(index=["seed", "configuration"], columns="metric", values="value").reset_index()


@house_style()
def draw_spectra(*, spectra: pd.DataFrame) -> Figure:
    """F1: all spectra after training in grey, below their leading exponents; in colour, some networks of one seed."""
    cells = _cells(spectra)
    figure, panels = new_panels(2, len(cells), width=2, height=4.4)
    for (above, below), cell in zip(panels.T, cells, strict=True):
        own = _rows(spectra, cell=cell, text=TEXT)
        last = _rows(own, metric="exponent", step=own["step"].max())
        wide = last.pivot_table(index="order", columns=["seed", "configuration"], values="value")
        seed = last["seed"].min()
        gains = _rows(own, metric="gain", seed=seed).set_index("configuration")["value"].sort_values()
        chosen = gains.iloc[np.linspace(0, len(gains) - 1, min(SHOWN, len(gains))).round().astype(int)]
        for axes, shown in ((above, wide), (below, wide.head(LEADING))):
            axes.plot(shown.index, shown.to_numpy(), color=NEUTRAL, linewidth=0.3, alpha=0.25)
            for network, colour in zip(chosen.index, COLOURS, strict=False):
                axes.plot(shown.index, shown[seed, network], color=colour)
            axes.set(xlabel="order", ylabel="exponent (nats a step)")
        above.set_title(NAMES[cell])
    letter_panels(panels)
    looks = {f"gain {gain:.2g}": ArmStyle(colour, "", (0, ())) for gain, colour in zip(chosen, COLOURS, strict=False)}
    arm_legend(figure, looks)
    return figure


@house_style()
def draw_losses(*, networks: pd.DataFrame) -> Figure:
    """F2: final loss against lambda_1 and against the mean exponent, early and at the end; colour is the gain."""
    cells = _cells(networks)
    figure, panels = new_panels(2, 2 * len(cells), width=2, height=3.8)
    for column, cell in enumerate(cells):
        own = _wide(networks, cell)
        for row, when in enumerate(("early", "end")):
            pair = panels[row, 2 * column : 2 * column + 2]
            for axes, summary, label in zip(pair, ("lambda_1", "mean"), ("λ₁", "mean λ"), strict=True):
                points = axes.scatter(
                    own[f"{when}_{summary}"], own["final_loss"], c=np.log10(own["gain"]), s=5, linewidths=0,
                    vmin=-1, vmax=math.log10(3.5),
                )  # fmt: skip
                axes.set_xlabel(f"{label}, {when}")
                axes.locator_params(axis="x", nbins=3)
                axes.tick_params(axis="x", labelrotation=40)
            pair[0].sharey(pair[1])
            pair[1].tick_params(labelleft=False)
            pair[0].set_ylabel("final loss (nats)")
        panels[0, 2 * column].set_title(NAMES[cell])
    bar = figure.colorbar(points, ax=list(panels.flat), shrink=0.6, aspect=30)
    bar.set_ticks([-1, -0.5, 0, 0.5], labels=["0.1", "0.32", "1", "3.2"])
    bar.set_label("gain")
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
            axes.plot(ends, ends, color=NEUTRAL, linewidth=0.8, linestyle=(0, (4, 2)))
            scores = _rows(readouts, cell=cell, text=TEXT, losses="own", reader=reader)
            shown = [f"{name} {_rows(scores, metric=key)['value'].mean():.2f}" for key, name in
                     (("r2", "R²"), ("spearman", "ρ"))]  # fmt: skip
            axes.set_title(f"{NAMES[cell]}: {', '.join(shown)}")
            axes.set_ylabel(f"foreseen from\n{reader} (nats)")
            axes.set_xlabel("final loss (nats a symbol)")
    letter_panels(panels)
    return figure


@house_style()
def draw_lengths(*, lengths: pd.DataFrame) -> Figure:
    """F4: running estimates of some exponents, and the spread of lambda_1 over sequences, against the length."""
    cells = _cells(lengths)
    figure, panels = new_panels(1, len(cells) + 1, width=2, height=2.6)
    for axes, cell in zip(panels[0], cells, strict=False):
        running = _rows(lengths, cell=cell, metric="running")
        orders = sorted(running["order"].unique())
        looks = arm_styles([str(order) for order in orders])
        for order in orders:
            seed_band(axes, running[running["order"] == order], x="steps", style=looks[str(order)])
        axes.set(title=f"{NAMES[cell]}, gain {running['gain'].iloc[0]:g}", xlabel="length T (steps)")
        axes.set_ylabel("exponent (nats a step)")
        arm_legend(axes, looks, title="order", title_fontsize=7, ncols=2)
        axes.set_ylim(running["value"].quantile(0.01) - 0.3, running["value"].max() + 0.45 * np.ptp(running["value"]))
    axes = panels[0, -1]
    for cell in cells:
        spread = _rows(lengths, cell=cell, metric="spread").groupby(["seed", "steps"])["value"].mean().reset_index()
        _log_band(axes, spread, x="steps", style=STYLES[cell])
    line = summarise(spread, ["steps"]).sort_values("steps")
    axes.plot(line["steps"], line["mean"].iloc[0] * (line["steps"] / line["steps"].iloc[0]) ** -0.5, color=NEUTRAL,
              linewidth=0.8, linestyle=(0, (4, 2)))  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="length T (steps)", ylabel="s.d. of λ₁ (nats a step)")
    for axis, ticks in ((axes.xaxis, line["steps"].tolist()), (axes.yaxis, [0.01, 0.02, 0.05])):
        axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    arm_legend(axes, {NAMES[cell]: STYLES[cell] for cell in cells})
    letter_panels(panels)
    return figure


def _log_band(axes: Axes, table: pd.DataFrame, *, x: str, style: ArmStyle) -> None:
    """Geometric mean over seeds with the t interval taken on logarithms."""
    line = summarise(table.assign(value=np.log(table["value"])), [x]).sort_values(x)
    axes.fill_between(line[x], np.exp(line["low"]), np.exp(line["high"]), color=style.color, alpha=0.18, linewidth=0)
    axes.plot(line[x], np.exp(line["mean"]), **style.line)


@house_style()
def draw_course(*, spectra: pd.DataFrame) -> Figure:
    """F5: spectra along training, of the first seed's networks of smallest, middle and largest gain."""
    cells = _cells(spectra)
    figure, panels = new_panels(len(cells), 3, width=2, height=1.5 * len(cells) + 0.5)
    for row, cell in enumerate(cells):
        own = _rows(spectra, cell=cell, text=TEXT)
        own = own[own["seed"] == own["seed"].min()]
        gains = _rows(own, metric="gain").set_index("configuration")["value"].sort_values()
        exponents = _rows(own, metric="exponent")
        low, high = exponents["value"].quantile([0.02, 0.99])
        for axes, network in zip(panels[row], gains.index[[0, len(gains) // 2, -1]], strict=True):
            matrix = exponents[exponents["configuration"] == network].pivot_table(
                index="order", columns="step", values="value"
            )
            edges = np.arange(len(matrix.columns) + 1), np.arange(len(matrix) + 1) + 0.5
            image = axes.pcolormesh(*edges, matrix.to_numpy(), vmin=low, vmax=high)
            axes.set_xticks(np.arange(len(matrix.columns)) + 0.5, matrix.columns.tolist())
            axes.tick_params(axis="x", labelrotation=60)
            axes.invert_yaxis()
            axes.set_title(f"{NAMES[cell]}, gain {gains[network]:.2g}")
        figure.colorbar(image, ax=list(panels[row]), label="nats a step", aspect=12)
    figure.supxlabel("updates", fontsize=8)
    figure.supylabel("order", fontsize=8)
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
    axes.plot(ends, ends, color=NEUTRAL, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set(xlabel="λ₁ (nats a step)", ylabel="growth rate of gradients (nats a step)")
    figure.colorbar(points, ax=axes, label="gain")
    looks = arm_styles(["lambda_1", "lambda_2"])
    for name, style in looks.items():
        error = _rows(gradients, metric="error", against=name)
        seed_band(panels[0, 1], error, x="gain", style=style)
    reference_line(panels[0, 1], 0.02, label="margin")
    panels[0, 1].set(xlabel="gain", ylabel="|rate - exponent| (nats a step)", ylim=(0, None))
    arm_legend(panels[0, 1], {"λ₁": looks["lambda_1"], "λ₂": looks["lambda_2"]})
    letter_panels(panels)
    return figure


@house_style()
def draw_starts(*, starts: pd.DataFrame) -> Figure:
    """F7: exponents before training against the spread p of all weights, for the three cells."""
    figure, panels = new_panels(1, 2, width=2, height=2.6)
    titles = {"largest": "largest exponent", "smallest": "N-th exponent"}
    for axes, (metric, title) in zip(panels.flat, titles.items(), strict=True):
        for cell in _cells(starts):
            seed_band(axes, _rows(starts, cell=cell, metric=metric), x="spread", style=STYLES[cell])
        reference_line(axes, -math.log(2), label="log ½")
        axes.set(xscale="log", xlabel="p: all weights are U(-p, p)", title=title, ylabel="nats a step")
    letter_panels(panels)
    arm_legend(figure, {NAMES[cell]: STYLES[cell] for cell in _cells(starts)})
    return figure
