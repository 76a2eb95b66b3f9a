"""The figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dynatlas.figures.marks import heat_map, seed_band, seed_bands
from dynatlas.figures.palette import ArmStyle, arm_styles, ordered_styles
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)
from dynatlas.figures.tables import rows_where, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

ARMS = arm_styles(["trained", "untrained", "identity", "tanh"])
ESTIMATORS = arm_styles(["mle", "participation_ratio", "twonn", "local_participation_ratio"])
PLACES = arm_styles(["first hidden layer", "middle", "last"])
LATENTS = arm_styles(["relevant, trained", "nuisance, trained", "relevant, untrained", "nuisance, untrained"])
FORMULAS = arm_styles(["exact", "second order", "Hessian", "Gauss-Newton"])
BESIDE = 1.03
"""Factor by which points of two formulas are moved aside, one down and one up."""
WHOLE = -1
"""In the column `layer`: of the whole network."""
TITLES = {
    "mle": "maximum likelihood",
    "twonn": "two-NN",
    "participation_ratio": "participation ratio",
    "local_participation_ratio": "local participation ratio",
}
DATA = {"digits": "digits", "manifold": "synthetic", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR-10"}


CONDITIONS = ("data", "network", "arm", "stream", "batch", "rate", "sigma", "fraction")


def _whole(table: DataFrame) -> DataFrame:
    """Without the conditions in which a network was lost (see `layer_rows`): the mean of the others would flatter.

    Raises ValueError where none is left.
    """
    lost = ((table["metric"] == "lost") & (table["value"] > 0.5)) | np.isinf(table["value"])
    within = [table[name] for name in CONDITIONS if name in table]
    left = table[~lost.groupby(within, dropna=False).transform("any")]
    if left.empty:
        raise ValueError("nothing to draw: in every condition a network diverged or died; lower the learning rate")
    return left


Levels = dict[float, ArmStyle]


def _level_bands(axes: Axes, table: DataFrame, by: str, *, x: str) -> Levels:
    """A band for each level of the column `by`; their looks are returned."""
    return seed_bands(axes, table, by, x=x, styles=ordered_styles(sorted(set(table[by]))))


def _legend_beside(axes: Axes, styles: Mapping[Any, ArmStyle], **keywords: Any) -> None:
    """A legend right of a panel, where no line runs."""
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "borderpad": 0, "handlelength": 2.2}
    arm_legend(axes, styles, alignment="left", **where, **keywords)


def _name_layers(axes: Axes, table: DataFrame) -> None:
    last = int(table["layer"].max())
    names = ["inputs", *(str(layer) for layer in range(1, last)), "logits"]
    axes.set_xticks(range(last + 1), names)
    axes.tick_params(axis="x", labelrotation=60 if last > 7 else 0)
    axes.set_xlabel("layer")


def _profiles(axes: Axes, table: DataFrame, column: str, title: str) -> Levels:
    """Values along layers for each condition in `column`, whose looks are returned."""
    levels = _level_bands(axes, table, column, x="layer")
    _name_layers(axes, table)
    _legend_beside(axes, levels, names="{:g}", title=title)
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
            own = rows_where(layers, data=data, metric=metric)
            shown |= seed_bands(axes, own, "arm", x="layer", styles=ARMS)
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
    rows = rows_where(image_layers, batch=image_layers["batch"].min())
    cases = rows[["data", "network"]].drop_duplicates().to_numpy().tolist()
    figure, panels = new_panels(len(cases), 2, width=2, height=2.3 * len(cases) + 0.4)
    shown = {arm: ARMS[arm] for arm in ("trained", "untrained")}
    for row, (data, network) in zip(panels, cases, strict=True):
        for axes, metric in zip(row, ("mle", "participation_ratio"), strict=True):
            own = rows_where(rows, data=data, network=network, metric=metric)
            seed_bands(axes, own, "arm", x="layer", styles=shown)
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
        first = rows_where(noisy, data=data, stream="first")
        rate = first["rate"].iloc[0]  # the one that weight noise goes with
        local = rows_where(first, metric="mle", rate=rate)
        batches = rows_where(local, sigma=0)
        _profiles(row[0], batches, "batch", "batch size")
        weights = rows_where(local, batch=local["batch"].max())
        _profiles(row[1], weights, "sigma", "noise on\nweights")
        for axes in row[:2]:
            axes.set(ylabel="local dimension")
        for axes, title in zip(row, ("batch", "noise", "last layer"), strict=True):
            axes.set_title(f"{DATA[data]}, {title}")
        _against_noise(row[2], rows_where(first, sigma=0))
    letter_panels(panels)
    return figure


def _against_noise(axes: Axes, rows: DataFrame) -> None:
    """Local and global dimension of the last hidden layer against the scale of SGD noise, a line a learning rate."""
    rows = rows.assign(noise=rows["rate"] / rows["batch"])
    names = {"mle": "local", "participation_ratio": "global"}
    for metric in names:
        for _, own in rows_where(rows, metric=f"last_{metric}").groupby("rate"):
            seed_band(axes, own, x="noise", style=ESTIMATORS[metric])
    axes.set(xlabel="rate / batch size", ylabel="dimension")
    log_axis(axes)
    _legend_beside(axes, {metric: ESTIMATORS[metric] for metric in names}, names=names)


@house_style()
def draw_course(*, layers: DataFrame) -> Figure:
    """F3: dimension of three layers while the network learns."""
    layers = _whole(layers)
    sets = list(layers["data"].unique())
    figure, panels = new_panels(len(sets), 2, width=2, height=2.3 * len(sets) + 0.3)
    for row, data in zip(panels, sets, strict=True):
        for axes, metric in zip(row, ("mle", "participation_ratio"), strict=True):
            own = rows_where(layers, data=data, metric=f"course_{metric}")
            layers_shown = dict(zip(sorted(set(own["layer"])), PLACES.values(), strict=True))
            seed_bands(axes, own, "layer", x="step", styles=layers_shown)
            log_axis(axes, linear_below=float(sorted(own["step"].unique())[1]))
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
        own = rows_where(relabelled, data=data)
        local = rows_where(own, metric="mle")
        levels = _profiles(row[0], local, "fraction", "share of\nlabels\ndrawn anew")
        row[0].set(ylabel="local dimension", title=f"{DATA[data]}, profile")
        whole = rows_where(own, layer=WHOLE).pivot_table(index=["fraction", "seed"], columns="metric", values="value")
        names = {"mle": "local dimension", "participation_ratio": "participation ratio"}
        for axes, (metric, name) in zip(row[1:], names.items(), strict=True):
            for fraction, style in levels.items():
                points = whole.loc[fraction]
                axes.plot(points["test_accuracy"], points[f"last_{metric}"], **{**style.line, "linestyle": "none"})
            axes.set(xlabel="test accuracy", ylabel=name, title=f"{DATA[data]}, last layer")
    letter_panels(panels)
    return figure


@house_style()
def draw_linear(*, penalties: DataFrame) -> Figure:
    """F5: the linear network's hidden dimension and its penalty over the bound, along training."""
    figure, panels = new_panels(2, 2, width=2, height=4.6)
    full = penalties["batch"].max()
    kinds = (
        ("noise on weights", "sigma", rows_where(penalties, batch=full)),
        ("batch size", "batch", rows_where(penalties, sigma=0)),
    )
    names = {"participation_ratio": "participation ratio", "ratio": "penalty / lower bound"}
    bounds = {"participation_ratio": (3, "outputs"), "ratio": (1, "bound")}
    for column, (label, axis, rows) in enumerate(kinds):
        for axes, (metric, title) in zip(panels[:, column], names.items(), strict=True):
            own = rows_where(rows, metric=f"course_{metric}")
            levels = _level_bands(axes, own, axis, x="step")
            axes.set(ylabel=title, xlabel="training step", title=f"by {label}")
            axes.set_ylim(bottom=0)
            value, name = bounds[metric]
            reference_line(axes, value, label=name, written=False)
            _legend_beside(axes, levels, names="{:g}", title=label, others={name: REFERENCE})
    letter_panels(panels)
    return figure


