"""Named streams: same name same draws, any other name other draws; and what a job hands to a study's function."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynatlas.jobs import Job, Progress, Run
from dynatlas.seeds import FIRST_LEDGER_SEED, numpy_stream, seed_list, stream_key, torch_stream

NAMES = st.tuples(
    st.integers(0, 5), st.sampled_from(["a", "ab", "b"]), st.sampled_from(["task", "noise"]), st.integers()
)


@given(NAMES, NAMES)
def test_keys_agree_exactly_where_names_do(one, other):
    assert (stream_key(*one) == stream_key(*other)) == (one == other)
    assert 0 <= stream_key(*one) < 2**64


def test_a_stream_starts_anew_and_has_no_global_state():
    def draws(make, **kept):
        return make(0, "toy", "task", 3, **kept)

    before = torch.get_rng_state()
    assert torch.equal(torch.randn(5, generator=draws(torch_stream)), torch.randn(5, generator=draws(torch_stream)))
    assert np.array_equal(draws(numpy_stream).normal(size=5), draws(numpy_stream).normal(size=5))
    assert torch.equal(before, torch.get_rng_state())


def test_streams_of_a_job_are_paired_by_purpose_and_independent_otherwise():
    few, many = Job(study="toy", seeds=[100, 101]), Job(study="toy", seeds=[100, 101, 102])
    kinds = itertools.product(("task", "noise"), (100, 101))
    draws = {name: few.rng(*name).normal(size=200) for name in kinds}
    for one, other in itertools.combinations(draws, 2):
        assert abs(np.corrcoef(draws[one], draws[other])[0, 1]) < 0.25
    for early, late in zip(few.generators("task"), many.generators("task"), strict=False):
        assert torch.equal(torch.rand(4, generator=early), torch.rand(4, generator=late))
    assert Job(study="toy", seeds=[1], base_seed=1).rng("task", 1).random() != few.rng("task", 1).random()


def test_ledger_and_development_seeds_never_meet():
    assert seed_list(3) == [FIRST_LEDGER_SEED, FIRST_LEDGER_SEED + 1, FIRST_LEDGER_SEED + 2]
    assert seed_list(3, dev=True) == [0, 1, 2]
    assert not set(seed_list(100)) & set(seed_list(100, dev=True))
    with pytest.raises(ValueError, match="seeds: 0: at least one"):
        seed_list(0)


def test_checkpoints_lie_in_the_scratch_folder_or_nowhere(tmp_path):
    assert Job(study="toy", seeds=[0]).checkpoint("fit") is None
    assert Job(study="toy", seeds=[0], scratch=tmp_path).checkpoint("fit") == tmp_path / "fit.safetensors"


def test_progress_says_step_values_and_time_left(capsys):
    report = Progress(name="fit", total=10, every=0.0)
    for step in range(1, 11):
        report(step, loss=0.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "fit: step 1/10 loss 0.5"
    assert all(re.fullmatch(r"fit: step \d+/10 loss 0.5, \d+ s left", line) for line in lines[1:])
    assert re.fullmatch(r"fit: step 10/10 loss 0.5, 0 s left", lines[-1])
    quiet = Progress(name="fit", total=100, every=60.0)
    for step in range(1, 101):
        quiet(step)
    assert len(capsys.readouterr().err.splitlines()) <= 2


def test_a_run_names_the_arrays_that_it_has():
    run = Run({"b": 1, "a": 2}, seeds=[0], settings={"rate": 0.1})
    assert dict(run) == {"b": 1, "a": 2}
    assert len(run) == 2
    with pytest.raises(KeyError, match=r"no array 'c' in this run; there are: a, b"):
        run["c"]
