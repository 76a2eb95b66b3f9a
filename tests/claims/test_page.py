"""The example of docs/claims.md runs, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynatlas.claims.verdicts import VERDICTS
from dynatlas.claims.vocabulary import COMPOUNDS, RULE_FIELDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "claims.md").read_text()


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/claims.md", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rstrip().splitlines()[-1].removeprefix("# ")


@pytest.mark.parametrize("word", [*VERDICTS, *RULE_FIELDS, *COMPOUNDS, "spearman", "slope", "censored", "permute"])
def test_every_word_is_explained(word: str) -> None:
    assert f"`{word}" in PAGE or f"{{{word}:" in PAGE
