"""Random generators: a job hands them out, knows which are held, and nobody else makes any."""

from __future__ import annotations

import ast
import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job

ROOT = Path(__file__).parents[2]
MAKERS = {
    *("Generator", "RandomState", "default_rng", "SeedSequence", "PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"),
    *("torch_stream", "numpy_stream", "clone_state", "spawn", "fork_rng", "manual_seed", "initial_seed"),
}
MAY_MAKE = {
    "src/dynatlas/seeds.py": "makes them, from the name of a stream",
    "src/dynatlas/jobs.py": "hands them out",
    "src/dynatlas/datasets/labelled.py": "a cut belongs to the data, the same in every run",
    "src/dynatlas/datasets/manifolds.py": "a data set by its seed",
    "src/dynatlas/datasets/pixel_sequences.py": "an order of pixels belongs to the data",
    "src/dynatlas/instruments/lyapunov.py": "a first frame, which nobody need choose",
    "src/dynatlas/instruments/gradients.py": "a first vector, which nobody need choose",
    "src/dynatlas/instruments/perturbation_curve.py": "copies of those that it is given, for one call",
    "src/dynatlas/instruments/registry.py": "examples for contract suites",
    "workflow/notebooks/guides/own-networks.py": "a reader's own training, which does not resume",
}
"""Why each file that makes generators may. Tests may as well: what they draw is theirs, and none is resumed."""


