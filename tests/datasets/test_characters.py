"""Text read from files in the form in which they are published."""

from __future__ import annotations

import hashlib

import pytest

from dynatlas.datasets.characters import read_book, read_characters
from dynatlas.datasets.published import File


def write(folder, **parts):
    (folder / "ptb").mkdir()
    for part, text in parts.items():
        (folder / "ptb" / f"{part}.txt").write_text(text)
    return folder


def spell(text, characters):
    return "".join(text.alphabet[place] for place in characters.tolist())


def test_treebank_characters_stand_between_blanks(tmp_path):
    folder = write(tmp_path, train=" a e r _ b a\n n o _ e\n", valid=" a _ b\n", test=" n e r\n")
    text = read_characters("ptb", folder=folder)
    assert text.alphabet == ("\n", "_", "a", "b", "e", "n", "o", "r")
    assert spell(text, text.train) == "aer_ba\nno_e\n"
    assert spell(text, text.valid) == "a_b\n"
    assert spell(text, text.test) == "ner\n"


def test_plain_text_keeps_its_blanks(tmp_path):
    text = read_characters("ptb", folder=write(tmp_path, train="to be\nor\n", valid="be or\n", test="to\n"))
    assert spell(text, text.valid) == "be or\n"
    assert " " in text.alphabet


def test_what_cannot_be_read_is_named(tmp_path):
    folder = write(tmp_path, train="ab\n", valid="ax\n")
    with pytest.raises(FileNotFoundError, match=r"ptb: test\.txt is missing; put it at .*generated text"):
        read_characters("ptb", folder=folder)
    (folder / "ptb" / "test.txt").write_text("ab\n")
    with pytest.raises(ValueError, match=r"valid\.txt: the symbol 'x' is not in train\.txt"):
        read_characters("ptb", folder=folder)
    (folder / "ptb" / "valid.txt").write_text("")
    with pytest.raises(ValueError, match=r"valid\.txt: there is no text"):
        read_characters("ptb", folder=folder)


def book(path, raw):
    path.write_bytes(raw)
    return File(path.name, len(raw), hashlib.sha256(raw).hexdigest())


def test_a_book_counts_every_character(tmp_path):
    text = "Eh bien,\r\nmon prince. é\n"
    file = book(tmp_path / "book.txt", text.encode())
    alphabet, symbols = read_book(tmp_path / "book.txt", file, title="A book", source="its author")
    assert alphabet == tuple(sorted(set(text)))
    assert "".join(alphabet[place] for place in symbols.tolist()) == text


def test_a_book_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "book.txt"
    where = {"title": "A book", "source": "its author"}
    with pytest.raises(FileNotFoundError, match=r"A book: book\.txt is missing; put it at .* SHA-256 ab"):
        read_book(path, File("book.txt", 3, "ab"), **where)
    file = book(path, b"abc")
    path.write_bytes(b"abd")
    with pytest.raises(ValueError, match=r"book\.txt: 3 bytes with SHA-256 .* from its author"):
        read_book(path, file, **where)
    with pytest.raises(ValueError, match=r"book\.txt: not text in UTF-8 \(byte 1\)"):
        read_book(path, book(path, b"a\xff"), **where)
    with pytest.raises(ValueError, match=r"book\.txt: there is no text"):
        read_book(path, book(path, b""), **where)
