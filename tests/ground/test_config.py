"""Bad configuration: one clear message with file, key, value, what is allowed, and the nearest name."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.cli import parse_config

from dynatlas.config import AtlasConfig, ConfigError, load_config, read_yaml
from dynatlas.declarations import load_studies, select
from dynatlas.names import nearest

STUDY = """\
study: toy
paper: {title: A toy, authors: Nobody, year: 2026}
scales:
  quick: {seeds: 8, rate: 1e-3}
runs:
  lines: {call: train_lines, jobs: {rate: [0.1]}, with: {steps: 3}}
measures:
  error: {call: measure_error, needs: [lines], metrics: {error: real}, columns: {rate: [0.1]}}
figures:
  errors: {call: draw, needs: [error], title: T, caption: C}
"""


def written(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path):
    (tmp_path / "config" / "studies").mkdir(parents=True)
    (tmp_path / "config" / "config.yaml").write_text("scale: quick\n")
    (tmp_path / "config" / "studies" / "toy.yaml").write_text(STUDY)
    return tmp_path


# ---------------------------------------------------------------- yaml


def test_numbers_and_words_are_read_as_people_write_them(tmp_path):
    words = {"1e-3": 1e-3, "1E5": 1e5, "-2.5e+2": -250.0, "1_0": 10, ".5": 0.5, "1.": 1.0, "3": 3, "-.inf": -math.inf}
    words |= {"+7": 7, "0": 0, "-0.0": 0.0, "0x1F": 31, "0b11": 3, "true": True, "FALSE": False, "~": None, "": None}
    words |= {one: one for one in ("0x", "1e-3x", "10-NN", "n", "none", "not", "2026-11-27", "2006.14123v2", "x")}
    words |= {"-.Inf": -math.inf, ".INF": math.inf, "+.inf": math.inf}
    words |= {'"no"': "no", "'010'": "010", '"None"': "None", "yes please": "yes please"}
    for word, value in words.items():
        assert read_yaml(written(tmp_path, f"a: {word}\n")) == {"a": value}, word
        assert type(read_yaml(written(tmp_path, f"a: {word}\n"))["a"]) is type(value), word


@pytest.mark.parametrize("word", ["1e400", "-1.5E+999"])
def test_a_number_that_none_can_hold_is_no_infinity(tmp_path, word):
    with pytest.raises(ConfigError, match=r"line 1: a: .*larger than any number; write .inf"):
        read_yaml(written(tmp_path, f"a: {word}\n"))


@pytest.mark.parametrize(
    ("word", "way_out"),
    [
        *((word, "write false") for word in ("no", "No", "NO", "off", "Off")),
        *((word, "write true") for word in ("yes", "YES", "on", "On")),
        *(
            ("None", "write null"),
            ("010", "write 10,"),
            ("08", "write 8,"),
            ("-007", "write -7,"),
            ("0o10", "write 8,"),
        ),
        *((word, "write a number without colons") for word in ("1:30", "12:30:15", "1:30.5", "-1:00")),
        *(
            ("inf", "write .inf"),
            ("-Infinity", "write -.inf"),
            ("NaN", "write .nan"),
            ("0X1f", "write 31,"),
            ("0B11", "write 3,"),
            ("1_000.5", "write 1000.5"),
        ),
    ],
)
def test_a_word_that_readers_of_yaml_disagree_about_is_refused(tmp_path, word, way_out):
    """YAML 1.1 reads `010` as 8, `1:30` as 90, `no` as false; YAML 1.2 and Python read each as something else."""
    for text, key in (
        (f"a: 1\nb: {{c: [{word}]}}\n", "b.c"),
        (f"a: 1\nb:\n    {word}\n", "b"),
        (f"a: 1\n{word}: 2\n", word),
    ):
        path = written(tmp_path, text)
        with pytest.raises(ConfigError) as refused:
            read_yaml(path)
        message = str(refused.value)
        assert re.match(rf"{re.escape(str(path))}, line [23]: {re.escape(key)}: {re.escape(word)}: ", message), message
        assert way_out in message
        assert f'"{word}" if the word is meant' in message
        assert read_yaml(written(tmp_path, f'a: "{word}"\n')) == {"a": word}


def test_a_merged_key_may_be_overwritten(tmp_path):
    base = "base: &b {lr: 1, steps: 3}\nother: &o {<<: *b, lr: 4}\n"
    content = read_yaml(written(tmp_path, f"{base}run: {{<<: *b, lr: 2}}\nlist: {{<<: [*o, *b], steps: 5}}\n"))
    assert content["run"] == {"lr": 2, "steps": 3}
    assert content["other"] == {"lr": 4, "steps": 3}
    assert content["list"] == {"lr": 4, "steps": 5}
    assert content["base"] == {"lr": 1, "steps": 3}
    for text in ("{<<: *b, lr: 2, lr: 3}", "{<<: *b, <<: *o}", "{<<: {lr: 1, lr: 2}}"):
        with pytest.raises(ConfigError, match=r"line 3: run\S*: the key '(lr|<<)' stands twice"):
            read_yaml(written(tmp_path, f"{base}run: {text}\n"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_writes_is_that_number(tmp_path_factory, number):
    path = written(tmp_path_factory.mktemp("yaml"), f"number: {number!r}\n")
    assert read_yaml(path) == {"number": number}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "the file holds a list"),
        ("a:\n\tb: 1\n", "line 2: a tab indents this line"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a: the key 'a' stands twice"),
        ("a: {b: 1, b: 2}\n", "the key 'b' stands twice"),
        ("a: [1, 2\nb: 3\n", "not valid yaml"),
        ("a: !!python/object:os.system {}\n", "not valid yaml"),
    ],
)
def test_bad_yaml_names_file_line_and_reason(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_yaml(path)
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_a_missing_file_and_bytes_that_are_no_text_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.yaml.*UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


# ---------------------------------------------------------------- config/config.yaml and --config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"scale": "quik"}, ["scale", "'quik'", "'smoke'", "'paper'", "did you mean 'quick'"]),
        ({"sclae": "quick"}, ["sclae", "unknown key", "did you mean 'scale'", "studies"]),
        ({"seeds": 0}, ["seeds", "0", "greater than 0", "'ledger'"]),
        ({"seeds": -1}, ["seeds", "-1", "greater than 0", "'ledger'"]),
        ({"seeds": "many"}, ["seeds", "'many'", "'ledger' or 'dev'"]),
        ({"seeds": True}, ["seeds", "True"]),
        ({"device": "gpu"}, ["device", "'gpu'", "'cpu' or 'cuda'"]),
        ({"base_seed": "x"}, ["base_seed", "'x'", "integer"]),
        ({"studies": 3}, ["studies", "3", "'all'"]),
    ],
)
def test_a_bad_value_is_answered_in_one_line(root, override, words):
    with pytest.raises(ConfigError) as refused:
        load_config(root, override)
    message = str(refused.value)
    assert message.startswith("the command line: ")
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("seeds=1:30", "seeds: '1:30'"),
        ("seeds=1e1", "seeds: 10.0"),
        ("seeds=", "seeds: None"),
        ("base_seed=no", "base_seed: 'no'"),
        ("base_seed=1.5", "base_seed: 1.5"),
        ("device=on", "device: 'on'"),
    ],
)
def test_values_of_the_engines_command_line_are_held_as_strictly(root, given, words):
    with pytest.raises(ConfigError) as refused:
        load_config(root, parse_config([given]))
    assert str(refused.value).startswith(f"the command line: {words}")
    # a number is a decimal one there, as it is after --seeds
    assert load_config(root, parse_config(["seeds=010"])).seeds == 10


@pytest.mark.parametrize("seeds", ["ledger", "dev", 3])
def test_a_scale_as_it_stands_in_paths_settles_which_seeds_are_meant(root, seeds):
    (root / "config" / "config.yaml").write_text(f"seeds: {seeds}\n")
    assert load_config(root, path_scale="smoke-dev") == AtlasConfig(scale="smoke", seeds="dev")
    assert load_config(root, path_scale="smoke") == AtlasConfig(scale="smoke", seeds=3 if seeds == 3 else "ledger")
    assert load_config(root, {"seeds": 5}, path_scale="smoke").seeds == 5
    with pytest.raises(ConfigError, match=r"^seeds: 5: a number counts the ledger's seeds, but smoke-dev has those"):
        load_config(root, {"seeds": 5}, path_scale="smoke-dev")


def test_a_bad_file_is_named_rather_than_the_command_line(root):
    (root / "config" / "config.yaml").write_text("scale: quik\n")
    with pytest.raises(ConfigError, match=r"^config/config.yaml: scale: 'quik'"):
        load_config(root, {"device": "cpu"})


def test_the_command_line_is_put_over_the_file(root):
    (root / "config" / "config.yaml").write_text("scale: quick\nbase_seed: 3\n")
    assert load_config(root, {"scale": "smoke"}) == AtlasConfig(scale="smoke", base_seed=3)
    assert load_config(root, {"seeds": 4}).seeds == 4
    assert load_config(root, {"studies": "toy"}).studies == ["toy"]


def test_an_unknown_study_is_answered_with_the_nearest(root):
    studies = load_studies(root)
    for studies_asked, words in (
        (["toi"], "studies: 'toi': no such study; did you mean 'toy'? (known: toy)"),
        ([], "studies: []: the list is empty; write `all`"),
    ):
        with pytest.raises(ConfigError) as refused:
            select(AtlasConfig(studies=studies_asked), studies)
        assert words in str(refused.value)
    assert select(AtlasConfig(), studies) == ["toy"]


# ---------------------------------------------------------------- config/studies/<study>.yaml


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("study: toy", "studdy: toy", ["studdy", "unknown key", "did you mean 'study'"]),
        ("title: A toy", "titel: A toy", ["paper.titel", "unknown key", "did you mean 'title'"]),
        ("call: train_lines", "cal: train_lines", ["runs.lines.cal", "unknown key", "did you mean 'call'"]),
        ("with: {steps: 3}", "wiht: {steps: 3}", ["runs.lines.wiht", "unknown key", "did you mean 'with'"]),
        ("metrics: {error: real}", "metric: {error: real}", ["measures.error.metric", "did you mean 'metrics'"]),
        ("metrics: {error: real}", "metrics: {}", ["measures.error.metrics", "at least 1"]),
        ("error: real}", "error: reel}", ["metrics.error", "'reel'", "did you mean 'real'", "nonnegative"]),
        ("error: real}", "error: [1, 0]}", ["metrics.error", "the lower bound comes first"]),
        ("error: real}", "error: [0, .nan]}", ["metrics.error", "the lower bound comes first"]),
        ("error: real}", "error: [0, true]}", ["metrics.error", "allowed is [low, high]"]),
        ("columns: {rate: [0.1]}", "columns: {seed: [1]}", ["columns", "seed: a column of every table"]),
        ("columns: {rate: [0.1]}", "columns: {rate: flaot}", ["columns.rate", "'flaot'", "did you mean 'float'"]),
        ("columns: {rate: [0.1]}", "columns: {rate: {from: 1}}", ["columns.rate", "missing"]),
        ("caption: C", "captoin: C", ["figures.errors.captoin", "unknown key", "did you mean 'caption'"]),
        (", caption: C", "", ["figures.errors.caption", "missing"]),
        ("year: 2026", "year: last", ["paper.year", "'last'", "integer"]),
        ("quick: {", "quik: {", ["scales.quik", "'quick'"]),
        ("seeds: 8", "seeds: 0", ["quick.seeds", "0", "at least 1"]),
        ("seeds: 8", "seeds: -1", ["quick.seeds", "-1", "at least 1"]),
        ("seeds: 8", "seeds: many", ["quick.seeds", "'many'", "whole number"]),
        ("seeds: 8, ", "", ["quick.seeds", "None", "whole number"]),
        ("runs:", "files: {mnist: {scales: [quik]}}\nruns:", ["files.mnist.scales", "'quik'", "'quick'"]),
        ("runs:", "files: {mnist: {scales: []}}\nruns:", ["files.mnist.scales", "at least 1"]),
        (
            "runs:",
            "files: {mnist: {scales: [quick], read_by: [lins]}}\nruns:",
            ["files: mnist.read_by: 'lins': no such entry", "did you mean 'lines'"],
        ),
        ("call: train_lines,", "call: train_lines, threads: 0,", ["runs.lines.threads", "0", "greater than 0"]),
        ("call: train_lines,", "call: train_lines, scales: [quik],", ["runs.lines.scales", "'quik'", "'quick'"]),
        ("{steps: 3}", "[steps, steps: 3]", ["runs.lines.with", "'steps' stands twice"]),
        ("{steps: 3}", "[3]", ["runs.lines.with", "3: allowed in the list is the name of a number, or `key: value`"]),
        ("{steps: 3}", '["=steps"]', ["runs.lines.with", "'=steps'", "the name of a number"]),
        ("jobs: {rate: [0.1]}", "jobs: [rate: 0.1]", ["runs.lines.jobs.rate", "0.1", "list"]),
        ("scales:", "numbers: 3\nscales:", ["numbers: 3", "dictionary"]),
        ("quick: {seeds: 8, rate: 1e-3}", "quick:", ["scales.quick", "None", "dictionary"]),
        ("study: toy", "study: Toy Study", ["study", "'Toy Study'", "pattern"]),
        ("study: toy", "study: other", ["study", "'other'", "the file's name says 'toy'"]),
    ],
)
def test_a_mistake_in_a_study_is_named_at_any_depth(root, old, new, words):
    assert STUDY.count(old) == 1
    (root / "config" / "studies" / "toy.yaml").write_text(STUDY.replace(old, new))
    with pytest.raises(ConfigError) as refused:
        load_studies(root)
    message = str(refused.value)
    assert message.startswith("config/studies/toy.yaml: ")
    for word in words:
        assert word in message, message


def test_every_mistake_of_a_file_is_listed(root):
    text = STUDY.replace("title: A toy", "titel: A toy").replace("caption: C", "captoin: C")
    (root / "config" / "studies" / "toy.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_studies(root)
    assert sum("did you mean" in line for line in str(refused.value).splitlines()) == 2


def test_a_plan_without_studies_is_an_error(root):
    (root / "config" / "studies" / "toy.yaml").unlink()
    with pytest.raises(ConfigError, match="config/studies: no study is declared here"):
        load_studies(root)


def test_a_good_study_is_read_whole(root):
    spec = load_studies(root)["toy"]
    assert spec.package == "dynatlas.studies.toy"
    assert spec.scales["quick"]["rate"] == 1e-3
    assert spec.runs["lines"].with_ == {"steps": 3}


@given(st.text(alphabet="abc", max_size=5), st.lists(st.text(alphabet="abc", min_size=1, max_size=5)))
def test_the_nearest_name_is_a_known_one_or_none(name, known):
    answer = nearest(name, known)
    assert answer == "" or answer.removeprefix("; did you mean '").removesuffix("'?") in known
    assert nearest("quik", ["quick", "smoke"]) == "; did you mean 'quick'?"
