"""A strategy: networks with readouts that solve all nine tasks, whatever learned them."""

from __future__ import annotations

from dataclasses import dataclass

from dynatlas.jobs import Run
from dynatlas.members import Group, Members
from dynatlas.models.model import Params
from dynatlas.models.modular import assemble_modules
from dynatlas.tasks.multitask import NINE_TASKS

TASKS = NINE_TASKS
NETWORK = ("w_in", "w_rec", "b")
READOUT = ("w_out", "b_out")
SHARED = "MP, one readout"
"""The strategy in which one readout on MP's states answers all tasks, refitted to each in turn."""
MODULES = 4
"""Modules of a modular network, and quarters of any other."""


@dataclass(frozen=True)
class Strategy:
    """A solution of all nine tasks by every seed: members (seed,), or (seed, task) where there is one for each task."""

    network: Group
    """w_in, w_rec, b."""
    readout: Group
    """w_out, b_out."""

    @property
    def units(self) -> int:
        """Units of each network."""
        return self.readout["w_out"].shape[-2]

    def for_task(self, task: str) -> Params:
        """The parameters that answer `task`, leading axis seed."""
        return {**own_of(self.network, task), **own_of(self.readout, task)}


def own_of(group: Group, task: str) -> Group:
    """What belongs to a task; all of it where it belongs to every task."""
    return group.at(task=task) if "task" in group.members.fields else group


def assembled(modules: Group) -> Group:
    """The networks, members (seed,), that modules, members (seed, module), make up."""
    whole = assemble_modules([own.flat() for _, own in modules.each("module")])
    return Members(seed=modules.members.labels("seed")).group(whole).only(*NETWORK)


def strategies_of(*runs: Run, device: str = "cpu") -> dict[str, Strategy]:
    """Every solution that the runs hold, by the strategy's name."""
    return {
        name: Strategy(network.to(device), run["readouts"].at(strategy=name).to(device))
        for run in runs
        for name, network in run["networks"].each("strategy")
    }
