# The only .smk file that defines functions: thin calls into dynatlas.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir) / ".." / ".."
sys.path.insert(0, str((ROOT / "src").resolve()))

from dynatlas.atlas import Atlas
from dynatlas.config import SCALES, ConfigError, read_yaml
from dynatlas.engine import (
    check_device,
    folder_option,
    job_options,
    job_prefix,
    report_texts,
    require_files,
    speak_plainly,
)

SCALE_PATTERN = "(" + "|".join(SCALES) + ")(-dev)?"

try:
    for file in workflow.overwrite_configfiles:
        read_yaml(Path(file))  # the engine's own reader takes 010 for 8
    ATLAS = Atlas(overrides=config)
    ATLAS.check()
    check_device(ATLAS, local=workflow.resource_settings.nodes is None)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# The `prefix:` of a workflow that imports this one as a module; jobs work in that folder.
FOLDER = os.path.dirname(workflow.modifier.path_modifier.modify("file"))
OPTIONS = job_options(ATLAS, folder=FOLDER)
config["report"] = report_texts(ATLAS)  # read by the templates in workflow/report
speak_plainly(ATLAS)
shell.prefix(
    job_prefix(
        ROOT.resolve(), conda=bool(workflow.deployment_settings.deployment_method)
    )
)


def node_of(step, wildcards, name=None):
    """The node behind a job."""
    try:
        return ATLAS.node(
            step, wildcards.get("study", ""), name=name or step, scale=wildcards.scale
        )
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def paths_of(step, study=""):
    """What a step makes at the configured scale."""
    return list(ATLAS.node(step, study, name=step).outputs)


def inputs(step):
    """Input function of a step with one node a study (or one in all)."""
    return lambda wildcards: list(node_of(step, wildcards).inputs)


def params(step):
    """What Snakemake compares before it runs such a step again."""
    return lambda wildcards: node_of(step, wildcards).params


def ready(node):
    """The node, if the published files that it reads are there; a dry run goes on without."""
    try:
        require_files(
            ATLAS, node, others=not workflow.dag_settings.targets, dry=workflow.dryrun
        )
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    return node


def node_inputs(step):
    """Input function of a step with many nodes a study."""
    return lambda wildcards: list(
        ready(node_of(step, wildcards, wildcards.node)).inputs
    )


def node_params(step):
    """What Snakemake compares before it runs such a node again."""
    return lambda wildcards: node_of(step, wildcards, wildcards.node).params


def node_threads(step):
    """The threads that a node's declaration asks for."""
    return lambda wildcards: node_of(step, wildcards, wildcards.node).threads


def gpus(step):
    """One GPU where the atlas trains on one."""
    return lambda wildcards: int(
        node_of(step, wildcards, wildcards.node).device == "cuda"
    )


def study_inputs(step, study):
    """Input function of a step whose rule is declared for one study."""
    return lambda wildcards: list(
        ATLAS.node(step, study, name=step, scale=wildcards.scale).inputs
    )


def study_params(step, study):
    """What Snakemake compares before it runs a step whose rule is declared for one study."""
    return lambda wildcards: ATLAS.node(
        step, study, name=step, scale=wildcards.scale
    ).params


def figure_sets(study):
    """Which figures a study has, and the scales that have these: the configured scale's come first."""
    sets = {}
    for scale in sorted(SCALES, key=lambda one: one != ATLAS.config.scale):
        figures = ATLAS.studies[study].figures.items()
        names = tuple(name for name, figure in figures if scale in figure.scales)
        sets.setdefault(names, []).append(scale)
    return sets


def figure_outputs(study, names):
    """The manifest and the pictures of a study; the PNGs go into the report with title and caption."""
    outputs = [f"results/{{scale}}/{study}/figures.json"]
    for name in names:
        title = ATLAS.studies[study].figures[name].title
        stem = f"figures/{{scale}}/{study}/{name}"
        shown = report(
            f"{stem}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory=study,
            labels={"figure": name, "title": title, "scale": "{scale}"},
        )
        outputs += [shown, f"{stem}.pdf"]
    return outputs
