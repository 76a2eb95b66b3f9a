"""Bad input, through the real engine: it stops before any job, non-zero, with one clear message and no traceback."""

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STUDY = "config/studies/toy.yaml"


def refused(engine, *arguments):
    """What the engine says when it refuses; nothing may have been started."""
    done = engine.dry("--cores", "2", *arguments)
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in printed, printed
    assert "Shell command" not in printed
    assert not (engine.folder / "results").exists()
    assert not (engine.folder / "logs").exists()
    return printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "scale=quik"], ["scale", "'quik'", "'smoke', 'quick', 'standard' or 'paper'", "'quick'?"]),
        (["--config", "studies=[toi]"], ["studies", "'toi'", "did you mean 'toy'"]),
        (["--config", "seeds=0"], ["seeds: 0", "a number greater than 0"]),
        (["--config", "seeds=many"], ["seeds: 'many'", "'ledger' or 'dev'"]),
        (["--config", "scale=standard"], ["no block for 'standard'", "smoke, quick"]),
        (["--config", "device=cuda"], ["device", "'cuda'", "no usable GPU", "'cpu'"]),
        (["toi"], ["toi", "no such target", "did you mean 'toy'"]),
        (["figures/quick/toy/erors.png"], ["no such target", "did you mean 'figures/quick/toy/errors.png'"]),
        (["results/quick/toy/runs/lines@rate=0.2.safetensors"], ["lines@rate=0.2", "did you mean", "lines@rate=0."]),
    ],
)
def test_a_bad_option_or_target(bare, gpu, arguments, words):
    if gpu and "device=cuda" in arguments:
        pytest.skip("this machine has a GPU")
    printed = refused(bare, *arguments)
    for word in words:
        assert word in printed, printed


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("config/config.yaml", "seeds: ledger", "seeds: -1", ["config/config.yaml: seeds: -1"]),
        ("config/config.yaml", None, "", ["config.yaml", "the file is empty"]),
        (STUDY, "call: train_lines, needs", "cal: train_lines, needs", ["toy.yaml: runs.lines.cal", "'call'"]),
        (STUDY, "data:\n  points", "data:\n\tpoints", ["toy.yaml, line 9", "a tab"]),
        (
            STUDY,
            "biases: {call: train_biases, needs: [points]}",
            "biases: {call: train_biases, needs: [bias]}",
            ["a cycle: biases -> bias -> biases"],
        ),
        (
            "src/dynatlas/studies/toy/claims.yaml",
            "metric: error\n    compare",
            "metric: eror\n    compare",
            ["claims.yaml", "C1", "'eror'", "did you mean 'error'"],
        ),
        (
            "src/dynatlas/studies/toy/train.py",
            "def train_lines(job",
            "def train_lines(job:",
            ["train.py, line 16", "invalid syntax"],
        ),
    ],
)
def test_a_mistake_in_a_file(bare, file, old, new, words):
    if old is None:
        (bare.folder / file).write_text(new)
    else:
        bare.replace(file, old, new)
    printed = refused(bare, "--dry-run")
    for word in words:
        assert word in printed, printed


def test_published_files_are_asked_for_before_any_job(bare):
    """A dry run says the same, and goes on; what reads none is made."""
    words = "words: {path: downloads/w.txt, title: Words, source: nowhere, size: 9, sha256: abc, scales: [quick], "
    bare.replace(STUDY, "data:\n", f"files:\n  {words}read_by: [lines]}}\ndata:\n")
    wanted = "toy: Words: w.txt is missing; put it at downloads/w.txt (9 bytes, SHA-256 abc, from nowhere)"
    assert wanted in refused(bare)
    planned = bare.dry("--dry-run")
    assert planned.returncode == 0
    assert (planned.stdout + planned.stderr).count(wanted) == 1
    assert "train:biases" in bare.planned("results/quick/toy/tables/bias.parquet")
    done = bare.dry("--dry-run", "results/quick/toy/tables/bias.parquet")
    assert wanted not in done.stdout + done.stderr


def test_a_config_file_is_read_as_the_atlas_reads_yaml(bare):
    """The engine's own reader would take 010 for 8."""
    (bare.folder / "mine.yaml").write_text("seeds: 010\n")
    printed = refused(bare, "--configfile", "mine.yaml")
    assert "mine.yaml, line 1: seeds: 010: readers of yaml disagree about it; write 10" in printed


def test_a_number_of_seeds_and_development_seeds_are_not_both(bare):
    printed = refused(bare, "--config", "seeds=3", "--", "results/smoke-dev/toy/data/points.safetensors")
    assert "seeds: 3: a number counts the ledger's seeds, but smoke-dev has those for developing" in printed


def test_a_learning_rate_may_be_written_with_an_exponent(bare):
    bare.replace(STUDY, "rates: [0.1, 0.3]", "rates: [1e-3, 0.1, 0.3]")
    assert "train:lines@rate=0.001" in bare.planned("results/quick/toy/tables/error.parquet")
