"""Plans: paths, arguments, axes, needs, errors by name; and keys that change when they must and only then."""

import re
import shutil

import pytest

from dynatlas.atlas import Atlas
from dynatlas.config import ConfigError
from dynatlas.engine import require_files

STUDY = "config/studies/toy.yaml"
NESTED = ("src/dynatlas/studies/toy/train.py", "steps: Steps", "steps: Nested")
TOLD = {"page:page", "index:index"}
"""The study's page tells the numbers of every scale."""
DOWN = {"figures:figures", "claims:claims", "notebook:notebook", "page:page", "ledger:ledger", "index:index"}


def nodes(atlas):
    made = [node for study in atlas.selected for node in atlas.plan(study).nodes.values()]
    return {f"{node.step}:{node.name}": node for node in [*made, *atlas.guides().values(), *atlas.joint().values()]}


def changed(one, other):
    """The nodes whose keys differ, or that only one has."""
    keys = [{name: node.key for name, node in nodes(atlas).items()} for atlas in (one, other)]
    return {name for name in keys[0].keys() | keys[1].keys() if keys[0].get(name) != keys[1].get(name)}


def drawn(atlas):
    """The nodes that random numbers of the atlas go into: all but the guides."""
    return {name for name in nodes(atlas) if not name.startswith("guide:")}


# ---------------------------------------------------------------- what a plan says


def test_a_figure_of_other_scales_is_left_out(atlas_of):
    """Its pictures, its arguments and its place on the page."""
    plan = atlas_of((STUDY, "biases: {call: draw_biases,", "biases: {scales: [smoke], call: draw_biases,")).plan("toy")
    assert set(plan.node("figures", "figures").settings["figures"]) == {"errors"}
    assert not any("biases" in path for path in plan.node("figures", "figures").outputs)
    assert set(plan.node("page", "page").settings["figures"]) == {"errors"}


def test_paths_arguments_and_needs_of_the_toy(atlas_of):
    atlas = atlas_of()
    atlas.check()
    plan = atlas.plan("toy")
    assert [(node.step, node.name) for node in plan.nodes.values()] == [
        ("data", "points"),
        ("train", "lines@rate=0.1"),
        ("train", "lines@rate=0.3"),
        ("train", "biases"),
        ("measure", "error"),
        ("measure", "bias"),
        ("figures", "figures"),
        ("claims", "claims"),
        ("notebook", "notebook"),
        ("page", "page"),
    ]
    line = plan.node("train", "lines@rate=0.3")
    assert line.outputs == ("results/quick/toy/runs/lines@rate=0.3.safetensors",)
    assert line.inputs == ("results/quick/toy/data/points.safetensors",)
    assert line.settings == {"rate": 0.3, "steps": 20}
    assert line.seeds == tuple(range(100, 108))
    assert line.call == "dynatlas.studies.toy.train:train_lines"
    error = plan.node("measure", "error")
    assert [node.name for node in error.needs["lines"]] == ["lines@rate=0.1", "lines@rate=0.3"]
    assert error.single == {"points"}
    assert error.outputs == ("results/quick/toy/tables/error.parquet",)
    assert all("/quick/" in path for node in nodes(atlas).values() for path in node.outputs)


def test_the_verdicts_name_every_table_with_its_key(atlas_of):
    """Also one that no claim reads: it is by them that a notebook knows its tables."""
    more = (
        STUDY,
        "  bias: {call",
        "  extra: {call: measure_bias, needs: [biases], metrics: {bias: real}}\n  bias: {call",
    )
    plan = atlas_of(more).plan("toy")
    tables = plan.node("claims", "claims").provenance["settings"]["tables"]
    assert tables == {
        name: {f"results/quick/toy/tables/{name}.parquet": plan.node("measure", name).key}
        for name in ("error", "bias", "extra")
    }
    assert set(plan.node("claims", "claims").needs) == {"error", "bias"}


FILES = (
    "files:\n  mnist: {scales: [quick], read_by: [biases]}\n"
    "  words: {path: d/w.txt, title: W, source: s, scales: [quick]}\n"
)
LABELS = "downloads/mnist/train-labels-idx1-ubyte.gz"


