"""The seven figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dynatlas.figures.marks import (
    ZERO,
    heat_map,
    lanes,
    log_points,
    mean_with_interval,
    paths,
    points_with_interval,
    seed_bands,
    turn_names,
)
from dynatlas.figures.palette import DASHES, INK, ArmStyle, arm_styles, direction_styles, without_markers
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)
from dynatlas.figures.tables import arm_values, rows_where, seed_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRETRAINED = "MP with pre-training"
STYLES = arm_styles(
    ["MP", "JOINT", "SEP", "DP", "GP", "RES", "SEQ", "MR", "MPu", PRETRAINED, "DP-short", "GP-0.01", "GP-0.001"]
)
ORDER = ("MP", "MPu", "DP", "DP-short", "SEP", "JOINT", "GP", "GP-0.01", "GP-0.001", "SEQ", "MR", "RES")
"""From frozen modules to random networks."""
CHANCE = 0.1
WIN_LEVEL = 1 - 0.05 * 5 / 9
"""Level of the intervals of the nine families: five wins of nine are wanted (claims C4)."""
TURN = {"color": "#c3c8cf", "linewidth": 1.3}
"""The line at a task's own turn."""
SINGLE = ArmStyle(INK, "", DASHES[0])
CHANNELS = without_markers(arm_styles(["sine", "cosine"]))
LANES = {
    "fixation": {"input_fix": SINGLE},
    "modality 1": {"input_mod1_sin": CHANNELS["sine"], "input_mod1_cos": CHANNELS["cosine"]},
    "modality 2": {"input_mod2_sin": CHANNELS["sine"], "input_mod2_cos": CHANNELS["cosine"]},
    "hold": {"target_fix": SINGLE},
    "response": {"target_sin": CHANNELS["sine"], "target_cos": CHANNELS["cosine"]},
}


def _by_strategy(rows: pd.DataFrame) -> dict[str, list[float]]:
    """Mean of each seed, by strategy."""
    return arm_values(rows, "strategy", ORDER)


def _means(rows: pd.DataFrame, *, index: str, columns: str) -> pd.DataFrame:
    """Means over seeds as a matrix; strategies in their order, other labels as in the table."""
    matrix = rows.pivot_table(index=index, columns=columns, values="value", aggfunc="mean", sort=False)
    return matrix.loc[[name for name in ORDER if name in matrix.index]] if index == "strategy" else matrix


@house_style()
def draw_tasks(*, examples: pd.DataFrame) -> Figure:
    """F1: one trial of each task, three lanes of inputs above two of targets, against time."""
    trials = rows_where(examples, shown="trial")
    figure, panels = new_panels(3, 3, width=2, height=5.2, sharex=True, sharey=True)
    for axes, (task, trial) in zip(panels.flat, trials.groupby("task", sort=False), strict=True):
        lanes(axes, trial, LANES, x="step")
        axes.axhline(1.75, color=INK, linewidth=0.5, label="line")
        axes.set_title(str(task))
    figure.supxlabel("time (ms)", fontsize=8)
    figure.supylabel("inputs above, targets below the line", fontsize=8)
    letter_panels(panels)
    arm_legend(figure, {**CHANNELS, "single channel": SINGLE}, others={"zero": ZERO})
    return figure


@house_style()
def draw_accuracy(*, accuracy: pd.DataFrame) -> Figure:
    """F2: accuracy of each strategy on each task, and means over the nine tasks with a point a seed."""
    figure, panels = new_panels(1, 2, width=2, height=3.1, width_ratios=[1.45, 1])
    heat_map(panels[0, 0], _means(accuracy, index="strategy", columns="task"), unit="accuracy", limits=(0, 1))
    turn_names(panels[0, 0], 60)
    points_with_interval(panels[0, 1], _by_strategy(accuracy), styles=STYLES)
    reference_line(panels[0, 1], CHANCE, label="chance", written=False)
    panels[0, 1].set(ylabel="mean accuracy over nine tasks", ylim=(0, 1.02))
    letter_panels(panels)
    arm_legend(figure, {}, others={"chance": REFERENCE})
    return figure


@house_style()
def draw_costs(*, costs: pd.DataFrame) -> Figure:
    """F3: parameters, parameters of one more task, updates to criterion, and updates against tasks learned."""
    figure, panels = new_panels(2, 2, width=2, height=4.6)
    corpus = rows_where(costs, counting="corpus")
    for axes, metric, label in (
        (panels[0, 0], "total_parameters", "parameters in all"),
        (panels[0, 1], "parameters_per_task", "parameters, one more task"),
    ):
        log_points(axes, _by_strategy(rows_where(corpus, metric=metric)), styles=STYLES)
        axes.set_ylabel(label)
    updates = _by_strategy(rows_where(corpus, metric="updates_spent"))
    charged = _by_strategy(rows_where(costs, metric="updates_spent", counting="with pre-training"))
    updates = {"MP": updates["MP"], PRETRAINED: charged["MP"], **updates}
    log_points(panels[1, 0], updates, styles=STYLES)
    panels[1, 0].set_ylabel("updates to accuracy .80")
    _cumulative_updates(panels[1, 1], rows_where(costs, metric="cumulative_updates"))
    letter_panels(panels)
    return figure


def _cumulative_updates(axes: Axes, rows: pd.DataFrame) -> None:
    pretrained = rows["strategy"] + PRETRAINED.removeprefix("MP")
    rows = rows.assign(arm=rows["strategy"].where(rows["counting"] == "corpus", pretrained))
    shown = seed_bands(
        axes, rows, "arm", x="tasks", styles={arm: STYLES[arm] for arm in rows["arm"].unique()}, log=True
    )
    axes.set(xlabel="tasks learned", ylabel="updates so far")
    log_axis(axes, "x")
    log_axis(axes, "y")
    arm_legend(axes, shown, loc="upper left")


