"""Declarations that cannot work are named before any job, with the nearest thing that could."""

from pathlib import Path

import pytest

from dynatlas.config import ConfigError

STUDY = "config/studies/toy.yaml"


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([("call: train_lines", "call: train_line")], ["lines.call", "train_line", "did you mean 'train_lines'"]),
        (
            [("lines: {call: train_lines, ", "line: {"), ("points, lines]", "points, line]")],
            ["line.call", "train_line"],
        ),
        (
            [("call: draw_points, ", "")],
            ["points.call: 'make_points'", "no such function", "did you mean 'draw_points'"],
        ),
        ([("call: train_lines", "call: dynatlas.study:f")], ["lines.call", "no module", "did you mean"]),
        ([("[steps]", '{step: "=steps"}')], ["lines", "no argument 'step'", "did you mean 'steps'"]),
        ([(", with: [steps]", "")], ["lines", "needs the argument 'steps'"]),
        ([("[steps]", "[stepz]")], ["lines.with.stepz", "'=stepz'", "did you mean 'steps'"]),
        (
            [("[steps]", '{steps: "=steps[rate]"}')],
            ["lines.with.steps: '=steps[rate]'", "the number 'steps' is no mapping", '"=steps"'],
        ),
        (
            [("[steps]", '{steps: "=steps[rates]"}'), ("steps: 20", "steps: {0.1: 1}")],
            ["'=steps[rates]'", "no axis 'rates' in `jobs:`", "did you mean 'rate'"],
        ),
        (
            [("[steps]", '{steps: "=steps[rate]"}'), ("steps: 20", "steps: {0.1: 1}")],
            ["'=steps[rate]'", "the number 'steps' has no entry 0.3 at scale quick", "did you mean '0.1'"],
        ),
        ([("[steps]", '{steps: "=steps[rate"}')], ["'=steps[rate'", 'write "=number", or "=number[axis]"']),
        (
            [("call: train_lines", "call: trian:train_lines")],
            ["lines.call", "studies.toy.trian", "did you mean 'train'"],
        ),
        ([('jobs: {rate: "=rates"}', 'jobs: {rate: "=rate"}')], ["lines.jobs.rate", "'=rate'", "did you mean 'rates'"]),
        ([('jobs: {rate: "=rates"}', "jobs: {rate: []}")], ["lines.jobs.rate", "at least one value"]),
        ([('jobs: {rate: "=rates"}', "jobs: {rate: 0.1}")], ["lines.jobs.rate", "0.1", "list"]),
        ([('jobs: {rate: "=rates"}', "jobs: {rate: [0.1, 0.10]}")], ["lines", "two values give the file name"]),
        (
            [("  lines: {", "  lines: {seeds: 2, ")],
            ["error: has 6 seeds at scale smoke, but lines, which it needs, has 2"],
        ),
        (
            [("{steps: 20,", "{steps: 20, stepz: 3,")],
            ["numbers.stepz: nothing reads this number; did you mean 'steps'"],
        ),
        (
            [("{seeds: 6, points: 8}", "{seeds: 6, points: few}")],
            ["at scale smoke: points.with.count: 'few'", "integer"],
        ),
        ([("{seeds: 6, points: 8}", "{seeds: 6}")], ["points.with.count", "no number 'points' at scale smoke"]),
        ([("needs: [biases]", "needs: [biasses]")], ["bias.needs", "'biasses'", "did you mean 'biases'"]),
        ([("needs: [error]", "needs: [eror]")], ["figures.errors.needs", "'eror'", "did you mean 'error'"]),
        ([("needs: [error]", "needs: [lines]")], ["figures.errors.needs", "'lines'", "no such measure"]),
        ([("call: draw_errors", "call: draw_error")], ["figures.errors.call", "did you mean 'draw_errors'"]),
        ([("  bias: {", "  lines: {")], ["measures.lines", "runs has an entry of that name too"]),
        ([("  biases: {call: train", "  bia ses: {call: train")], ["runs.bia ses", "letters, digits"]),
        (
            [("call: draw_points,", "call: draw_points, needs: [error],")],
            ["needs: a cycle: points -> error -> points"],
        ),
        (
            [("train_biases, needs: [points]", "train_biases, needs: [bias]")],
            ["needs: a cycle: biases -> bias -> biases"],
        ),
    ],
)
def test_what_cannot_work_is_named(atlas_of, edits, words):
    with pytest.raises(ConfigError) as refused:
        atlas_of(*((STUDY, old, new) for old, new in edits)).check()
    message = str(refused.value)
    assert message.startswith(STUDY)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metric: error\n    compare", "metric: eror\n    compare", ["C1", "'eror'", "did you mean 'error'"]),
        ("table: bias\n", "table: biases\n", ["'biases'", "did you mean 'bias'"]),
        ("test: less", "test: les", ["C1", "'les'", "did you mean 'less'"]),
        ("  - id: C2", "  - id: C1", ["C1", "twice"]),
        ("    margin: 0\n", "    margn: 0\n", ["margn", "did you mean 'margin'"]),
        (
            "decided_by: quick\n    controls: [{compare",
            "decided_by: quik\n    controls: [{compare",
            ["'quik'", "'quick'"],
        ),
        ("claims:", "claim:", ["`claims:`", "a list of at least one claim"]),
    ],
)
def test_a_claim_that_cannot_be_decided_is_named_before_any_job(atlas_of, old, new, words):
    claims = "src/dynatlas/studies/toy/claims.yaml"
    with pytest.raises(ConfigError) as refused:
        atlas_of((claims, old, new)).check()
    message = str(refused.value)
    assert message.startswith(claims)
    for word in words:
        assert word in message, message


