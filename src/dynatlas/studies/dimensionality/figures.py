"""The figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import NullFormatter

from dynatlas.figures.marks import heat_map, seed_band, summarise
from dynatlas.figures.palette import ArmStyle, arm_styles
from dynatlas.figures.style import arm_legend, house_style, letter_panels, new_panels, reference_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

ARMS = arm_styles(["trained", "untrained", "identity", "tanh"])
ESTIMATORS = arm_styles(["maximum likelihood", "participation ratio", "two-NN", "local participation ratio"])
PLACES = arm_styles(["first hidden layer", "middle", "last"])
LATENTS = arm_styles(["relevant, trained", "nuisance, trained", "relevant, untrained", "nuisance, untrained"])
FORMULAS = arm_styles(["exact", "second order", "Hessian", "Gauss-Newton"])
WHOLE = -1
"""In the column `layer`: of the whole network."""
LEVELS = arm_styles([f"level {place}" for place in range(8)])
"""For conditions along an axis (batch sizes, noise), in its order."""
TITLES = {
    "mle": "maximum likelihood",
    "twonn": "two-NN",
    "participation_ratio": "participation ratio",
    "local_participation_ratio": "local participation ratio",
}
DATA = {"digits": "digits", "manifold": "synthetic", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR-10"}


def _rows(table: DataFrame, **wanted: object) -> DataFrame:
    """The rows in which every named column has the wanted value."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


CONDITIONS = ("data", "network", "arm", "stream", "batch", "rate", "sigma", "fraction")


def _whole(table: DataFrame) -> DataFrame:
    """Without the conditions in which a network was lost (see `layer_rows`): the mean of the others would flatter.

    Raises ValueError where none is left.
    """
    lost = (table["metric"] == "lost") & (table["value"] > 0.5)  # 0 or 1
    within = [table[name] for name in CONDITIONS if name in table]
    left = table[~lost.groupby(within, dropna=False).transform("any")]
    if left.empty:
        raise ValueError("nothing to draw: in every condition a network diverged or died; lower the learning rate")
    return left


Levels = dict[float, tuple[str, ArmStyle]]


def _levels(values: Sequence[float]) -> Levels:
    """Legend entry and look of each condition along an axis."""
    pairs = zip(sorted(set(values)), LEVELS.values(), strict=False)
    return {value: (f"{value:g}", style) for value, style in pairs}


def _legend_beside(axes: Axes, styles: dict[str, ArmStyle], title: str | None = None) -> None:
    """A legend right of a panel, where no line runs."""
    arm_legend(axes, styles, title=title, loc="upper left", bbox_to_anchor=(0.98, 1), borderpad=0, handlelength=1.8)


def _name_layers(axes: Axes, table: DataFrame) -> None:
    last = int(table["layer"].max())
    names = ["inputs", *(str(layer) for layer in range(1, last)), "logits"]
    axes.set_xticks(range(last + 1), names)
    axes.tick_params(axis="x", labelrotation=60 if last > 7 else 0)
    axes.set_xlabel("layer")


def _profiles(axes: Axes, table: DataFrame, column: str, title: str) -> Levels:
    """Values along layers for each condition in `column`, whose looks are returned."""
    levels = _levels(table[column].tolist())
    for value, (_, style) in levels.items():
        seed_band(axes, _rows(table, **{column: value}), x="layer", style=style)
    _name_layers(axes, table)
    _legend_beside(axes, dict(levels.values()), title)
    return levels


@house_style()
def draw_profiles(*, layers: DataFrame) -> Figure:
    """F1: local and global dimension along the layers, trained and untrained."""
    layers = _whole(layers)
    sets = list(layers["data"].unique())
    figure, panels = new_panels(len(sets), 3, width=2, height=2.3 * len(sets) + 0.4)
    shown: dict[str, ArmStyle] = {}
    for row, data in zip(panels, sets, strict=True):
        for axes, metric in zip(row, ("mle", "twonn", "participation_ratio"), strict=True):
            own = _rows(layers, data=data, metric=metric)
            for arm, lines in own.groupby("arm", sort=False):
                shown[str(arm)] = ARMS[str(arm)]
                seed_band(axes, lines, x="layer", style=ARMS[str(arm)])
            _name_layers(axes, own)
            axes.set_title(f"{DATA[data]}, {TITLES[metric]}")
    figure.supylabel("dimension", fontsize=8)
    arm_legend(figure, shown)
    letter_panels(panels)
    return figure


