"""What docs/adding-a-study.md says of the length of a study's files is so of all that there are."""

from __future__ import annotations

import re

import pytest

from dynatlas.atlas import Atlas
from dynatlas.nodes import ROOT

ROW = re.compile(r"^\| `(.*?)` \| (\d+)–(\d+) \|", flags=re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "adding-a-study.md").read_text(encoding="utf-8"))
PACKAGE = "src/dynatlas/studies/<package>"


def lines_of(study: str, pattern: str) -> int:
    """Lines of all files of a study that one row of the table stands for."""
    pattern = pattern.replace("src/dynatlas/studies/<study>", PACKAGE).replace("…", PACKAGE)
    package = study.replace("-", "_")
    if pattern.startswith("tests/"):
        pattern = pattern.replace("_<study>.py", "_<package>*.py")
    found = list(ROOT.glob(pattern.replace("<study>", study).replace("<package>", package)))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in found)


@pytest.mark.parametrize(("pattern", "least", "most"), ROWS)
def test_files_are_as_long_as_the_table_says(pattern, least, most):
    found = {study: lines_of(study, pattern) for study in Atlas().studies}
    assert all(int(least) <= lines <= int(most) for lines in found.values()), found


def test_the_table_has_all_kinds_of_files():
    assert len(ROWS) == 9
