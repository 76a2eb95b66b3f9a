# data -> train -> measure: many jobs a study, each with its own numbers, code and inputs.


rule data:
    input:
        node_inputs("data"),
    output:
        "results/{scale}/{study}/data/{node}.safetensors",
    log:
        "logs/{scale}/{study}/data-{node}.log",
    benchmark:
        "logs/{scale}/{study}/data-{node}.tsv"
    group:
        "runs"
    conda:
        "../../environment.yml"
    threads: node_threads("data")
    resources:
        mem_mb=4000,
    params:
        node=node_params("data"),
        options=OPTIONS,
    shell:
        "dynatlas data {wildcards.study} {wildcards.node} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"


rule train:
    input:
        node_inputs("train"),
    output:
        "results/{scale}/{study}/runs/{node}.safetensors",
    log:
        "logs/{scale}/{study}/train-{node}.log",
    benchmark:
        "logs/{scale}/{study}/train-{node}.tsv"
    group:
        "runs"
    conda:
        "../../environment.yml"
    threads: node_threads("train")
    resources:
        mem_mb=8000,
        gpu=gpus("train"),
    params:
        node=node_params("train"),
        options=OPTIONS,
    shell:
        "dynatlas train {wildcards.study} {wildcards.node} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"


rule measure:
    input:
        node_inputs("measure"),
    output:
        "results/{scale}/{study}/tables/{node}.parquet",
    log:
        "logs/{scale}/{study}/measure-{node}.log",
    benchmark:
        "logs/{scale}/{study}/measure-{node}.tsv"
    group:
        "results"
    conda:
        "../../environment.yml"
    threads: node_threads("measure")
    resources:
        mem_mb=8000,
        gpu=gpus("measure"),
    params:
        node=node_params("measure"),
        options=OPTIONS,
    shell:
        "dynatlas measure {wildcards.study} {wildcards.node} --scale {wildcards.scale} {params.options} > {log:q} 2>&1"
