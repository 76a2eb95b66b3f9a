# tables -> verdicts, and the ledger over all studies.


rule claims:
    input:
        inputs("claims"),
    output:
        "results/{scale}/{study}/claims.json",
    log:
        "logs/{scale}/{study}/claims.log",
    benchmark:
        "logs/{scale}/{study}/claims.tsv"
    group:
        "results"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
    params:
        node=params("claims"),
        options=OPTIONS,
    shell:
        "dynatlas claims {wildcards.study} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"


rule collect:
    input:
        inputs("ledger"),
    output:
        report(
            "results/{scale}/ledger.json",
            caption="../report/ledger.rst",
            category="Ledger",
            labels={"scale": "{scale}"},
        ),
        "results/{scale}/ledger.parquet",
    log:
        "logs/{scale}/collect.log",
    benchmark:
        "logs/{scale}/collect.tsv"
    conda:
        "../../environment.yml"
    params:
        node=params("ledger"),
        options=OPTIONS,
        studies=" ".join(ATLAS.selected),
    shell:
        "dynatlas collect --studies {params.studies} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"
