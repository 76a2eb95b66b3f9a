# dynatlas: an atlas of learning dynamics. One DAG; what it holds is declared in config/.
#
#   snakemake                                   everything at the configured scale
#   snakemake task-primitives                   one study
#   snakemake figures/quick/<study>/<f>.png     one figure
#   snakemake ledger | notebooks | site         all verdicts, all notebooks, all pages
from snakemake.utils import min_version

min_version("9.3")


include: "workflow/rules/common.smk"
include: "workflow/rules/compute.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/pages.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    scale=SCALE_PATTERN,
    study="|".join(ATLAS.studies),
    node=r"[\w@=.+-]+",


localrules:
    all,
    ledger,
    notebooks,
    site,


rule all:
    default_target: True
    input:
        paths_of("ledger"),
        paths_of("index"),
        [
            paths_of(step, study)
            for study in ATLAS.selected
            for step in ("figures", "notebook", "page")
        ],


rule ledger:
    input:
        paths_of("ledger"),


rule notebooks:
    input:
        [paths_of("notebook", study) for study in ATLAS.selected],
        [guide.outputs for guide in ATLAS.guides().values()],


rule site:
    input:
        paths_of("index"),
