# figures and verdicts -> notebook -> page -> site; guides, which need no study, -> site.


rule notebook:
    input:
        inputs("notebook"),
    output:
        report(
            "results/{scale}/{study}/notebook.html",
            caption="../report/notebook.rst",
            category="Notebooks",
            labels={"study": "{study}", "scale": "{scale}"},
        ),
        "results/{scale}/{study}/notebook.ipynb",
    log:
        "logs/{scale}/{study}/notebook.log",
    benchmark:
        "logs/{scale}/{study}/notebook.tsv"
    group:
        "results"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
    params:
        node=params("notebook"),
        options=OPTIONS,
    shell:
        "dynatlas notebook {wildcards.study} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"


rule page:
    input:
        inputs("page"),
    output:
        "results/{scale}/site/{study}.html",
        "results/{scale}/site/{study}-notebook.html",
    log:
        "logs/{scale}/{study}/page.log",
    benchmark:
        "logs/{scale}/{study}/page.tsv"
    group:
        "results"
    conda:
        "../../environment.yml"
    params:
        node=params("page"),
        options=OPTIONS,
    shell:
        "dynatlas page {wildcards.study} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"


rule guide:
    output:
        report(
            "results/{scale}/site/guides/{node}.html",
            caption="../report/guide.rst",
            category="Notebooks",
            labels={"study": "{node}", "scale": "{scale}"},
        ),
        "results/{scale}/site/guides/{node}.ipynb",
    log:
        "logs/{scale}/guide-{node}.log",
    benchmark:
        "logs/{scale}/guide-{node}.tsv"
    conda:
        "../../environment.yml"
    threads: node_threads("guide")
    resources:
        mem_mb=2000,
    params:
        node=node_params("guide"),
        folder=folder_option(FOLDER),
    shell:
        "dynatlas guide {wildcards.node} --scale {wildcards.scale}{params.folder} > {log:q} 2>&1"


rule index:
    input:
        inputs("index"),
    output:
        "results/{scale}/site/index.html",
    log:
        "logs/{scale}/index.log",
    benchmark:
        "logs/{scale}/index.tsv"
    conda:
        "../../environment.yml"
    params:
        node=params("index"),
        options=OPTIONS,
        studies=" ".join(ATLAS.selected),
    shell:
        "dynatlas index --studies {params.studies} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"
