"""The atlas's own yamls say each thing once, in lines that fit a screen."""

from pathlib import Path

import pytest

from dynatlas.config import read_yaml
from dynatlas.declarations import CALLS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config" / "studies").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=[path.stem for path in FILES])
def path(request):
    return request.param


def said_twice(study):
    """What a study's yaml (as it is written) says that goes without saying, in words."""
    numbers = study.get("numbers", {})
    for scale, own in study["scales"].items():
        yield from (f"{scale}.{name}" for name in own if name in numbers and own[name] == numbers[name])
    yield from (f"numbers.{name}" for name in numbers if all(name in own for own in study["scales"].values()))
    for section, prefix in CALLS.items():
        for name, entry in study.get(section, {}).items():
            if entry.get("call") == prefix + name:
                yield f"{section}.{name}.call"
            for key in ("with", "stacked", "jobs"):
                listed = entry.get(key, {})
                given = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else [listed]
                yield from (f"{section}.{name}.{key}.{one}" for pair in given for one in pair if pair[one] == f"={one}")


def test_a_study_says_nothing_twice(path):
    assert list(said_twice(read_yaml(path))) == []


def test_what_is_said_twice_is_found():
    study = {
        "numbers": {"a": 1, "b": 2, "c": 3},
        "scales": {"quick": {"a": 1, "b": 4}, "smoke": {"b": 5}},
        "runs": {"lines": {"call": "train_lines", "with": {"a": "=a", "d": "=a"}, "jobs": ["c", {"b": "=b"}]}},
    }
    found = ["quick.a", "numbers.b", "runs.lines.call", "runs.lines.with.a", "runs.lines.jobs.b"]
    assert list(said_twice(study)) == found


def test_lines_fit_a_screen(path):
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []
