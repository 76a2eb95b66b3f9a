"""The seven figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dynatlas.figures.marks import points_with_interval, seed_bands
from dynatlas.figures.palette import ArmStyle, arm_styles, without_markers
from dynatlas.figures.style import REFERENCE, arm_legend, house_style, letter_panels, new_panels, reference_line
from dynatlas.figures.tables import arm_values, rows_where

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LENGTH = 28
"""T: the step at which networks learn to answer."""
CHANCE = 0.1
STYLES = arm_styles(["trained", "untrained", "longer", "shuffled"])
LINES = without_markers({name: STYLES[name] for name in ("trained", "untrained")})
READERS = arm_styles(["readout", "linear probe", "10-NN"])
DYNAMICS = arm_styles(["trained", "initial", "none", "identity", "shuffled"])
DIGITS = {name: style.color for name, style in arm_styles([str(digit) for digit in range(10)]).items()}
INKED: dict[str, Any] = {"color": "#dfe2e6", "alpha": 0.6, "linewidth": 0}
"""Shade of the steps at which ink comes in."""


def _rows_with_ink(axes: Axes, examples: pd.DataFrame) -> None:
    """Shade the steps at which ink comes in, and mark T; the legend of `_line_legend` says so."""
    ink = rows_where(examples, shown="rows", metric="ink")
    inked = ink.loc[ink["value"] > ink["value"].max() / 100, "time"]
    axes.axvspan(inked.min() - 0.5, inked.max() + 0.5, **INKED, zorder=0)
    reference_line(axes, LENGTH, label="T", across="x", written=False)


def _line_legend(figure: Figure, styles: dict[str, ArmStyle], *, reference: str = "T") -> None:
    """Lines without markers (there are too many steps), the dashed reference lines, and the shade."""
    arm_legend(figure, styles, others={reference: REFERENCE}, patches={"rows with ink": INKED})


@house_style()
def draw_accuracy(*, accuracy: pd.DataFrame, examples: pd.DataFrame) -> Figure:
    """F1: what three readers read from the states, trained and untrained, along time."""
    figure, panels = new_panels(1, 2, width=2, height=2.7, sharex=True, sharey=True)
    lines = without_markers(READERS)
    for axes, name in zip(panels.flat, ("trained", "untrained"), strict=True):
        _rows_with_ink(axes, examples)
        seed_bands(axes, rows_where(accuracy, network=name), "reader", x="time", styles=lines)
        reference_line(axes, CHANCE, label="chance", written=False)
        axes.set(title=name, xlabel="rows read", ylim=(0, 1.02))
    panels[0, 0].set_ylabel("held-out accuracy")
    letter_panels(panels)
    _line_legend(figure, lines, reference="T (upright), chance (level)")
    return figure


@house_style()
def draw_embeddings(*, examples: pd.DataFrame) -> Figure:
    """F2: held-out states of one trained network in their first two principal components, each drawn as its digit."""
    return _planes(rows_where(examples, shown="states", network="trained"), ("pc1", "pc2"), "component")


@house_style()
def draw_neighbourhoods(*, embeddings: pd.DataFrame) -> Figure:
    """F2, by t-SNE: the same states with neighbours kept together."""
    return _planes(embeddings, ("tsne1", "tsne2"), "t-SNE")


def _planes(states: pd.DataFrame, axis: tuple[str, str], label: str) -> Figure:
    """States in the plane, a panel a time, each drawn as its digit."""
    figure, panels = new_panels(2, 3, width=2, height=4.6)
    for axes, (time, own) in zip(panels.flat, states.groupby("time"), strict=True):
        points = own.pivot_table(index=["item", "label"], columns="metric", values="value").reset_index()
        for digit, colour in DIGITS.items():
            cloud = points[points["label"] == int(digit)]
            axes.plot(cloud[axis[0]], cloud[axis[1]], linestyle="none", marker=f"${digit}$", color=colour,
                      markersize=3.6, markeredgewidth=0)  # fmt: skip
        axes.set(title=f"{time} rows read")
    letter_panels(panels)
    figure.supxlabel(f"{label} 1", fontsize=8)
    figure.supylabel(f"{label} 2", fontsize=8)
    return figure


@house_style()
def draw_geometry(*, geometry: pd.DataFrame, examples: pd.DataFrame) -> Figure:
    """F3: dimension, separation of classes and speed of the states along time, trained and untrained."""
    shown = {
        "participation_ratio": ("dimension, all images", "participation ratio"),
        "within_participation_ratio": ("dimension within classes", "participation ratio"),
        "twonn": ("local dimension", "two-NN dimension"),
        "scatter_ratio": ("separation of classes", "scatter between / within"),
        "speed": ("speed", "|h(t+1) - h(t)|"),
        "angle": ("class means to readout", "mean angle (degrees)"),
    }
    figure, panels = new_panels(2, 3, width=2, height=4.3, sharex=True)
    for axes, (metric, (title, label)) in zip(panels.flat, shown.items(), strict=True):
        _rows_with_ink(axes, examples)
        seed_bands(axes, rows_where(geometry, metric=metric), "network", x="time", styles=LINES)
        axes.set(title=title, ylabel=label)
        axes.set_ylim(bottom=0)
    figure.supxlabel("rows read", fontsize=8)
    letter_panels(panels)
    _line_legend(figure, LINES)
    return figure


@house_style()
def draw_swaps(*, swaps: pd.DataFrame) -> Figure:
    """F4: accuracy at T when four updates are made by other dynamics."""
    figure, panels = new_panels(1, 2, width=2, height=2.6, sharey=True)
    titles = {"last": "in updates 25 to 28 (blank rows)", "first": "in updates 1 to 4 (control)"}
    for axes, (window, title) in zip(panels.flat, titles.items(), strict=True):
        groups = arm_values(rows_where(swaps, window=window), "dynamics", DYNAMICS)
        points_with_interval(axes, groups, styles=DYNAMICS)
        reference_line(axes, CHANCE, label="chance", written=False)
        axes.set(title=title, ylim=(0, 1.02))
    panels[0, 0].set_ylabel("accuracy at T")
    letter_panels(panels)
    arm_legend(figure, {}, others={"chance": REFERENCE})
    return figure


@house_style()
def draw_lengths(*, readouts: pd.DataFrame) -> Figure:
    """F5: accuracy of the readout against blank rows appended or removed, for two trained lengths."""
    figure, panels = new_panels(1, 2, width=2, height=2.6, sharey=True)
    lengths = {"trained": "answers at 28", "longer": "answers at 36"}
    styles = without_markers({name: STYLES[name] for name in lengths})
    for axes, metric, title in zip(
        panels.flat, ("accuracy", "permuted_accuracy"), ("as they are", "after the best renaming"), strict=True
    ):
        own = rows_where(readouts, metric=metric)
        own = own.assign(blank=own["time"] - LENGTH)
        seed_bands(axes, own[own["blank"] >= -12], "network", x="blank", styles=styles)
        for appended in (0, 8):
            reference_line(axes, appended, label="trained length", across="x", written=False)
        reference_line(axes, CHANCE, label="chance", written=False)
        axes.set(title=f"answers {title}", xlabel="blank rows appended (removed below 0)", ylim=(0, 1.02))
    panels[0, 0].set_ylabel("accuracy of the readout")
    letter_panels(panels)
    arm_legend(figure, styles, names=lengths, others={"trained length (upright), chance (level)": REFERENCE})
    return figure


@house_style()
def draw_dynamics(*, dynamics: pd.DataFrame, examples: pd.DataFrame) -> Figure:
    """F6: eigenvalues before and after learning, a free trajectory, Lyapunov exponents, radius and activity."""
    figure, panels = new_panels(2, 3, width=2, height=4.6)
    _eigenvalues(panels[0, 0], rows_where(examples, shown="eigenvalues"))
    path = rows_where(examples, shown="trajectory", network="trained").pivot_table(
        index="time", columns="metric", values="value"
    )
    for axes, (x, y) in zip(panels[0, 1:], (("pc1", "pc2"), ("pc1", "pc3")), strict=True):
        axes.plot(path[x], path[y], color=STYLES["trained"].color, linewidth=0.4, alpha=0.6)
        axes.plot(path[x], path[y], ".", color=STYLES["trained"].color, markersize=2, markeredgewidth=0)
        axes.set(xlabel=f"component {x[-1]}", ylabel=f"component {y[-1]}", title="one trajectory after T")
    exponents = rows_where(dynamics, metric="lyapunov")
    shown = seed_bands(panels[1, 0], exponents, "network", x="order", styles=STYLES)
    reference_line(panels[1, 0], 0, label="zero", written=False)
    panels[1, 0].set(title="Lyapunov spectrum", xlabel="order", ylabel="exponent (nats a step)")
    for axes, metric, label in (
        (panels[1, 1], "spectral_radius", "spectral radius of W"),
        (panels[1, 2], "activity", "activity |h| long after T"),
    ):
        groups = arm_values(rows_where(dynamics, metric=metric), "network", STYLES)
        points_with_interval(axes, groups, styles=STYLES)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", labelrotation=30)
    letter_panels(panels)
    arm_legend(figure, shown, others={"unit circle, zero": REFERENCE})
    return figure


def _eigenvalues(axes: Axes, rows: pd.DataFrame) -> None:
    wide = rows.pivot_table(index=["network", "item"], columns="metric", values="value")
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    axes.plot(circle.real, circle.imag, **REFERENCE)
    for name in ("untrained", "trained"):
        own, style = wide.loc[name], STYLES[name]
        axes.plot(own["real"], own["imaginary"], linestyle="none", marker=style.marker, color=style.color, markersize=3)
    axes.set(xlabel="real part", ylabel="imaginary part", title="eigenvalues of W", aspect="equal")


@house_style()
def draw_alignment(*, geometry: pd.DataFrame, examples: pd.DataFrame) -> Figure:
    """F7: the share of the class means' spread that the readout sees, along time."""
    figure, panels = new_panels(height=2.6)
    axes = panels[0, 0]
    _rows_with_ink(axes, examples)
    seed_bands(axes, rows_where(geometry, metric="alignment"), "network", x="time", styles=LINES)
    axes.set(xlabel="rows read", ylabel="alignment with the readout", ylim=(0, 1.02))
    _line_legend(figure, LINES)
    return figure
