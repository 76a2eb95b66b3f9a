"""A corpus gives windows of its own part of the text, the same text to all seeds."""

import hashlib

import pytest
import torch

from dynatlas.jobs import Job
from dynatlas.problems.corpus import book_corpus, lag_corpus
from dynatlas.tasks.lag_text import lag_text

JOB = Job(study="test", seeds=[0, 1])
LAG = {"share": 0.85, "length": 2000, "symbols": 4, "lag": 5, "keep": 0.85}


def written(symbols):
    return "".join(map(str, symbols.tolist()))


def test_the_text_is_the_same_for_all_seeds_and_cut_once():
    corpus, again = lag_corpus(JOB, **LAG), lag_corpus(Job(study="test", seeds=[5]), **LAG)
    whole = lag_text(2000, generators=[JOB.generator("text", 0)])[0]
    assert torch.equal(torch.cat([corpus.learned, corpus.held_out]), whole)
    assert torch.equal(again.learned, corpus.learned)
    assert (len(corpus.learned), corpus.symbols, corpus.lag) == (1700, 4, 5)


def test_windows_come_from_their_own_part_of_the_text():
    corpus = lag_corpus(JOB, **LAG)
    even = corpus.evenly(4, steps=20)
    assert all(written(one) in written(corpus.held_out) for one in even.target[0].T)
    assert even.x[0, 0].argmax(dim=-1)[0] == corpus.held_out[0]
    assert even.target[0, -1, -1] == corpus.held_out[-1]
    shown = corpus.sequences(3, steps=30, generator=JOB.generator("evaluation", 0))
    assert (shown.dtype, shown.shape) == (torch.float64, (30, 3, 4))
    assert bool((shown.sum(dim=-1) == 1).all())
    assert all(written(one) in written(corpus.held_out) for one in shown.argmax(dim=-1).T)
    drawn = corpus.draw(6, steps=20, generators=JOB.generators("batches"))
    assert not torch.equal(drawn.target[0], drawn.target[1])
    assert all(written(one) in written(corpus.learned) for one in drawn.target[1].T)


def test_a_book_has_the_characters_of_its_file(tmp_path):
    raw = "ab\nbaa ü".encode()
    path = tmp_path / "book.txt"
    path.write_bytes(raw)
    about = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "title": "A book", "source": "its author"}
    corpus = book_corpus(JOB, share=0.75, path=str(path), **about)
    assert (corpus.learned.tolist(), corpus.held_out.tolist()) == ([2, 3, 0, 3, 2, 2], [1, 4])
    assert (corpus.symbols, corpus.lag) == (5, 0)
    assert corpus.sequences(2, steps=1, generator=JOB.generator("evaluation", 0)).shape == (1, 2, 5)
    path.write_bytes(raw[:-1])
    with pytest.raises(ValueError, match="from its author"):
        book_corpus(JOB, share=0.75, path=str(path), **about)
