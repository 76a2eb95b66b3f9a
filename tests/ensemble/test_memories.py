"""What methods and watches remember, and what a method may give: memories that stop, are saved, and are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from small_methods import Bowl, Differences, job_of, trained

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.methods import Backprop
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import RunningMean, Watch
from dynatlas.jobs import Job


class Killed(Exception):
    pass


def watched(limit: float) -> Watch:
    return Watch(
        lambda params, step: {"size": params["w"].flatten(1).abs().sum(1)},
        at=Every(1),
        remember=RunningMean("size", decay=0.5),
        reached=lambda seen: seen["mean size"] < limit,
        stop=True,
    )


def test_a_watch_stops_on_its_running_mean_and_resumes_with_it(tmp_path):
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    problem, given = Bowl(job), {"optimiser": SGD(lr=0.05), "method": None, "steps": 60}

    def dying(step):
        if step == 9:
            raise Killed
        return problem.draw(step)

    with pytest.raises(Killed):
        trained(Bowl, job, draw=dying, watches={"size": watched(4.0)}, **given)
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    resumed = trained(Bowl, job, watches={"size": watched(4.0)}, **given)
    whole = trained(Bowl, job_of(3), watches={"size": watched(4.0)}, **given)
    for key, tensor in whole.watched["size"].items():
        assert torch.equal(tensor, resumed.watched["size"][key])
    assert torch.equal(whole.stopped_at, resumed.stopped_at)
    size = whole.logs["size"].values["size"]
    weights = 0.5 ** torch.arange(len(size), dtype=torch.float64)
    for at in range(len(size)):
        past = size[: at + 1].flip(0) * weights[: at + 1, None]
        wanted = past.sum(0) / weights[: at + 1].sum()
        torch.testing.assert_close(whole.logs["size"].values["mean size"][at], wanted, rtol=1e-12, atol=0)
    first = (whole.logs["size"].values["mean size"] < 4.0).to(torch.int64).argmax(dim=0)
    assert torch.equal(whole.stopped_at, first)
    assert (first > (size < 4.0).to(torch.int64).argmax(dim=0)).all(), "the mean is later than what it is a mean of"


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_is_0_to_1_and_the_mean_has_a_name_that_is_measured(decay):
    with pytest.raises(ValueError, match=r"decay = .* wanted is 0"):
        RunningMean("size", decay)
    with pytest.raises(KeyError, match=r"unknown measured value .sise.; did you mean .size"):
        RunningMean("sise")({"size": torch.ones(2)}, {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.bool, torch.float64])
def test_a_running_mean_of_any_type_is_added_up_in_float32_at_least(dtype):
    memory, mean = {}, RunningMean("x", decay=1.0)
    for value in (0, 1, 1, 0):
        found = mean({"x": torch.full((2, 3), value, dtype=dtype)[:, ::2]}, memory)
    assert found["mean x"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(found["mean x"], torch.full((2, 2), 0.5, dtype=found["mean x"].dtype))


@dataclass(frozen=True)
class Assigning:
    """A method that puts new tensors in the place of those it should write into."""

    moment: bool

    def start(self, parameters):
        return {}

    def gradient(self, *given):
        return Backprop().gradient(*given)

    def between(self, parameters, moments, memory, *, step, active):
        (moments["velocity"] if self.moment else parameters)["w"] = torch.zeros(3, 4)


@pytest.mark.parametrize("moment", [False, True])
def test_what_would_be_lost_cannot_be_assigned(moment):
    with pytest.raises(TypeError, match="does not support item assignment"):
        trained(Bowl, job_of(3), method=Assigning(moment), optimiser=SGD(lr=0.1, momentum=0.9))


@dataclass
class Late:
    """A method that asks for its generators when it starts."""

    job: Job
    streams: list = field(default_factory=list)

    def start(self, parameters):
        self.streams = self.job.generators("noise")
        return {}

    def gradient(self, loss, parameters, batch, memory, step):
        losses, gradient = Backprop().gradient(loss, parameters, batch, memory, step)
        drawn = torch.stack([torch.randn(4, generator=g, dtype=torch.float64) for g in self.streams])
        return losses, {"w": gradient["w"] + drawn}

    def between(self, *given, **more):
        pass


def test_what_a_method_asks_for_when_it_starts_is_saved(tmp_path):
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    problem = Bowl(job)

    def dying(step):
        if step == 5:
            raise Killed
        return problem.draw(step)

    with pytest.raises(Killed):
        trained(Bowl, job, draw=dying, method=Late(job))
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    resumed, whole = trained(Bowl, job, method=Late(job)), trained(Bowl, job_of(3), method=Late(job_of(3)))
    assert torch.equal(resumed.parameters["w"], whole.parameters["w"])


@dataclass(frozen=True)
class Forgetting:
    """A method that takes out at the first step what it began with, and later puts in something of another type."""

    def start(self, parameters):
        return {"begin": torch.ones(len(parameters["w"]), dtype=torch.bool)}

    def gradient(self, loss, parameters, batch, memory, step):
        memory.pop("begin", None)
        memory["steps"] = torch.full((len(parameters["w"]), 1 + step % 3), step)
        return Backprop().gradient(loss, parameters, batch, memory, step)

    def between(self, parameters, moments, memory, *, step, active):
        assert "begin" not in memory


@pytest.mark.parametrize("at", [1, 5])
def test_what_was_taken_out_of_a_memory_stays_out_after_a_kill(tmp_path, at):
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    problem = Bowl(job)

    def dying(step):
        if step == at:
            raise Killed
        return problem.draw(step)

    with pytest.raises(Killed):
        trained(Bowl, job, draw=dying, method=Forgetting())
    resumed = trained(Bowl, job_of(3, scratch=tmp_path, checkpoint_seconds=0), method=Forgetting())
    whole = trained(Bowl, job_of(3), method=Forgetting())
    assert torch.equal(resumed.parameters["w"], whole.parameters["w"])
    assert resumed.method.keys() == whole.method.keys() == {"steps"}
    assert torch.equal(resumed.method["steps"], whole.method["steps"])
    assert resumed.method["steps"].dtype == torch.int64


def test_a_checkpoint_of_another_method_is_not_taken_up(tmp_path, capsys):
    def run(queries, **where):
        job = job_of(2, **where)
        method = Differences(job.generators("directions"), queries)
        return trained(Bowl, job, method=method).parameters["w"]

    kept = {"scratch": tmp_path, "checkpoint_seconds": 0}
    run(3, **kept)
    assert torch.equal(run(4, **kept), run(4))
    assert capsys.readouterr().err.count("checkpoint discarded") == 1
    assert torch.equal(run(4, **kept), run(4))
    assert "checkpoint discarded" not in capsys.readouterr().err


@dataclass(frozen=True)
class Wrong:
    """A method that gives or remembers something else than it should."""

    losses: object = None
    gradient_of: object = None
    remembers: object = None

    def start(self, parameters):
        return {}

    def gradient(self, loss, parameters, batch, memory, step):
        losses, gradient = Backprop().gradient(loss, parameters, batch, memory, step)
        if self.remembers is not None:
            memory["extra"] = self.remembers
        return (losses if self.losses is None else self.losses), self.gradient_of or gradient

    def between(self, parameters, moments, memory, *, step, active):
        pass


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Wrong(losses=torch.ones(4)), r"losses \(4,\); wanted is one number a member, \(3,\)"),
        (Wrong(losses=1.0), "losses float"),
        (Wrong(gradient_of={"v": torch.ones(3, 4)}), "unknown gradient 'w'"),
        (Wrong(gradient_of={"w": torch.ones(4)}), r"the gradient of 'w' is \(4,\); wanted is \(3, 4\)"),
        (Wrong(remembers=torch.tensor(1.0)), r"the method remembers 'extra' as \(\); wanted are tensors"),
        (Wrong(remembers=torch.ones(2, 3)), "leading axis member, 3"),
        (Wrong(remembers=2), "'extra' as int"),
    ],
)
def test_what_a_method_may_not_give_is_named(method, message):
    with pytest.raises((ValueError, KeyError), match=message):
        trained(Bowl, job_of(3), method=method)


def test_a_loss_of_copies_that_gives_one_number_a_member_is_named():
    job = job_of(3)
    problem = Bowl(job)
    with pytest.raises(ValueError, match=r"loss must give \(18,\), one number a member, not \(3,\)"):
        fit(
            problem.draw,
            lambda params, shift: problem.loss(params, shift)[:3],
            problem.start(),
            steps=2,
            optimiser=SGD(lr=0.1),
            method=problem.method(),
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_a_method_sees_its_own_type_and_writes_to_float32(dtype):
    seen = []

    @dataclass(frozen=True)
    class Clipping:
        def start(self, parameters):
            return {"start": parameters["w"]}

        def gradient(self, loss, parameters, batch, memory, step):
            seen.append(parameters["w"].dtype)
            return Backprop().gradient(loss, parameters, batch, memory, step)

        def between(self, parameters, moments, memory, *, step, active):
            seen.append(parameters["w"].dtype)
            parameters["w"].clamp_(max=2.5)

    tree = {"w": torch.full((2, 3), 4.0, dtype=dtype)}
    fitted = fit(
        lambda step: None,
        lambda p, _: p["w"].sum(1),
        tree,
        steps=2,
        optimiser=SGD(lr=0.25),
        method=Clipping(),
    )
    assert seen == [dtype, torch.float32, dtype]
    assert fitted.parameters["w"].dtype == fitted.method["start"].dtype == dtype
    assert torch.equal(fitted.parameters["w"].float(), torch.full((2, 3), 2.25))