@house_style()
def draw_averages(*, averages: DataFrame) -> Figure:
    """F6: what weight noise adds to the loss, drawn over predicted."""
    networks = list(averages["network"].unique())
    figure, panels = new_panels(1, len(networks), width=2, height=2.6)
    for axes, network in zip(panels[0], networks, strict=True):
        own = rows_where(averages, network=network, metric="ratio")
        formulas = list(own["formula"].unique())
        for place, formula in enumerate(formulas):  # side by side: two formulas may agree to within a line's width
            rows = rows_where(own, formula=formula)
            beside = rows.assign(sigma=rows["sigma"] * BESIDE ** (2 * place - len(formulas) + 1))
            seed_band(axes, beside, x="sigma", style=FORMULAS[formula])
        log_axis(axes)
        reference_line(axes, 1, label="as the formula says", written=False)
        axes.set(xlabel="noise on weights", ylabel="increase of loss, drawn / formula", title=f"{network} network")
        looks = {name: FORMULAS[name] for name in formulas}
        arm_legend(axes, looks, others={"as the formula says": REFERENCE}, loc="upper left")
    letter_panels(panels)
    return figure


@house_style()
def draw_selection(*, layers: DataFrame, noisy: DataFrame) -> Figure:
    """F7: how well relevant and nuisance latent variables can be read from each layer; and under noise."""
    layers, noisy = _whole(layers), _whole(noisy)
    figure, panels = new_panels(1, 3, width=2, height=2.6, sharey=True)
    for name, style in LATENTS.items():
        metric, arm = name.split(", ")
        own = rows_where(layers, metric=metric, arm=arm)
        seed_band(panels[0, 0], own, x="layer", style=style)
    _name_layers(panels[0, 0], own)
    arm_legend(figure, LATENTS)
    first = rows_where(noisy, stream="first", rate=noisy["rate"].iloc[0])
    nuisance = rows_where(first, metric="nuisance")
    batches, weights = rows_where(nuisance, sigma=0), rows_where(nuisance, batch=nuisance["batch"].max())
    _profiles(panels[0, 1], batches, "batch", "batch size")
    _profiles(panels[0, 2], weights, "sigma", "noise on\nweights")
    panels[0, 0].set(ylabel="held-out R² of latents", ylim=(0, 1.02), title="relevant and nuisance")
    for axes, title in zip(panels[0, 1:], ("batch size", "weight noise"), strict=True):
        axes.set_title(f"nuisance, {title}")
    letter_panels(panels)
    return figure


