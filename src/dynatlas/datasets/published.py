"""Files as they were published: read from where the user put them, checked by size and SHA-256, never fetched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

NEEDS_NONE = "Scales quick and standard need no file."


class PublishedFileError(Exception):
    """A published file is missing or another one; the message says which, where it goes, and where it comes from."""


class MissingFileError(PublishedFileError, FileNotFoundError):
    """It is not where the user is to put it."""


class WrongFileError(PublishedFileError, ValueError):
    """Another file has its name."""


@dataclass(frozen=True)
class File:
    """A file as it was published."""

    name: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """Where a file, or a folder of files, must lie, and where the user finds it."""

    path: Path
    title: str
    source: str
    file: File | None = None
    """Size and hash; None for what differs from user to user, and for folders."""

    def absent(self) -> str:
        """What the user must do about it, found by a look at the size alone; empty if it seems to be there."""
        expected = f"{self.file.size} bytes, SHA-256 {self.file.sha256}, " if self.file else ""
        there = any(self.path.iterdir()) if self.path.is_dir() else self.path.is_file()
        if not there:
            return f"{self.title}: {self.path.name} is missing; put it at {self.path} ({expected}from {self.source})"
        if self.file and self.path.stat().st_size != self.file.size:
            size = self.path.stat().st_size
            return f"{self.title}: {self.path} has {size} bytes; wanted are {expected}from {self.source}"
        return ""


def read_published(path: Path, file: File, *, title: str, source: str) -> bytes:
    """The bytes of `path`, which is `file` of the data set `title`, published at `source`.

    Raises MissingFileError (a FileNotFoundError) that says which file is missing, where it would go and which scales
    need none; WrongFileError (a ValueError) for a file of another size or hash.
    """
    if not path.is_file():
        wanted = Wanted(path, title=title, source=source, file=file)
        raise MissingFileError(f"{wanted.absent()}. {NEEDS_NONE}")
    raw = path.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if len(raw) != file.size or found != file.sha256:
        raise WrongFileError(
            f"{path}: {len(raw)} bytes with SHA-256 {found}; wanted are {file.size} bytes with {file.sha256}. "
            f"Remove it and get it again from {source}"
        )
    return raw


def read_folder(folder: Path, pattern: str, *, sha256: str, title: str, source: str) -> list[Path]:
    """The files of `pattern` in a folder that the user filled with those of the data set `title`, sorted by name.

    `sha256` is that of the list that `LC_ALL=C sha256sum *` prints there. Raises MissingFileError for a folder without
    any, WrongFileError for one whose list is another.
    """
    files = sorted(folder.glob(pattern))
    if not files:
        wanted = Wanted(folder, title=title, source=source)
        raise MissingFileError(f"{wanted.absent() or f'{folder}: no file is {pattern}'}. {NEEDS_NONE}")
    found = digest_of_list(files)
    if found != sha256:
        raise WrongFileError(f"{folder}: `LC_ALL=C sha256sum * | sha256sum` is {found}; wanted is {sha256}, {source}")
    return files


def digest_of_list(files: list[Path]) -> str:
    """SHA-256 of the lines `<sha256>  <name>` of these files."""
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
