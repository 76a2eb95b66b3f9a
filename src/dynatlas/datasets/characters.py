"""Text as a sequence of symbols, read from the user's own files: `folder/<name>/{train,valid,test}.txt`, or one file.

Penn Treebank at the level of characters (Mikolov et al. 2012) comes as lines of characters with blanks between them and
`_` for the blank itself; any other text counts each of its characters. The files are never fetched from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dynatlas.datasets.published import File, MissingFileError, read_published

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Characters:
    """A text in three parts over one alphabet."""

    alphabet: tuple[str, ...]
    """Sorted; all symbols that occur in the training part."""
    train: Tensor
    """(length,), long: places in the alphabet."""
    valid: Tensor
    test: Tensor


def read_characters(name: str, *, folder: Path) -> Characters:
    """The three parts of a text. A line ends with the symbol `\\n`.

    Raises FileNotFoundError that says which file is missing and where it would go; ValueError for an empty part and for
    a symbol that the training part does not have.
    """
    texts = {part: _symbols(_read(folder / name / f"{part}.txt", name)) for part in PARTS}
    alphabet = tuple(sorted(set(texts["train"])))
    place = {symbol: number for number, symbol in enumerate(alphabet)}
    found = {}
    for part, text in texts.items():
        unknown = sorted(set(text) - set(alphabet))
        if unknown or not text:
            what = f"the symbol {unknown[0]!r} is not in train.txt" if unknown else "there is no text"
            raise ValueError(f"{folder / name / f'{part}.txt'}: {what}")
        found[part] = torch.tensor([place[symbol] for symbol in text])
    return Characters(alphabet, **found)


def read_book(path: Path, file: File, *, title: str, source: str) -> tuple[tuple[str, ...], Tensor]:
    """Alphabet (sorted) and text (length,), long, of one published UTF-8 file; every character counts, line ends too.

    Raises as `read_published` does, and ValueError for bytes that are not UTF-8 and for a file without text.
    """
    raw = read_published(path, file, title=title, source=source)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 (byte {error.start})") from None
    if not text:
        raise ValueError(f"{path}: there is no text")
    alphabet = tuple(sorted(set(text)))
    place = {symbol: number for number, symbol in enumerate(alphabet)}
    return alphabet, torch.tensor([place[symbol] for symbol in text])


def _symbols(lines: list[str]) -> list[str]:
    """One entry a symbol: what stands between blanks if that is always a single character, else every character."""
    words = [line.split() for line in lines]
    spaced = all(len(word) == 1 for line in words for word in line)
    rows = words if spaced else lines
    return [symbol for row in rows for symbol in (*row, "\n")]


def _read(path: Path, name: str) -> list[str]:
    if not path.is_file():
        raise MissingFileError(
            f"{name}: {path.name} is missing; put it at {path} (plain text, UTF-8). Scales quick and standard use "
            "generated text and need no file."
        )
    return path.read_text(encoding="utf-8").splitlines()
