"""What is typed in files that nothing computes: held to the atlas."""

from __future__ import annotations

import re

import pytest

from dynatlas.atlas import Atlas
from dynatlas.nodes import ROOT

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
NUMBERS = {word: number for number, word in enumerate(f"{WORDS} eighteen nineteen twenty".split(), start=1)}
FILES = ["README.md", "CITATION.cff", "pyproject.toml", "docs", "workflow/report", "src/dynatlas/site/templates"]
PATHS = [path for name in FILES for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*.*"))]


def counted(text: str) -> list[int]:
    """The numbers of papers or studies that a text speaks of."""
    found = re.findall(rf"\b(\d+|{'|'.join(NUMBERS)}) (?:papers|studies)\b", text, flags=re.IGNORECASE)
    return [NUMBERS.get(word.lower()) or int(word) for word in found]


def test_a_typed_number_is_found():
    assert counted("results of eighteen papers; 5 studies and\ntwo papers") == [18, 5, 2]


@pytest.mark.parametrize("path", [p for p in PATHS if p.suffix in (".md", ".cff", ".toml", ".rst", ".html")], ids=str)
def test_whoever_types_how_many_papers_there_are_is_right(path):
    assert set(counted(path.read_text(encoding="utf-8"))) <= {len(Atlas().studies)}


def test_pictures_in_texts_are_said_in_words():
    texts = [path.read_text(encoding="utf-8") for path in PATHS if path.suffix == ".md"]
    words = [found for text in texts for found in re.findall(r"!\[([^\]]*)\]\(", text)]
    assert words
    assert all(len(found.split()) > 4 and ".png" not in found for found in words)