def test_missing_pieces_of_a_study_are_named(atlas_of):
    for file in (
        "workflow/notebooks/toy.py",
        "src/dynatlas/studies/toy/claims.yaml",
        "src/dynatlas/studies/toy/README.md",
    ):
        atlas = atlas_of()
        (atlas.root / file).unlink()
        with pytest.raises(ConfigError, match=Path(file).name):
            atlas.check()


def test_unknown_scale_study_and_step_are_named(atlas_of):
    with pytest.raises(ConfigError, match=r"no block for 'standard' \(there are: smoke, quick\)"):
        atlas_of(scale="standard").check()
    atlas = atlas_of()
    with pytest.raises(ConfigError, match="'toi': no such study; did you mean 'toy'"):
        atlas.plan("toi")
    with pytest.raises(ConfigError, match=r"no train step is called 'lines'.*lines@rate=0.1"):
        atlas.node("train", "toy", name="lines")
    with pytest.raises(ConfigError, match="'tuor': no such guide; did you mean 'tour'"):
        atlas.node("guide", "", name="tuor")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("# # A tour", "# A tour", "no heading"), ("import numpy", "import import", "tour.py, line 5: invalid syntax")],
)
def test_a_guide_that_cannot_be_read_is_named(atlas_of, old, new, words):
    with pytest.raises(ConfigError, match=f"workflow/notebooks/guides/tour.py.*{words}|{words}"):
        atlas_of(("workflow/notebooks/guides/tour.py", old, new)).check()


@pytest.mark.parametrize(
    "line",
    [
        "from dynatlas.instruments.slope import descend",
        "from dynatlas.instruments import slope",
        "import dynatlas.instruments.slope",
    ],
)
def test_a_guide_runs_again_when_what_it_imports_changes_however_it_imports_it(atlas_of, line):
    guide = ("workflow/notebooks/guides/tour.py", "import numpy as np", f"import numpy as np\n{line}")
    instrument = ("src/dynatlas/instruments/slope.py", "for _ in range(steps)", "for _ in range(0, steps)")
    before = atlas_of(guide).guides()["tour"]
    assert atlas_of(guide, instrument).guides()["tour"].key != before.key
