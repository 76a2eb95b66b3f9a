"""The seven figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynatlas.figures.marks import heat_map, log_bars, points_with_interval, seed_band, t_interval
from dynatlas.figures.palette import DASHES, ArmStyle, arm_styles
from dynatlas.figures.style import arm_legend, house_style, letter_panels, new_panels, reference_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = arm_styles(["MP", "JOINT", "SEP", "DP", "GP", "SEQ", "RES", "MR"])
STYLES |= {
    name: ArmStyle(STYLES[of].color, marker, dash)
    for name, of, marker, dash in (
        ("MP with pre-training", "MP", "P", DASHES[1]),
        ("MPu", "MP", "X", DASHES[2]),
        ("DP-short", "DP", "<", DASHES[4]),
        ("GP-0.01", "GP", "<", DASHES[1]),
        ("GP-0.001", "GP", ">", DASHES[2]),
    )
}
ORDER = ("MP", "MPu", "DP", "DP-short", "SEP", "JOINT", "GP", "GP-0.01", "GP-0.001", "SEQ", "MR", "RES")
"""From frozen modules to random networks; variants have the colour of what they vary."""
CHANCE = 0.1
WIN_LEVEL = 1 - 0.05 * 5 / 9
"""Level of the intervals of the nine families: five wins of nine are wanted (claims C4)."""
_LANES = {
    "fixation": (["input_fix"], 4.0),
    "modality 1": (["input_mod1_sin", "input_mod1_cos"], 3.0),
    "modality 2": (["input_mod2_sin", "input_mod2_cos"], 2.0),
    "hold": (["target_fix"], 1.0),
    "response": (["target_sin", "target_cos"], 0.0),
}


def _rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows in which every named column has the wanted value."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def _by_strategy(rows: pd.DataFrame) -> dict[str, list[float]]:
    """Mean of each seed, by strategy."""
    means = rows.groupby(["strategy", "seed"])["value"].mean()
    return {name: means[name].tolist() for name in ORDER if name in means.index}


def _means(rows: pd.DataFrame, *, index: str, columns: str) -> pd.DataFrame:
    """Means over seeds as a matrix; strategies in their order, other labels as in the table."""
    matrix = rows.pivot_table(index=index, columns=columns, values="value", aggfunc="mean", sort=False)
    matrix.index.name = matrix.columns.name = None
    return matrix.loc[[name for name in ORDER if name in matrix.index]] if index == "strategy" else matrix


@house_style()
def draw_tasks(*, examples: pd.DataFrame) -> Figure:
    """F1: one trial of each task, inputs above and targets below, against time."""
    trials = _rows(examples, shown="trial")
    figure, panels = new_panels(3, 3, width=2, height=5.2, sharex=True, sharey=True)
    for axes, (task, trial) in zip(panels.flat, trials.groupby("task", sort=False), strict=True):
        for channels, offset in _LANES.values():
            axes.axhline(offset, color="#dfe2e6", linewidth=0.5, zorder=0)
            for channel, dash in zip(channels, ("-", (0, (3, 1.2))), strict=False):
                line = _rows(trial, metric=channel).sort_values("step")
                colour = "#0d39b1" if channel.startswith("input") else "#b01d04"
                axes.step(line["step"], offset + 0.4 * line["value"], where="post", color=colour, linestyle=dash)
        axes.set_title(str(task))
        axes.set_yticks([offset for _, offset in _LANES.values()], list(_LANES))
    figure.supxlabel("time (ms)", fontsize=8)
    figure.supylabel("inputs (blue) and targets (red); sine solid, cosine dashed", fontsize=8)
    return figure


@house_style()
def draw_accuracy(*, accuracy: pd.DataFrame) -> Figure:
    """F2: accuracy of each strategy on each task, and means over the nine tasks with a point a seed."""
    figure, panels = new_panels(1, 2, width=2, height=3.1, width_ratios=[1.45, 1])
    heat_map(panels[0, 0], _means(accuracy, index="strategy", columns="task"), unit="accuracy", limits=(0, 1))
    panels[0, 0].tick_params(axis="x", labelrotation=60)
    points_with_interval(panels[0, 1], _by_strategy(accuracy), styles=STYLES)
    reference_line(panels[0, 1], CHANCE, label="chance")
    panels[0, 1].set(ylabel="mean accuracy over nine tasks", ylim=(0, 1.02))
    letter_panels(panels)
    return figure


@house_style()
def draw_costs(*, costs: pd.DataFrame) -> Figure:
    """F3: parameters, parameters of one more task, updates to criterion, and updates against tasks learned."""
    figure, panels = new_panels(2, 2, width=2, height=4.6)
    corpus = _rows(costs, counting="corpus")
    for axes, metric, label in (
        (panels[0, 0], "total_parameters", "parameters in all"),
        (panels[0, 1], "parameters_per_task", "parameters trained for one more task"),
    ):
        log_bars(axes, _by_strategy(_rows(corpus, metric=metric)), styles=STYLES)
        axes.set_ylabel(label)
    updates = _by_strategy(_rows(corpus, metric="updates_spent"))
    charged = _by_strategy(_rows(costs, metric="updates_spent", counting="with pre-training"))
    updates = {"MP": updates["MP"], "MP with pre-training": charged["MP"], **updates}
    log_bars(panels[1, 0], updates, styles=STYLES)
    panels[1, 0].set_ylabel("updates to accuracy .80")
    _cumulative_updates(panels[1, 1], _rows(costs, metric="cumulative_updates"))
    letter_panels(panels)
    return figure


def _cumulative_updates(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows.assign(
        arm=rows["strategy"].where(rows["counting"] == "corpus", rows["strategy"] + " with pre-training")
    )
    shown = {}
    for name, own in rows.groupby("arm", sort=False):
        shown[str(name)] = STYLES[str(name)]
        seed_band(axes, own, x="tasks", style=STYLES[str(name)])
    axes.set(xscale="log", yscale="log", xlabel="tasks learned", ylabel="updates so far")
    axes.set_ylim(top=20 * axes.get_ylim()[1])
    arm_legend(axes, shown, loc="upper left", ncols=2)


@house_style()
def draw_perturbations(*, perturbations: pd.DataFrame) -> Figure:
    """F4a: accuracy against the magnitude of nine families of perturbation."""
    figure, panels = new_panels(3, 3, width=2, height=5.6, sharey=True)
    rows = _rows(perturbations, metric="accuracy")
    rows = rows.assign(magnitude=rows["magnitude"].astype(float))
    names = list(rows["strategy"].unique())
    for axes, (family, own) in zip(panels.flat, rows.groupby("family", sort=False), strict=True):
        magnitudes, unit = sorted(own["magnitude"].unique()), own["unit"].iloc[0]
        if len(magnitudes) == 1:
            points_with_interval(axes, _by_strategy(own), styles=STYLES)
            axes.set_xlabel(f"{unit}: {magnitudes[0]:g}")
        else:
            for name in names:
                seed_band(axes, _rows(own, strategy=name), x="magnitude", style=STYLES[name])
            axes.set_xticks(magnitudes, [f"{magnitude:g}".removeprefix("0") for magnitude in magnitudes])
            axes.set_xlabel(unit)
        axes.set(title=str(family), ylim=(0, 1))
        reference_line(axes, CHANCE)
    figure.supylabel("mean accuracy over nine tasks", fontsize=8)
    arm_legend(figure, {name: STYLES[name] for name in names})
    return figure


@house_style()
def draw_robustness(*, perturbations: pd.DataFrame) -> Figure:
    """F4b: retained accuracy, MP minus each comparator, with its wins and losses at the level that C4 asks for."""
    retained = _rows(perturbations, metric="retained")
    seeds = retained.pivot_table(index=["family", "seed"], columns="strategy", values="value", sort=False)
    comparators = [name for name in ("JOINT", "SEP", "GP") if name in seeds]
    gaps = {name: (seeds["MP"] - seeds[name]).groupby(level="family", sort=False) for name in comparators}
    families = list(dict.fromkeys(retained["family"]))
    figure, panels = new_panels(width=1, height=3.4)
    axes = panels[0, 0]
    means = pd.DataFrame({name: gap.mean() for name, gap in gaps.items()}).loc[families]
    heat_map(axes, means, unit="retained accuracy, MP minus comparator", number="+.2f", centred=True)
    for column, gap in enumerate(gaps.values()):
        for row, family in enumerate(families):
            interval = t_interval(gap.get_group(family).to_numpy(), WIN_LEVEL)
            word = "win" if interval.low > 0 else "loss" if interval.high < 0 else "undecided"
            colour = axes.texts[row * len(gaps) + column].get_color()
            axes.text(column + 0.5, row + 0.82, word, ha="center", va="center", fontsize=6.5, color=colour)
    return figure


@house_style()
def draw_lesions(*, lesions: pd.DataFrame) -> Figure:
    """F5: accuracy lost when a module of MP, or a quarter of JOINT, is silenced."""
    lost = _rows(lesions, metric="lost", cut="module")
    figure, panels = new_panels(1, 2, width=2, height=2.6, sharex=True)
    for axes, name in zip(panels.flat, ("MP", "JOINT"), strict=True):
        matrix = _means(_rows(lost, strategy=name), index="silenced", columns="task")
        heat_map(axes, matrix.round(2) + 0.0, unit="accuracy lost", limits=(0, 1))
        axes.set_title(name)
        axes.tick_params(axis="x", labelrotation=60)
    letter_panels(panels)
    return figure


@house_style()
def draw_dimension(*, dimension: pd.DataFrame, examples: pd.DataFrame) -> Figure:
    """F6: participation ratio of the solutions, and states of two tasks on their first two principal components."""
    figure, panels = new_panels(2, 4, width=2, height=4.4)
    top = panels[0, 0].get_gridspec()
    for axes in panels[0]:
        axes.remove()
    left, right = figure.add_subplot(top[0, :2]), figure.add_subplot(top[0, 2:])
    heat_map(left, _means(dimension, index="strategy", columns="task"), unit="participation ratio", number=".1f")
    left.tick_params(axis="x", labelrotation=60)
    points_with_interval(right, _by_strategy(dimension), styles=STYLES)
    right.set(ylabel="mean over the nine tasks")
    projected = examples[examples["metric"].isin(["pc1", "pc2"])]
    for axes, ((name, task), own) in zip(panels[1], projected.groupby(["shown", "task"], sort=False), strict=True):
        _projection(axes, own)
        axes.set_title(f"{name}, {task}")
    for axes in panels[1]:
        axes.set_ylabel("component 2")
    letter_panels([left, right, panels[1, 0]])
    return figure


def _projection(axes: Axes, rows: pd.DataFrame) -> None:
    """One line a trial, from the open circle at the start to the dot at the end."""
    wide = rows.pivot_table(index=["trial", "step"], columns="metric", values="value")
    for number, (_, path) in enumerate(wide.groupby(level="trial")):
        shade = f"{0.15 + 0.07 * number:.2f}"
        axes.plot(path["pc1"], path["pc2"], color=shade, linewidth=0.8)
        axes.plot(path["pc1"].iloc[-1], path["pc2"].iloc[-1], marker="o", markersize=4, color=shade)
    axes.set(xlabel="component 1")


@house_style()
def draw_forgetting(*, forgetting: pd.DataFrame) -> Figure:
    """F7: accuracy on each task while the nine are learned one after the other."""
    rows = _rows(forgetting, metric="accuracy")
    figure, panels = new_panels(3, 3, width=2, height=4.8, sharex=True, sharey=True)
    names = [name for name in ("MP", "GP", "SEQ") if name in set(rows["strategy"])]
    for order, (axes, (task, own)) in enumerate(
        zip(panels.flat, rows.groupby("task", sort=False), strict=True), start=1
    ):
        for name in names:
            seed_band(axes, _rows(own, strategy=name), x="learned", style=STYLES[name])
        axes.axvline(order, color="#dfe2e6", zorder=0)
        reference_line(axes, CHANCE)
        axes.set(title=str(task), ylim=(0, 1.02), xticks=range(1, 10))
    figure.supxlabel("tasks learned", fontsize=8)
    figure.supylabel("accuracy", fontsize=8)
    arm_legend(figure, {name: STYLES[name] for name in names})
    return figure