def test_published_files_are_looked_for_where_they_are_read(atlas_of, tmp_path, monkeypatch):
    """And only there: keys do not know of them, since their content is checked by whoever reads them."""
    monkeypatch.chdir(tmp_path)
    before = atlas_of()
    atlas = atlas_of((STUDY, "data:\n", f"{FILES}data:\n"))
    atlas.check()
    assert changed(before, atlas) == set()
    plan = atlas.plan("toy")
    assert plan.node("train", "biases").files == ("mnist", "words")
    assert plan.node("measure", "error").files == ("words",)
    assert {node.files for node in atlas.plan("toy", "smoke").nodes.values()} == {()}
    assert atlas.missing_files("toy", "smoke") == []
    assert atlas.missing_files("toy", names=["words"]) == ["W: w.txt is missing; put it at d/w.txt (from s)"]
    lines = atlas.missing_files("toy")
    assert len(lines) == 5
    assert f"train-labels-idx1-ubyte.gz is missing; put it at {LABELS} (28881" in lines[1]
    for path in ("d/w.txt", LABELS):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"x")
    assert atlas.missing_files("toy", names=["words"]) == []
    assert re.search(
        r"ubyte.gz has 1 bytes; wanted are 28881 bytes, SHA-256 3552\w+, from", atlas.missing_files("toy")[1]
    )


def test_a_set_that_nobody_knows_is_named(atlas_of):
    files = "files:\n  fashon_mnist: {scales: [quick]}\n"
    with pytest.raises(ConfigError, match=r"files.fashon_mnist: no path, and no set.*did you mean 'fashion_mnist'"):
        atlas_of((STUDY, "data:\n", f"{files}data:\n")).check()