@house_style()
def draw_estimators(*, estimators: DataFrame) -> Figure:
    """F8: what the estimators find on known manifolds, and their bias over points and dimension."""
    kinds = list(estimators["manifold"].unique())
    figure, panels = new_panels(2, max(len(kinds), 2), width=2, height=4.6)
    drawn = {metric: ESTIMATORS[metric] for metric in TITLES}
    most = rows_where(estimators, points=estimators["points"].max())
    for axes, kind in zip(panels[0], kinds, strict=False):
        own = rows_where(most, manifold=kind)
        seed_bands(axes, own, "metric", x="dimension", styles=drawn)
        ends = [own["dimension"].min(), own["dimension"].max()]
        axes.plot(ends, ends, **REFERENCE, zorder=0.5)
        axes.set(xlabel="true dimension", title=kind.replace("_", " "))
        axes.set_ylabel("estimated dimension")
    below = _bias_tables(panels, estimators, kinds)
    letter_panels([*panels[0], *below])
    arm_legend(figure, ESTIMATORS, names=TITLES, others={"truth": REFERENCE}, ncols=5)
    return figure


def _bias_tables(panels: np.ndarray, estimators: DataFrame, kinds: Sequence[str]) -> list[Axes]:
    """Below, mean of estimate over truth for numbers of points and dimensions, of Gaussian clouds."""
    grid = panels[1, 0].get_gridspec()
    half = panels.shape[1] // 2
    for axes in panels[1]:
        axes.remove()
    below = [panels[0, 0].figure.add_subplot(grid[1, place * half : (place + 1) * half]) for place in range(2)]
    for axes, metric in zip(below, ("mle", "twonn"), strict=True):
        rows = rows_where(estimators, metric=metric, manifold=kinds[0])
        means = summarise(rows.assign(value=rows["value"] / rows["dimension"]), ["points", "dimension"])
        table = means.pivot(index="points", columns="dimension", values="mean")
        table.index.name = table.columns.name = None
        heat_map(axes, table, unit="estimate / truth", limits=(0.5, 1.5), number=".2f")
        axes.set(title=f"{TITLES[metric]}, {kinds[0]}", xlabel="true dimension", ylabel="points")
    return below
