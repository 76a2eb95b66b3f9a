"""Text read from files in the form in which they are published."""

from __future__ import annotations

import pytest

from dynatlas.datasets.characters import read_characters


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