def test_a_study_that_lacks_published_files_is_stopped_before_any_job(atlas_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    atlas = atlas_of((STUDY, "data:\n", f"{FILES}data:\n"))
    plan = atlas.plan("toy")
    with pytest.raises(ConfigError) as refused:
        require_files(atlas, plan.node("measure", "error"), others=False, dry=False)
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("scale quick reads published files that are not here")
    assert [line.split(":")[0] for line in lines[1:]] == ["  toy"] * 5
    require_files(atlas, plan.node("figures", "figures"), others=True, dry=False)
    require_files(atlas, atlas.plan("toy", "smoke").node("train", "biases"), others=True, dry=False)
    for _ in range(2):
        require_files(atlas, plan.node("measure", "error"), others=True, dry=True)
    assert capsys.readouterr().err.count("put it at d/w.txt") == 1
    made = tmp_path / plan.node("measure", "error").outputs[0]
    made.parent.mkdir(parents=True)
    made.touch()
    require_files(atlas, plan.node("measure", "error"), others=False, dry=False)


def test_every_need_is_planned_before_and_every_path_once(atlas_of):
    planned = list(nodes(atlas_of()).values())
    paths = [path for node in planned for path in node.outputs]
    assert len(paths) == len(set(paths))
    for at, node in enumerate(planned):
        made_before = {path for earlier in planned[:at] for path in earlier.outputs}
        assert set(node.inputs) <= made_before


def test_development_seeds_live_beside_the_ledgers(atlas_of):
    atlas = atlas_of(seeds="dev")
    assert atlas.scale == "quick-dev"
    assert all("/quick-dev/" in path for node in nodes(atlas).values() for path in node.outputs)
    assert atlas.plan("toy").node("data", "points").seeds == tuple(range(8))
    assert nodes(atlas_of(seeds=3))["data:points"].seeds == (100, 101, 102)


def test_shared_axes_join_need_and_consumer_value_by_value(atlas_of):
    edit = (STUDY, "needs: [points, lines], metrics", "needs: [points, lines], jobs: {rate: [0.3]}, metrics")
    measure = ("src/dynatlas/studies/toy/measure.py", "lines: list[Run])", "lines: Run, rate: Rate)")
    node = nodes(atlas_of(edit, measure))["measure:error@rate=0.3"]
    assert [need.name for need in node.needs["lines"]] == ["lines@rate=0.3"]
    assert node.single == {"points", "lines"}
    with pytest.raises(ConfigError, match=r"error.needs: 'lines': no job of it has {'rate': 0.7}"):
        atlas_of((STUDY, edit[1], edit[2].replace("0.3", "0.7")), measure).check()


def test_numbers_of_the_scale_reach_every_depth(atlas_of):
    edit = (STUDY, "with: [steps]", 'with: {steps: {deep: ["=steps", 1, "=points"]}}')
    assert nodes(atlas_of(edit, NESTED))["train:lines@rate=0.1"].settings["steps"] == {"deep": [20, 1, 16]}


def test_a_scale_overrides_numbers_whole_and_adds_its_own(atlas_of):
    numbers = (STUDY, "numbers: {steps: 20,", "numbers: {seeds: 9, points: 3, steps: {a: 1, b: 2},")
    scales = (STUDY, "quick: {seeds: 8, points: 16}", "quick: {steps: {a: 3}, more: 1}")
    quick = atlas_of(numbers, scales, NESTED)
    assert nodes(quick)["train:lines@rate=0.1"].settings["steps"] == {"a": 3}
    assert nodes(quick)["data:points"].settings == {"count": 3}
    assert len(nodes(quick)["data:points"].seeds) == 9
    assert quick.plan("toy").arguments.numbers.values["more"] == 1
    smoke = atlas_of(numbers, scales, NESTED, scale="smoke")
    assert nodes(smoke)["train:lines@rate=0.1"].settings["steps"] == {"a": 1, "b": 2}
    assert nodes(smoke)["data:points"].settings == {"count": 8}


@pytest.mark.parametrize(
    "given",
    ["[steps]", '{steps: "=steps"}', '[steps: "=steps"]', '[{steps: "=steps"}]', "[steps: 20]", "{steps: 20}"],
)
def test_an_argument_is_said_by_name_or_with_its_value(atlas_of, given):
    assert changed(atlas_of(), atlas_of((STUDY, "with: [steps]", f"with: {given}"))) <= TOLD


def test_axes_are_said_by_name_too(atlas_of):
    edits = [('jobs: {rate: "=rates"}', "jobs: [rate]"), ("rates: [0.1", "rate: [0.1")]
    edits += [('columns: {rate: "=rates"}', 'columns: {rate: "=rate"}')]
    assert changed(atlas_of(), atlas_of(*((STUDY, old, new) for old, new in edits))) <= TOLD
    stacked = [
        (STUDY, 'jobs: {rate: "=rates"}', "stacked: [rates]"),
        (STUDY, "with: [steps]", "with: {rate: 1, steps: 1}"),
    ]
    function = ("src/dynatlas/studies/toy/train.py", "steps: Steps)", "steps: Steps, rates: Rates)")
    measure = ("src/dynatlas/studies/toy/measure.py", "lines: list[Run])", "lines: Run)")
    made = nodes(atlas_of(*stacked, function, measure))
    assert made["train:lines"].settings == {"rate": 1, "steps": 1, "rates": [0.1, 0.3]}


def test_a_call_is_of_the_studys_own_module_of_another_or_of_any_in_full(atlas_of):
    line = "lines: {call: train_lines"
    for call in ("train:train_lines", "dynatlas.studies.toy.train:train_lines"):
        assert changed(atlas_of(), atlas_of((STUDY, line, f"lines: {{call: {call}"))) == set()
    edits = [(STUDY, line, "lines: {call: models.lines:fit")]
    package = atlas_of().root / "src" / "dynatlas" / "studies" / "toy" / "models"
    atlas = atlas_of(*edits)
    package.mkdir()
    (package / "__init__.py").write_text('"""Models."""\n')
    (package / "lines.py").write_text("def fit(job, *, points, rate: Rate, steps: Steps):\n    return {}\n")
    assert nodes(atlas)["train:lines@rate=0.1"].call == "dynatlas.studies.toy.models.lines:fit"


@pytest.mark.parametrize("call", ["train_lines", "train_biases", "measure_bias", "draw_errors"])
def test_an_entry_calls_the_function_of_its_own_name(atlas_of, call):
    assert changed(atlas_of(), atlas_of((STUDY, f"call: {call}, ", ""))) == set()


def test_one_entry_of_a_number_makes_its_own_job_again_alone(atlas_of):
    by_rate = (STUDY, "with: [steps]", 'with: {steps: "=steps[rate]"}')
    before = atlas_of(by_rate, (STUDY, "steps: 20,", "steps: {0.1: 20, 0.3: 20},"))
    after = atlas_of(by_rate, (STUDY, "steps: 20,", "steps: {0.1: 20, 0.3: 21, 0.5: 1},"))
    assert nodes(after)["train:lines@rate=0.3"].settings == {"rate": 0.3, "steps": 21}
    assert changed(before, after) == {"train:lines@rate=0.3", "measure:error"} | DOWN
    assert changed(atlas_of(), before) <= TOLD


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("file", "old", "new", "affected"),
    [
        (STUDY, "quick: {seeds: 8, points: 16", "quick: {seeds: 8, points: 17", {"*"}),
        (STUDY, "smoke: {seeds: 6, points: 8", "smoke: {seeds: 6, points: 9", TOLD),
        (STUDY, "quick: {seeds: 8", "quick: {unused: 1, seeds: 8", TOLD),
        (
            STUDY,
            "with: [steps]",
            "with: {steps: 21}",
            {"train:lines@rate=0.1", "train:lines@rate=0.3", "measure:error"} | DOWN,
        ),
        (
            STUDY,
            "steps: 20, rates: [0.1, 0.3]",
            "steps: 20, rates: [0.1, 0.4]",
            {"train:lines@rate=0.3", "train:lines@rate=0.4", "measure:error"} | DOWN,
        ),
        (
            STUDY,
            "call: train_biases",
            "call: train_lines, with: {rate: 1, steps: 1}",
            {"train:biases", "measure:bias"} | DOWN,
        ),
        (STUDY, "metrics: {bias: real}", "metrics: {bias: real, more: real}", {"measure:bias"} | DOWN),
        (STUDY, "biases: {call: train_biases", "biases: {threads: 2, about: text, call: train_biases", set()),
        (STUDY, 'title: "Bias"', 'title: "Biases"', {"notebook:notebook", "page:page", "index:index"}),
        (STUDY, 'authors: "Nobody"', 'authors: "Somebody"', {"page:page", "index:index"}),
        ("src/dynatlas/studies/toy/claims.yaml", "margin: 2\n", "margin: 3\n", DOWN - {"figures:figures"}),
        ("src/dynatlas/studies/toy/README.md", "It does.", "It does not.", {"page:page", "index:index"}),
        ("workflow/notebooks/toy.py", "# # A toy", "# # The toy", {"notebook:notebook", "page:page", "index:index"}),
        (
            "src/dynatlas/studies/toy/figures.py",
            'yscale="log"',
            'yscale="linear"',
            DOWN - {"claims:claims", "ledger:ledger"},
        ),
        (
            "src/dynatlas/instruments/fit_error.py",
            ".mean(axis=1)",
            ".mean(axis=-1)",
            {"measure:error", "measure:bias", "guide:tour"} | DOWN,
        ),
        ("workflow/notebooks/guides/tour.py", "np.ones(1)", "np.zeros(1)", {"guide:tour", "index:index"}),
        (
            "src/dynatlas/instruments/slope.py",
            "for _ in range(steps)",
            "for _ in range(0, steps)",
            {"train:lines@rate=0.1", "train:lines@rate=0.3", "train:biases", "measure:error", "measure:bias"} | DOWN,
        ),
        (
            "src/dynatlas/site/templates/base.html",
            "<html",
            "<html data-a",
            {"notebook:notebook", "page:page", "guide:tour", "index:index"},
        ),
    ],
)
def test_an_edit_changes_the_keys_of_what_follows_and_no_others(atlas_of, file, old, new, affected):
    before = atlas_of()
    everything = drawn(before)
    found = changed(before, atlas_of((file, old, new)))
    assert found == (everything if affected == {"*"} else affected)