@house_style()
def draw_images(*, image_layers: DataFrame) -> Figure:
    """F1 for images: dimension along plain and residual convolutional networks, trained and untrained."""
    image_layers = _whole(image_layers)
    rows = _rows(image_layers, batch=image_layers["batch"].min())
    cases = rows[["data", "network"]].drop_duplicates().to_numpy().tolist()
    figure, panels = new_panels(len(cases), 2, width=2, height=2.3 * len(cases) + 0.4)
    shown = {arm: ARMS[arm] for arm in ("trained", "untrained")}
    for row, (data, network) in zip(panels, cases, strict=True):
        for axes, metric in zip(row, ("mle", "participation_ratio"), strict=True):
            own = _rows(rows, data=data, network=network, metric=metric)
            for arm, style in shown.items():
                seed_band(axes, _rows(own, arm=arm), x="layer", style=style)
            _name_layers(axes, own)
            axes.set_title(f"{DATA[data]}, {network}, {TITLES[metric]}")
    figure.supylabel("dimension", fontsize=8)
    arm_legend(figure, shown)
    letter_panels(panels)
    return figure


@house_style()
def draw_noise(*, noisy: DataFrame) -> Figure:
    """F2: profiles for batch sizes and weight noise, and the last hidden layer against learning rate over batch."""
    noisy = _whole(noisy)
    sets = list(noisy["data"].unique())
    figure, panels = new_panels(len(sets), 3, width=2, height=2.4 * len(sets))
    for row, data in zip(panels, sets, strict=True):
        first = _rows(noisy, data=data, stream="first")
        rate = first["rate"].iloc[0]  # the one that weight noise goes with
        local = _rows(first, metric="mle", rate=rate)
        batches = _rows(local, sigma=0)
        _profiles(row[0], batches, "batch", "batch")
        weights = _rows(local, batch=local["batch"].max())
        _profiles(row[1], weights, "sigma", "noise")
        for axes in row[:2]:
            axes.set(ylabel="dimension (maximum likelihood)", title=DATA[data])
        row[2].set_title(DATA[data])
        _against_noise(row[2], _rows(first, sigma=0))
    letter_panels(panels)
    return figure


def _against_noise(axes: Axes, rows: DataFrame) -> None:
    """Local and global dimension of the last hidden layer against the scale of SGD noise, a line a learning rate."""
    rows = rows.assign(noise=rows["rate"] / rows["batch"])
    shown = {name: ESTIMATORS[TITLES[metric]] for name, metric in (("local", "mle"), ("global", "participation_ratio"))}
    for style, metric in zip(shown.values(), ("mle", "participation_ratio"), strict=True):
        for _, own in _rows(rows, metric=f"last_{metric}").groupby("rate"):
            seed_band(axes, own, x="noise", style=style)
    axes.set(xscale="log", xlabel="learning rate / batch", ylabel="dimension, last hidden layer")
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend_beside(axes, shown)


@house_style()
def draw_course(*, layers: DataFrame) -> Figure:
    """F3: dimension of three layers while the network learns."""
    layers = _whole(layers)
    sets = list(layers["data"].unique())
    figure, panels = new_panels(len(sets), 2, width=2, height=2.3 * len(sets) + 0.3)
    for row, data in zip(panels, sets, strict=True):
        for axes, metric in zip(row, ("mle", "participation_ratio"), strict=True):
            own = _rows(layers, data=data, metric=f"course_{metric}")
            for layer, style in zip(sorted(own["layer"].unique()), PLACES.values(), strict=True):
                seed_band(axes, _rows(own, layer=layer), x="step", style=style)
            first = sorted(own["step"].unique())[1]
            axes.set_xscale("symlog", linthresh=first, linscale=0.4)
            axes.set(xlabel="training step", title=f"{DATA[data]}, {TITLES[metric]}")
    figure.supylabel("dimension", fontsize=8)
    arm_legend(figure, PLACES)
    letter_panels(panels)
    return figure


@house_style()
def draw_labels(*, relabelled: DataFrame) -> Figure:
    """F4: profiles for shares of wrong labels, and dimension of the last hidden layer against test accuracy."""
    relabelled = _whole(relabelled)
    sets = list(relabelled["data"].unique())
    figure, panels = new_panels(len(sets), 3, width=2, height=2.6 * len(sets))
    for row, data in zip(panels, sets, strict=True):
        own = _rows(relabelled, data=data)
        local = _rows(own, metric="mle")
        levels = _profiles(row[0], local, "fraction", "share")
        row[0].set(ylabel="dimension (maximum likelihood)", title=DATA[data])
        whole = _rows(own, layer=WHOLE).pivot_table(index=["fraction", "seed"], columns="metric", values="value")
        for axes, metric in zip(row[1:], ("mle", "participation_ratio"), strict=True):
            for fraction, (_, style) in levels.items():
                points = whole.loc[fraction]
                axes.plot(points["test_accuracy"], points[f"last_{metric}"], **{**style.line, "linestyle": "none"})
            axes.set(xlabel="test accuracy", ylabel="dimension, last hidden layer", title=TITLES[metric])
    letter_panels(panels)
    return figure


