# All figures of a study are one job, and a study is one named target: declared in a loop over config/studies.
# Whatever depends on the loop's variable is bound early; a late binding would see the last study only.

for study in ATLAS.studies:
    for place, (names, scales) in enumerate(figure_sets(study).items()):

        rule:
            name:
                f"figures_{study}" + (f"_{place}" if place else "")
            input:
                study_inputs("figures", study),
            output:
                *figure_outputs(study, names),
            log:
                f"logs/{{scale}}/{study}/figures.log",
            benchmark:
                f"logs/{{scale}}/{study}/figures.tsv"
            wildcard_constraints:
                scale=f"({'|'.join(scales)})(-dev)?",
            group:
                "results"
            conda:
                "../../environment.yml"
            resources:
                mem_mb=2000,
            params:
                node=study_params("figures", study),
                options=OPTIONS,
                study=study,
            shell:
                "dynatlas figures {params.study} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"

    if study in ATLAS.at_scale:

        rule:
            name:
                study
            input:
                [
                    paths_of(step, study)
                    for step in ("figures", "claims", "notebook", "page")
                ],
            localrule: True