def makers(tree: ast.AST) -> set[str]:
    """What is called in this code that makes a generator, or sets one to another state than its own."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in called}
    return names & MAKERS


def test_only_a_job_makes_generators():
    files = [path for part in ("src", "benchmarks", "workflow") for path in (ROOT / part).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): makers(ast.parse(path.read_text())) for path in files}
    made = {path: names for path, names in found.items() if names}
    assert made.keys() - MAY_MAKE.keys() == set(), {path: made[path] for path in made.keys() - MAY_MAKE.keys()}
    assert MAY_MAKE.keys() - made.keys() == set(), "an exception that is not needed"


@pytest.mark.parametrize(
    "code",
    [
        "torch.Generator(device='cpu')",
        "Generator().manual_seed(3)",
        "numpy.random.default_rng(3)",
        "np.random.Generator(np.random.PCG64(3))",
        "stream.spawn(2)",
        "torch_stream(0, 'study', 'noise', 1)",
    ],
)
def test_the_rule_would_find(code):
    assert makers(ast.parse(code))
    assert not makers(ast.parse("def f(job: Job, g: torch.Generator) -> Generator: return job.generators('noise')"))


def test_those_that_somebody_holds_are_known_by_purpose_seed_and_occurrence():
    job = Job("toy", [4, 7])
    assert job.streams.alive() == {}
    first, again, own = job.generators("noise"), job.generator("noise", 7), job.rng("noise", 7)
    names = ["torch/noise/4/0", "torch/noise/7/0", "torch/noise/7/1", "numpy/noise/7/0"]
    held = job.streams.alive()
    assert list(held) == names
    assert [held[name] for name in names] == [*first, again, own]
    held.clear()
    del first
    assert list(job.streams.alive()) == ["torch/noise/7/0", "numpy/noise/7/0"]
    assert job.streams.alive()["torch/noise/7/0"] is again


def test_garbage_is_told_from_what_is_held():
    """Two that have the same name, of which nobody can reach one: a circle holds it until garbage is collected."""
    job, circle = Job("toy", [0]), {}
    circle["itself"], circle["stream"] = circle, job.generator("noise", 0)
    gc.disable()
    try:
        del circle
        assert len(job.streams.alive()) == 1
        assert job.streams.alive(collect=True) == {}
        circle = {"stream": job.generator("noise", 0)}
        circle["itself"] = circle
        del circle
        held = job.generator("noise", 0)
        assert job.streams.alive() == {"torch/noise/0/0": held}
    finally:
        gc.enable()


def test_a_job_made_of_another_knows_the_same_and_two_jobs_do_not():
    job = Job("toy", [0])
    other = replace(job, checkpoint_seconds=1.0)
    held = [job.generator("a", 0), other.rng("b", 0)]
    assert list(job.streams.alive().values()) == list(other.streams.alive().values()) == held
    assert Job("toy", [0]).streams.alive() == {}
    assert job == Job("toy", [0])
    assert "streams" not in repr(job)


def test_generators_are_on_the_cpu_whatever_the_device_unless_asked_for_elsewhere():
    job, meta = Job("toy", [0], device="cuda"), "cpu"
    assert job.generator("initialisation", 0).device.type == "cpu"
    assert [one.device.type for one in job.generators("noise", device=meta)] == ["cpu"]
    plain = torch.rand(3, generator=Job("toy", [0]).generator("initialisation", 0))
    assert torch.equal(torch.rand(3, generator=job.generator("initialisation", 0)), plain)


def test_numpy_streams_draw_as_numpys_own():
    job = Job("toy", [0])
    own = job.rng("noise", 0)
    same = np.random.Generator(type(own.bit_generator)())
    same.bit_generator.state = own.bit_generator.state
    assert isinstance(own, np.random.Generator)
    assert np.array_equal(own.normal(size=5), same.normal(size=5))


def tree():
    return {"w": torch.ones(2, 3, dtype=torch.float64)}


def loss(params, noise):
    return ((params["w"] - noise) ** 2).sum(1)


class Killed(Exception):
    pass


def normal(stream):
    made = stream.normal(size=3) if isinstance(stream, np.random.Generator) else torch.randn(3, generator=stream)
    return torch.as_tensor(made, dtype=torch.float64)


def trained(job, *, draw, **given):
    return fit(draw, loss, tree(), steps=6, optimiser=SGD(lr=0.1), job=job, log_at=Every(1), **given)


@pytest.mark.parametrize("at", range(6))
def test_all_that_is_held_is_saved_however_it_is_held(tmp_path, at):
    """By a closure, an object that the loop is never shown, a default argument; torch's and numpy's, two of a name."""

    def run(job, dies=-1):
        hidden = {"deep": [job.generator("noise", 0)]}
        again, own = job.generator("noise", 0), job.rng("noise", 1)

        def draw(step, own=own):
            found = normal(hidden["deep"][0]) - 2 * normal(again) + normal(own)
            if step == dies:
                raise Killed
            return found

        return trained(job, draw=draw)

    def scratched():
        return Job("toy", [0, 1], scratch=tmp_path, checkpoint_seconds=0)

    with pytest.raises(Killed):
        run(scratched(), dies=at)
    resumed, whole = run(scratched()), run(Job("toy", [0, 1]))
    assert torch.equal(resumed.parameters["w"], whole.parameters["w"])
    assert torch.equal(resumed.losses.values["loss"], whole.losses.values["loss"])


def test_a_checkpoint_that_does_not_know_a_stream_is_not_taken_up(tmp_path, capsys):
    def run(job, purposes):
        streams = [job.generator(purpose, 0) for purpose in purposes]
        return trained(job, draw=lambda step: sum(normal(stream) for stream in streams)).parameters["w"]

    job = Job("toy", [0], scratch=tmp_path, checkpoint_seconds=0)
    run(job, ["one"])
    found = run(Job("toy", [0], scratch=tmp_path, checkpoint_seconds=0), ["one", "two"])
    assert torch.equal(found, run(Job("toy", [0]), ["one", "two"]))
    assert "checkpoint discarded" in (said := capsys.readouterr().err)
    assert "torch/two/0/0" in said


def kept_by_draw(job, kept):
    def draw(step):
        kept.append(job.generator("noise", step))
        return normal(kept[-1])

    return trained(job, draw=draw)


def kept_by_watch(job, kept):
    def measure(params, step):
        kept.extend([job.rng("look", step)] if step == 4 else [])
        return {"w": params["w"]}

    return trained(job, draw=lambda step: 0.0, watches={"seen": Watch(measure, at=Every(2))})


@pytest.mark.parametrize(
    ("keep", "message"),
    [(kept_by_draw, "update 1 asked .* torch/noise/0"), (kept_by_watch, "watch 'seen' asked .* numpy/look/4")],
)
def test_a_generator_asked_for_within_the_loop_and_kept_is_refused(keep, message):
    """Were it kept, a resumed loop would not know where it stood."""
    with pytest.raises(ValueError, match=message):
        keep(Job("toy", [0]), [])


def test_a_generator_for_one_call_is_welcome():
    job = Job("toy", [0])

    def circular(step):
        found = [job.generator("noise", step)]
        found.append(found)
        return normal(found[0])

    watch = Watch(lambda params, step: {"w": params["w"] + normal(job.rng("look", 0))}, at=Every(2))
    noted = trained(job, draw=circular, watches={"seen": watch})
    assert len(noted.logs["seen"].steps) == 4
