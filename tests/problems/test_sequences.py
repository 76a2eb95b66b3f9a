"""Sequences to classify that come from published files: images pixel by pixel, characters in windows."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import torch

from dynatlas.datasets import mnist
from dynatlas.datasets.characters import read_characters
from dynatlas.datasets.published import File
from dynatlas.jobs import Job
from dynatlas.problems.sequences import character_problem, permuted_images, pixel_problem

JOB = Job(study="made-up", seeds=[0, 1])


def write_idx(path: Path, array: np.ndarray) -> File:
    head = struct.pack(">BBBB", 0, 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = gzip.compress(head + array.astype("u1").tobytes(), mtime=0)
    path.write_bytes(raw)
    return File(path.name, len(raw), hashlib.sha256(raw).hexdigest())


def test_permuted_images_are_read_from_files_of_mnists_form(tmp_path, monkeypatch):
    rng, files = np.random.default_rng(0), {}
    (tmp_path / "mnist").mkdir()
    for part in ("train", "test"):
        images, labels = rng.integers(0, 256, (12, 28, 28)), np.arange(12) % 10
        files[part] = tuple(
            write_idx(tmp_path / "mnist" / f"{part}-{kind}.gz", array)
            for kind, array in (("images", images), ("labels", labels))
        )
    monkeypatch.setitem(mnist.IMAGE_SETS, "mnist", mnist.ImageSet("made up", "nowhere", files))
    images = permuted_images("mnist", train=9, test=5, pixels_per_step=1, folder=str(tmp_path))
    problem = pixel_problem(JOB, images, updates=4, batch=3)
    assert problem.train(0).x.shape == (2, 784, 3, 1)
    assert problem.held_out().x.shape == (2, 784, 5, 1)
    assert problem.held_out().target[0, 0].tolist() == [0, 1, 2, 3, 4]


def test_characters_are_read_from_the_users_files(tmp_path):
    (tmp_path / "ptb").mkdir()
    for part, text in (("train", " t h e _ c a t\n" * 9), ("valid", " a _ c\n"), ("test", " t h a t _ c h a t\n" * 4)):
        (tmp_path / "ptb" / f"{part}.txt").write_text(text)
    problem = character_problem(JOB, read_characters("ptb", folder=tmp_path), batch=3, test=4, steps=6)
    batch = problem.train(0)
    assert problem.n_in == problem.n_out == len(set("the_cat\n"))
    assert torch.equal(batch.x[:, 1:].argmax(dim=-1)[:, 1:], batch.target[:, :-1])
    assert problem.chance == 2 / 8  # t is the most frequent of the eight symbols of a line