def test_the_same_declarations_give_the_same_keys(atlas_of):
    assert changed(atlas_of(), atlas_of()) == set()
    assert changed(atlas_of(), atlas_of(base_seed=0, device="cpu", scale="quick", seeds="ledger")) == set()


def test_what_changes_every_draw_changes_every_key(atlas_of):
    before = atlas_of()
    assert changed(before, atlas_of(base_seed=1)) == drawn(before)
    assert changed(before, atlas_of(seeds=9)) == drawn(before)


def test_whatever_changes_a_key_is_seen_by_the_engine(atlas_of):
    """The engine compares `params`; a key that changed unseen would leave artefacts that every reader refuses."""
    before = nodes(atlas_of())
    after = nodes(atlas_of((STUDY, "steps: 20, rates: [0.1, 0.3]", "steps: 20, rates: [0.3, 0.1]")))
    for name, node in before.items():
        assert (node.params == after[name].params) == (node.key == after[name].key)
    assert before["measure:error"].key != after["measure:error"].key


def test_a_ledger_over_some_studies_says_which_are_missing(atlas_of, tmp_path):
    atlas = atlas_of()
    second = atlas.root / "config" / "studies" / "second.yaml"
    second.write_text((atlas.root / STUDY).read_text().replace("study: toy", "study: second"))
    package = atlas.root / "src" / "dynatlas" / "studies"
    shutil.copytree(package / "toy", package / "second")
    shutil.copy(atlas.root / "workflow" / "notebooks" / "toy.py", atlas.root / "workflow" / "notebooks" / "second.py")
    both, one = Atlas(atlas.root), Atlas(atlas.root, {"studies": ["toy"]})
    assert both.joint()["ledger"].settings["missing"] == []
    assert one.joint()["ledger"].settings["missing"] == ["second"]
    assert both.joint()["ledger"].key != one.joint()["ledger"].key
    # neither the fact that another study exists nor that it is not made touches this study's own nodes
    assert {name: node.key for (_, name), node in both.plan("toy").nodes.items()} == {
        name: node.key for (_, name), node in atlas.plan("toy").nodes.items()
    }