@house_style()
def draw_linear(*, penalties: DataFrame) -> Figure:
    """F5: the linear network's hidden dimension and its penalty over the bound, along training."""
    figure, panels = new_panels(2, 2, width=2, height=4.6, sharex=True)
    full = penalties["batch"].max()
    kinds = (("weight noise", "sigma", _rows(penalties, batch=full)), ("batch", "batch", _rows(penalties, sigma=0)))
    names = {"participation_ratio": "participation ratio, hidden layer", "ratio": "penalty / lower bound"}
    for column, (label, axis, rows) in enumerate(kinds):
        levels = _levels(rows[axis].tolist())
        for axes, (metric, title) in zip(panels[:, column], names.items(), strict=True):
            own = _rows(rows, metric=f"course_{metric}")
            for value, (_, style) in levels.items():
                seed_band(axes, _rows(own, **{axis: value}), x="step", style=style)
            axes.set(ylabel=title, xlabel="training step")
            reference_line(axes, 3 if metric == "participation_ratio" else 1)
        _legend_beside(panels[0, column], dict(levels.values()), label)
    letter_panels(panels)
    return figure


@house_style()
def draw_averages(*, averages: DataFrame) -> Figure:
    """F6: what weight noise adds to the loss, drawn over predicted."""
    networks = list(averages["network"].unique())
    figure, panels = new_panels(1, len(networks), width=2, height=2.6)
    for axes, network in zip(panels[0], networks, strict=True):
        own = _rows(averages, network=network, metric="ratio")
        for formula in own["formula"].unique():
            seed_band(axes, _rows(own, formula=formula), x="sigma", style=FORMULAS[formula])
        reference_line(axes, 1)
        axes.set(xlabel="weight noise", ylabel="increase of the loss, drawn / formula", title=f"{network} network")
        arm_legend(axes, {name: FORMULAS[name] for name in own["formula"].unique()}, loc="upper left")
    letter_panels(panels)
    return figure


@house_style()
def draw_selection(*, layers: DataFrame, noisy: DataFrame) -> Figure:
    """F7: how well relevant and nuisance latent variables can be read from each layer; and under noise."""
    layers, noisy = _whole(layers), _whole(noisy)
    figure, panels = new_panels(1, 3, width=2, height=2.6, sharey=True)
    for name, style in LATENTS.items():
        metric, arm = name.split(", ")
        own = _rows(layers, metric=metric, arm=arm)
        seed_band(panels[0, 0], own, x="layer", style=style)
    _name_layers(panels[0, 0], own)
    arm_legend(panels[0, 0], LATENTS, loc="lower left")
    first = _rows(noisy, stream="first", rate=noisy["rate"].iloc[0])
    nuisance = _rows(first, metric="nuisance")
    batches, weights = _rows(nuisance, sigma=0), _rows(nuisance, batch=nuisance["batch"].max())
    _profiles(panels[0, 1], batches, "batch", "batch")
    _profiles(panels[0, 2], weights, "sigma", "noise")
    panels[0, 0].set(ylabel="held-out R² of latent variables", ylim=(0, 1.02))
    for axes in panels[0, 1:]:
        axes.set_title("nuisance")
    letter_panels(panels)
    return figure


@house_style()
def draw_estimators(*, estimators: DataFrame) -> Figure:
    """F8: what the estimators find on known manifolds, and their bias over points and dimension."""
    kinds = list(estimators["manifold"].unique())
    figure, panels = new_panels(2, max(len(kinds), 2), width=2, height=4.6)
    most = _rows(estimators, points=estimators["points"].max())
    for axes, kind in zip(panels[0], kinds, strict=False):
        own = _rows(most, manifold=kind)
        for metric, title in TITLES.items():
            seed_band(axes, _rows(own, metric=metric), x="dimension", style=ESTIMATORS[title])
        ends = [own["dimension"].min(), own["dimension"].max()]
        axes.plot(ends, ends, color="#5b6068", linewidth=0.8, zorder=0.5)
        axes.set(xlabel="true dimension", title=kind.replace("_", " "))
        axes.set_ylabel("estimated dimension")
    _bias_tables(panels, estimators, kinds)
    arm_legend(figure, ESTIMATORS, ncols=4)
    return figure


def _bias_tables(panels: np.ndarray, estimators: DataFrame, kinds: Sequence[str]) -> None:
    """Below, mean of estimate over truth for numbers of points and dimensions, of Gaussian clouds."""
    grid = panels[1, 0].get_gridspec()
    half = panels.shape[1] // 2
    for axes in panels[1]:
        axes.remove()
    for place, metric in enumerate(("mle", "twonn")):
        axes = panels[0, 0].figure.add_subplot(grid[1, place * half : (place + 1) * half])
        rows = _rows(estimators, metric=metric, manifold=kinds[0])
        means = summarise(rows.assign(value=rows["value"] / rows["dimension"]), ["points", "dimension"])
        table = means.pivot(index="points", columns="dimension", values="mean")
        table.index.name = table.columns.name = None
        heat_map(axes, table, unit="estimate / truth", limits=(0.5, 1.5), number=".2f")
        axes.set(title=f"{TITLES[metric]}, {kinds[0]}", xlabel="true dimension", ylabel="points")
