"""The figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynatlas.figures.marks import heat_map, name_layers, seed_band, seed_bands
from dynatlas.figures.palette import ArmStyle, arm_styles
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    legend_beside,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)
from dynatlas.figures.tables import rows_where, summarise, without_lost

if TYPE_CHECKING:
    import numpy as np
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


Looks = Mapping[Any, ArmStyle]


def _by_data(table: DataFrame) -> dict[str, DataFrame]:
    """The rows of each data set, by the name that it has in figures."""
    return {DATA[str(data)]: rows for data, rows in table.groupby("data", sort=False)}


def _grid(
    cases: Mapping[str, DataFrame], metrics: Sequence[str], draw: Callable[[Axes, DataFrame], Looks], *, above: float
) -> Figure:
    """Dimension in each case, a row, by each estimator, a column; `draw` gives the looks that a panel shows.

    `above` are the inches that the legend takes.
    """
    figure, panels = new_panels(len(cases), len(metrics), width=2, height=2.3 * len(cases) + above)
    shown: dict[Any, ArmStyle] = {}
    for row, (case, rows) in zip(panels, cases.items(), strict=True):
        for axes, metric in zip(row, metrics, strict=True):
            shown |= draw(axes, rows_where(rows, metric=metric))
            axes.set_title(f"{case}, {TITLES[metric]}")
    figure.supylabel("dimension", fontsize=8)
    arm_legend(figure, shown)
    letter_panels(panels)
    return figure


def _arms(axes: Axes, rows: DataFrame) -> Looks:
    """Values along layers of each arm."""
    shown = seed_bands(axes, rows, "arm", x="layer", styles=ARMS)
    name_layers(axes, rows["layer"].max())
    return shown


def _levels(axes: Axes, rows: DataFrame, column: str, title: str) -> Looks:
    """Values along layers for each level in `column`, with a legend."""
    levels = seed_bands(axes, rows, column, x="layer")
    name_layers(axes, rows["layer"].max())
    legend_beside(axes, levels, names="{:g}", title=title)
    return levels


def _noise_levels(panels: np.ndarray, rows: DataFrame) -> None:
    """Values along layers for batch sizes, and for noise on the weights at the largest of them."""
    rows = rows_where(rows, learning_rate=rows["learning_rate"].iloc[0])  # the one that weight noise goes with
    _levels(panels[0], rows_where(rows, sigma=0), "batch", "batch size")
    _levels(panels[1], rows_where(rows, batch=rows["batch"].max()), "sigma", "noise on\nweights")


@house_style()
def draw_profiles(*, layers: DataFrame) -> Figure:
    """F1: local and global dimension along the layers, trained and untrained."""
    return _grid(_by_data(without_lost(layers)), ("mle", "twonn", "participation_ratio"), _arms, above=0.4)


@house_style()
def draw_images(*, image_layers: DataFrame) -> Figure:
    """F1 for images: dimension along plain and residual convolutional networks, trained and untrained."""
    left = without_lost(image_layers)
    cases = rows_where(left, batch=left["batch"].min()).groupby(["data", "network"], sort=False)
    named = {f"{DATA[str(data)]}, {network}": rows for (data, network), rows in cases}
    return _grid(named, ("mle", "participation_ratio"), _arms, above=0.4)


@house_style()
def draw_course(*, layers: DataFrame) -> Figure:
    """F3: dimension of three layers while the network learns."""
    left = without_lost(layers)
    course = left[left["metric"].str.startswith("course_")]
    course = course.assign(metric=course["metric"].str.removeprefix("course_"))

    def draw(axes: Axes, rows: DataFrame) -> Looks:
        places = dict(zip(sorted(set(rows["layer"])), PLACES.values(), strict=True))
        seed_bands(axes, rows, "layer", x="step", styles=places)
        log_axis(axes, linear_below=float(sorted(rows["step"].unique())[1]))
        axes.set(xlabel="training step")
        return PLACES

    return _grid(_by_data(course), ("mle", "participation_ratio"), draw, above=0.3)


@house_style()
def draw_noise(*, noisy: DataFrame) -> Figure:
    """F2: profiles for batch sizes and weight noise, and the last hidden layer against learning rate over batch."""
    cases = _by_data(rows_where(without_lost(noisy), stream="first"))
    figure, panels = new_panels(len(cases), 3, width=2, height=2.4 * len(cases))
    for row, (data, rows) in zip(panels, cases.items(), strict=True):
        _noise_levels(row, rows_where(rows, metric="mle"))
        _against_noise(row[2], rows_where(rows, sigma=0))
        shown = (("batch", "local dimension"), ("noise", "local dimension"), ("last layer", "dimension"))
        for axes, (title, label) in zip(row, shown, strict=True):
            axes.set(ylabel=label, title=f"{data}, {title}")
    letter_panels(panels)
    return figure


def _against_noise(axes: Axes, rows: DataFrame) -> None:
    """Local and global dimension of the last hidden layer against the scale of SGD noise, a line a learning rate."""
    rows = rows.assign(noise=rows["learning_rate"] / rows["batch"])
    names = {"mle": "local", "participation_ratio": "global"}
    for metric in names:
        for _, own in rows_where(rows, metric=f"last_{metric}").groupby("learning_rate"):
            seed_band(axes, own, x="noise", style=ESTIMATORS[metric])
    axes.set(xlabel="rate / batch size")
    log_axis(axes)
    legend_beside(axes, {metric: ESTIMATORS[metric] for metric in names}, names=names)


@house_style()
def draw_labels(*, relabelled: DataFrame) -> Figure:
    """F4: profiles for shares of wrong labels, and dimension of the last hidden layer against test accuracy."""
    cases = _by_data(without_lost(relabelled))
    figure, panels = new_panels(len(cases), 3, width=2, height=2.6 * len(cases))
    names = {"last_mle": "local dimension", "last_participation_ratio": "participation ratio"}
    for row, (data, own) in zip(panels, cases.items(), strict=True):
        levels = _levels(row[0], rows_where(own, metric="mle"), "fraction", "share of\nlabels\ndrawn anew")
        row[0].set(ylabel="local dimension", title=f"{data}, profile")
        whole = rows_where(own, layer=WHOLE).pivot_table(index=["fraction", "seed"], columns="metric", values="value")
        for axes, (metric, name) in zip(row[1:], names.items(), strict=True):
            for fraction, style in levels.items():
                points = whole.loc[fraction]
                axes.plot(points["test_accuracy"], points[metric], **{**style.line, "linestyle": "none"})
            axes.set(xlabel="test accuracy", ylabel=name, title=f"{data}, last layer")
    letter_panels(panels)
    return figure


@house_style()
def draw_linear(*, penalties: DataFrame) -> Figure:
    """F5: the linear network's hidden dimension and its penalty over the bound, along training."""
    figure, panels = new_panels(2, 2, width=2, height=4.6)
    full = rows_where(penalties, batch=penalties["batch"].max())
    kinds = {"sigma": ("noise on weights", full), "batch": ("batch size", rows_where(penalties, sigma=0))}
    shown = {
        "participation_ratio": ("participation ratio", 3, "outputs"),
        "ratio": ("penalty / lower bound", 1, "bound"),
    }
    for below, (metric, (title, bound, name)) in enumerate(shown.items()):
        for axes, (by, (label, rows)) in zip(panels[below], kinds.items(), strict=True):
            levels = seed_bands(axes, rows_where(rows, metric=f"course_{metric}"), by, x="step")
            axes.set(ylabel=title, xlabel="training step", title=f"by {label}")
            axes.set_ylim(bottom=0)
            reference_line(axes, bound, label=name, written=False)
            legend_beside(axes, levels, names="{:g}", title=label, others={name: REFERENCE})
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
    layers, noisy = without_lost(layers), without_lost(noisy)
    figure, panels = new_panels(1, 3, width=2, height=2.6, sharey=True)
    for name, style in LATENTS.items():
        metric, arm = name.split(", ")
        own = rows_where(layers, metric=metric, arm=arm)
        seed_band(panels[0, 0], own, x="layer", style=style)
    name_layers(panels[0, 0], own["layer"].max())
    panels[0, 0].set(ylabel="held-out R² of latents", ylim=(0, 1.02))
    arm_legend(figure, LATENTS)
    _noise_levels(panels[0, 1:], rows_where(noisy, stream="first", metric="nuisance"))
    titles = ("relevant and nuisance", "nuisance, batch size", "nuisance, weight noise")
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title)
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
