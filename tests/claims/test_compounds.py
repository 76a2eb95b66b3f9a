"""Compounds by enumeration: every outcome of the parts, against the rules spelled out in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from dynatlas.claims.compounds import Outlook, all_of, any_of, combined_p, conjunction, count_of, outlook
from dynatlas.claims.verdicts import CONTRADICTED, DIRECTION, HYPOTHESES, INCONCLUSIVE, REPRODUCED, outcomes

PART_VERDICTS = (REPRODUCED, DIRECTION, INCONCLUSIVE, CONTRADICTED)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_all_of_and_any_of(m: int) -> None:
    for parts in itertools.product(PART_VERDICTS, repeat=m):
        if any(part == CONTRADICTED for part in parts):
            expected = CONTRADICTED
        else:
            expected = REPRODUCED if all(part == REPRODUCED for part in parts) else INCONCLUSIVE
        assert all_of(np.array(parts)) == expected
        if any(part == REPRODUCED for part in parts):
            expected = REPRODUCED
        else:
            expected = CONTRADICTED if all(part == CONTRADICTED for part in parts) else INCONCLUSIVE
        assert any_of(np.array(parts)) == expected


FINAL = ("win", "neither", "loss")
POSSIBLE = [
    set(some) for size in (1, 2, 3) for some in itertools.combinations(FINAL, size) if set(some) != {"win", "loss"}
]


def brute_force(parts: list[set[str]], wins: int, losses: int | None) -> str:
    """The rule under every outcome of the open parts: decided only if all of them agree."""
    held = {
        end.count("win") >= wins and (losses is None or end.count("loss") <= losses)
        for end in itertools.product(*parts)
    }
    return INCONCLUSIVE if len(held) == 2 else REPRODUCED if held.pop() else CONTRADICTED


def as_outlook(parts: list[set[str]]) -> Outlook:
    columns = [
        [part == {"win"} for part in parts],
        [part == {"loss"} for part in parts],
        ["win" in part for part in parts],
        ["loss" in part for part in parts],
    ]
    return Outlook(*(np.array(column) for column in columns))


@pytest.mark.parametrize("m", [2, 3, 4])
def test_count_of(m: int) -> None:
    for parts in itertools.combinations_with_replacement(POSSIBLE, m):
        for wins, losses in itertools.product(range(1, m + 1), [None, *range(m)]):
            found = count_of(as_outlook(list(parts)), wins, losses)
            assert found == brute_force(list(parts), wins, losses), (parts, wins, losses)


def test_nine_families() -> None:
    """Wins of at least 5 and losses of at most 2, over every count of (win, open, loss) of nine."""
    kinds = [{"win"}, {"win", "neither", "loss"}, {"loss"}]
    for counts in counts_of(9):
        parts = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
        assert count_of(as_outlook(parts), 5, 2) == brute_force(parts, 5, 2), counts
    assert count_of(as_outlook([kinds[0]] * 6 + [kinds[2]] * 3), 5, 2) == CONTRADICTED
    assert count_of(as_outlook([kinds[0]] * 7 + [kinds[1]] * 2), 5, 2) == REPRODUCED
    assert count_of(as_outlook([kinds[0]] * 5 + [kinds[1]] * 4), 5, 2) == INCONCLUSIVE


def joint_outcome(parts: tuple[str, ...]) -> str:
    """An all_of as one part: won if all its parts are, lost if any is."""
    return "win" if set(parts) == {"win"} else "loss" if "loss" in parts else "neither"


def groups() -> Iterator[tuple[Outlook, set[str]]]:
    """Every all_of of two or three parts: its outlook, and what it may turn out to be."""
    for size in (2, 3):
        for parts in itertools.combinations_with_replacement(POSSIBLE, size):
            yield conjunction(as_outlook(list(parts))), {joint_outcome(end) for end in itertools.product(*parts)}


def test_an_all_of_among_the_parts_is_what_its_parts_may_jointly_be() -> None:
    for found, possible in groups():
        assert (bool(found.won), bool(found.lost)) == (possible == {"win"}, possible == {"loss"})
        assert (bool(found.may_win), bool(found.may_lose)) == ("win" in possible, "loss" in possible)
        assert possible != {"win", "loss"}, "as for every part: what may win and lose may do neither"


def test_counts_over_all_ofs() -> None:
    """As if each all_of were one part."""
    unlike = {frozenset(possible): found for found, possible in groups()}
    for chosen in itertools.combinations_with_replacement(unlike, 3):
        stacked = Outlook(*(np.array([getattr(unlike[one], name) for one in chosen])
                            for name in ("won", "lost", "may_win", "may_lose")))  # fmt: skip
        for wins, losses in itertools.product((1, 2, 3), (None, 0, 1)):
            assert count_of(stacked, wins, losses) == brute_force([set(one) for one in chosen], wins, losses)


def counts_of(total: int) -> Iterator[tuple[int, int, int]]:
    return ((a, b, total - a - b) for a in range(total + 1) for b in range(total + 1 - a))


ENDS = np.array([-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0])
KINDS = [("greater", 0.5), ("greater", 0.0), ("greater", -0.5), ("less", -0.5), ("less", 0.5), ("at_least", 0.5),
         ("at_most", 0.5), ("equivalent", 0.5)]  # fmt: skip


@pytest.mark.parametrize(("test", "margin"), KINDS)
def test_outlook_is_what_the_points_of_the_interval_are(test: str, margin: float) -> None:
    """A part may still become whatever some point of its interval, were it the truth, is."""
    hypothesis = HYPOTHESES[test](margin, 0.0)
    fine = np.linspace(-2, 2, 161)
    for low, high in itertools.combinations_with_replacement(ENDS, 2):
        points = fine[(fine >= low) & (fine <= high)]
        wins, losses = hypothesis.inside(points, points), hypothesis.other_side(points, points)
        found = outlook(hypothesis, low, high)
        assert bool(found.won) == bool(wins.all())
        assert bool(found.lost) == bool(losses.all())
        assert bool(found.may_win) == bool(wins.any())
        assert bool(found.may_lose) == bool(losses.any())
        verdict = outcomes(hypothesis, low, high)
        assert not (found.lost and verdict != CONTRADICTED)
        assert (verdict == REPRODUCED) == found.won


def test_combined_p() -> None:
    p = np.array([0.04, 0.01, 0.3, 0.002])
    assert combined_p("all_of", p) == 0.3
    assert combined_p("any_of", p) == pytest.approx(0.008)
    assert combined_p("count_of", p, 1) == combined_p("any_of", p)
    assert combined_p("count_of", p, 4) == combined_p("all_of", p)
    assert combined_p("count_of", p, 2) == pytest.approx(3 * 0.01)
    assert combined_p("any_of", np.array([0.6, 0.9])) == 1.0