@house_style()
def draw_perturbations(*, perturbations: pd.DataFrame) -> Figure:
    """F4a: accuracy against the magnitude of nine families of perturbation."""
    figure, panels = new_panels(3, 3, width=2, height=5.6, sharey=True)
    rows = rows_where(perturbations, metric="accuracy")
    rows = rows.assign(magnitude=rows["magnitude"].astype(float))
    shown = {name: STYLES[name] for name in rows["strategy"].unique()}
    for axes, (family, own) in zip(panels.flat, rows.groupby("family", sort=False), strict=True):
        magnitudes, unit = sorted(own["magnitude"].unique()), own["unit"].iloc[0]
        if len(magnitudes) == 1:
            points_with_interval(axes, _by_strategy(own), styles=STYLES)
            axes.set_xlabel(f"{unit}: {magnitudes[0]:g}")
        else:
            seed_bands(axes, own, "strategy", x="magnitude", styles=shown)
            axes.set_xticks(magnitudes, [f"{magnitude:g}".removeprefix("0") for magnitude in magnitudes])
            axes.set_xlabel(unit)
        axes.set(title=str(family), ylim=(0, 1))
        reference_line(axes, CHANCE, label="chance", written=False)
    figure.supylabel("mean accuracy over nine tasks", fontsize=8)
    letter_panels(panels)
    arm_legend(figure, shown, others={"chance": REFERENCE})
    return figure


@house_style()
def draw_robustness(*, perturbations: pd.DataFrame) -> Figure:
    """F4b: retained accuracy, MP minus each comparator, with its wins and losses at the level that C4 asks for."""
    retained = rows_where(perturbations, metric="retained")
    seeds = retained.pivot_table(index=["family", "seed"], columns="strategy", values="value", sort=False)
    comparators = [name for name in ("JOINT", "SEP", "GP") if name in seeds]
    families = list(dict.fromkeys(retained["family"]))
    figure, panels = new_panels(width=2, height=3.6)
    axes = panels[0, 0]
    for place, name in enumerate(comparators):
        gaps = (seeds["MP"] - seeds[name]).groupby(level="family", sort=False)
        for row, family in enumerate(families):
            interval = seed_interval(gaps.get_group(family).to_numpy(), WIN_LEVEL)
            at = row + 0.24 * (place - (len(comparators) - 1) / 2)
            mean_with_interval(axes, at, interval, STYLES[name], size=5, across="y")
            word = " win" if interval.low > 0 else " loss" if interval.high < 0 else ""
            axes.annotate(word, (interval.high, at), (2, 0), textcoords="offset points", va="center", fontsize=6.5)
    reference_line(axes, 0, label="no difference", across="x", written=False)
    axes.set_yticks(range(len(families)), families)
    axes.set(ylim=(len(families) - 0.5, -0.5), xlabel="retained accuracy, MP minus comparator")
    axes.margins(x=0.08)
    shown = {name: STYLES[name] for name in comparators}
    arm_legend(figure, shown, names="MP minus {}", lines=False, others={"no difference": REFERENCE})
    return figure


@house_style()
def draw_lesions(*, lesions: pd.DataFrame) -> Figure:
    """F5: accuracy lost when a module of MP, or a quarter of JOINT, is silenced."""
    lost = rows_where(lesions, metric="lost", cut="module")
    figure, panels = new_panels(1, 2, width=2, height=2.6)
    for axes, name in zip(panels.flat, ("MP", "JOINT"), strict=True):
        matrix = _means(rows_where(lost, strategy=name), index="silenced", columns="task")
        heat_map(axes, matrix, unit="accuracy lost", limits=(0, 1))
        axes.set_title(name)
        turn_names(axes, 60)
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
    turn_names(left, 60)
    points_with_interval(right, _by_strategy(dimension), styles=STYLES)
    right.set(ylabel="mean over tasks")
    projected = examples[examples["metric"].isin(["pc1", "pc2"])]
    for axes, ((name, task), own) in zip(panels[1], projected.groupby(["shown", "task"], sort=False), strict=True):
        turns = direction_styles(own["trial"].nunique())
        paths(axes, own, "trial", x="pc1", y="pc2", along="step", styles=turns)
        axes.set(title=f"{name}\n{task}", xlabel="component 1", ylabel="component 2")
    letter_panels([left, right, *panels[1]])
    arm_legend(figure, turns, title="direction of the stimulus", ncols=8)
    return figure


@house_style()
def draw_forgetting(*, forgetting: pd.DataFrame) -> Figure:
    """F7: accuracy on each task while the nine are learned one after the other."""
    rows = rows_where(forgetting, metric="accuracy")
    figure, panels = new_panels(3, 3, width=2, height=4.8, sharex=True, sharey=True)
    sequential = {name: STYLES[name] for name in ("MP", "GP", "SEQ")}
    for order, (axes, (task, own)) in enumerate(
        zip(panels.flat, rows.groupby("task", sort=False), strict=True), start=1
    ):
        shown = seed_bands(axes, own, "strategy", x="learned", styles=sequential)
        axes.axvline(order, **TURN, zorder=0)
        reference_line(axes, CHANCE, label="chance", written=False)
        axes.set(title=str(task), ylim=(0, 1.02), xticks=range(1, 10))
    figure.supxlabel("tasks learned", fontsize=8)
    figure.supylabel("accuracy", fontsize=8)
    letter_panels(panels)
    arm_legend(figure, shown, others={"its own turn": TURN, "chance": REFERENCE})
    return figure
