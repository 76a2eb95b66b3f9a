"""The ledger for a terminal: every claim in a line that fits, no parts, studies as headings."""

from hypothesis import given
from hypothesis import strategies as st

from dynatlas.claims.brief import brief_table, folded


def row(study, name, says, *, part_of=None, effect=0.25):
    return {
        "study": study, "id": name, "says": says, "part_of": part_of, "verdict": "reproduced",
        "effect": effect, "low": 0.125, "high": 0.5,
    }  # fmt: skip


ROWS = [
    row("one", "C1", "short"),
    row("one", "C2", "long " * 100),
    row("one", "a part", "of C2", part_of="C2"),
    row("two", "C1-with-a-name", "x", effect=None),
]


def test_a_line_a_claim_under_its_study():
    assert brief_table(ROWS, width=80).splitlines() == [
        "one",
        "  C1              reproduced  0.25 [0.125, 0.5]  short",
        "  C2              reproduced  0.25 [0.125, 0.5]  long long long long long long…",
        "",
        "two",
        "  C1-with-a-name  reproduced                     x",
    ]
    assert brief_table([], width=80) == ""


@given(st.integers(0, 400))
def test_no_line_is_wider_than_the_terminal(width):
    text = "8 seeds (100 to 107): " + ", ".join(f"study-{number}" for number in range(40))
    for shown in (brief_table(ROWS, width=width), folded(f"{text}\n\nshort", width=width)):
        assert max(map(len, shown.splitlines())) <= max(width, 40)
    assert folded(text, width=width).split() == text.split()
    assert folded("a\n\nb", width=width) == "a\n\nb"
