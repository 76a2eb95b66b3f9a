"""A text as numbers, one for each character: a file that the user puts in place, checked by its SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class CharText:
    """A text and its alphabet."""

    symbols: Tensor
    """(length,), long: the place of each character in the alphabet."""
    alphabet: str
    """Every character that occurs, once, in the order of code points."""


def read_char_text(path: Path, *, sha256: str | None = None, source: str = "") -> CharText:
    """The text in a UTF-8 file; a byte order mark at its start is left out, line ends are kept as they are.

    `source` says in the message of a missing or wrong file where it comes from. Raises FileNotFoundError for a missing
    file; ValueError for one with another hash, for bytes that are not UTF-8, and for an empty file.
    """
    wanted = f" ({source})" if source else ""
    if not path.is_file():
        hashed = f", SHA-256 {sha256}" if sha256 else ""
        raise FileNotFoundError(f"{path}: this text is missing; put it there{hashed}{wanted}")
    raw = path.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{path}: SHA-256 is {found}; wanted is {sha256}{wanted}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 (byte {error.start})") from None
    if not text:
        raise ValueError(f"{path}: the file is empty")
    alphabet = "".join(sorted(set(text)))
    place = {character: number for number, character in enumerate(alphabet)}
    return CharText(torch.tensor([place[character] for character in text]), alphabet)
