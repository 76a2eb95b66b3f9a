"""Published files: what a study declares is what its functions read, and what is missing is said in the same words."""

import pytest

from dynatlas.atlas import Atlas
from dynatlas.datasets.catalogue import ARCHIVES, IMAGE_SETS, wanted_of
from dynatlas.datasets.published import (
    File,
    MissingFileError,
    PublishedFileError,
    Wanted,
    WrongFileError,
    digest_of_list,
    read_folder,
    read_published,
)
from dynatlas.steps.compute import job_of, load_function

READERS = [
    ("adaptive-activation", "train", "grid@task=digits", "downloads/mnist/train-images-idx3-ubyte.gz"),
    ("adaptive-activation", "train", "grid@task=characters", "downloads/ptb/train.txt"),
    ("adaptive-activation", "train", "base", "downloads/mnist/train-images-idx3-ubyte.gz"),
    ("dimensionality", "train", "profiles@data=fashion_mnist", "downloads/fashion_mnist/train-images-idx3-ubyte.gz"),
    (
        "dimensionality",
        "train",
        "images@data=cifar10@network=plain@batch=10",
        "downloads/cifar10/cifar-10-binary.tar.gz",
    ),
    ("dimensionality", "measure", "inputs", "downloads/fashion_mnist/train-images-idx3-ubyte.gz"),
    ("lyapunov", "train", "trained@text=primary@cell=rnn", "downloads/war_and_peace.txt"),
    ("lyapunov", "measure", "gradients", "downloads/war_and_peace.txt"),
    ("lyapunov", "measure", "published", "downloads/lyapunov-hyperopt-grid"),
    ("rnn-geometry", "train", "trained", "downloads/mnist/train-images-idx3-ubyte.gz"),
]


@pytest.fixture(scope="module")
def paper():
    return Atlas(overrides={"scale": "paper"})


@pytest.mark.parametrize(("study", "step", "name", "path"), READERS)
def test_what_a_function_reads_is_declared(paper, study, step, name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    node = paper.plan(study).node(step, name)
    assert any(f"put it at {path}" in line for line in paper.missing_files(study, names=node.files))
    with pytest.raises(MissingFileError, match=path):
        load_function(node.call)(job_of(node), **node.settings)


def test_what_is_declared_is_read_by_a_function_above(paper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = {path.split("/")[1] for *_, path in READERS}
    lines = [line for study in paper.selected for line in paper.missing_files(study)]
    assert {line.split("put it at downloads/")[1].split(" ")[0].split("/")[0] for line in lines} == read


def test_other_scales_need_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for scale in ("smoke", "quick", "standard"):
        atlas = Atlas(overrides={"scale": scale})
        assert [line for study in atlas.selected for line in atlas.missing_files(study)] == []


def test_a_file_is_missing_of_another_size_or_another(tmp_path):
    raw = b"data"
    file = File("a.bin", 4, "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7")
    wanted = Wanted(tmp_path / "a.bin", title="A", source="there", file=file)
    expected = f"4 bytes, SHA-256 {file.sha256}, from there"
    assert wanted.absent() == f"A: a.bin is missing; put it at {tmp_path / 'a.bin'} ({expected})"
    wanted.path.write_bytes(b"longer")
    assert wanted.absent() == f"A: {tmp_path / 'a.bin'} has 6 bytes; wanted are {expected}"
    wanted.path.write_bytes(b"atad")
    assert wanted.absent() == ""  # a look at the size alone: the hash is taken by whoever reads it
    with pytest.raises(PublishedFileError, match="wanted are 4 bytes with 3a6eb"):
        read_published(wanted.path, file, title="A", source="there")
    wanted.path.write_bytes(raw)
    assert read_published(wanted.path, file, title="A", source="there") == raw
    folder = Wanted(tmp_path / "many", title="M", source="there")
    folder.path.mkdir()
    assert "many is missing" in folder.absent()
    (folder.path / "x").touch()
    assert folder.absent() == ""


def test_a_folder_is_held_to_the_list_that_sha256sum_prints(tmp_path):
    """The hash is the shell's, of two files of one byte."""
    about = {
        "sha256": "2cd24778772f83279ed2c13a50690e7c057f5ae4df2eb4c647804ff1ec052c8c",
        "title": "M",
        "source": "there",
    }
    with pytest.raises(MissingFileError, match=r"M: many is missing; put it at .*many .from there"):
        read_folder(tmp_path / "many", "*.p", **about)
    (tmp_path / "b.p").write_bytes(b"x")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(MissingFileError, match=r"no file is \*\.q"):
        read_folder(tmp_path, "*.q", **about)
    with pytest.raises(WrongFileError, match=rf"sha256sum.*wanted is {about['sha256']}, there"):
        read_folder(tmp_path, "*.p", **about)
    (tmp_path / "a.p").write_bytes(b"y")
    files = [tmp_path / "a.p", tmp_path / "b.p"]
    assert read_folder(tmp_path, "*.p", **about) == files
    assert digest_of_list(files[::-1]) != digest_of_list(files) == about["sha256"]


def test_the_catalogue_says_where_each_file_of_a_set_would_lie(tmp_path):
    for name in (*IMAGE_SETS, *ARCHIVES):
        found = list(wanted_of(name, folder=tmp_path))
        assert len(found) == (4 if name in IMAGE_SETS else 1)
        assert {one.path.parent for one in found} == {tmp_path / name}
        assert all(one.file.size > 4000 and len(one.file.sha256) == 64 for one in found)
    with pytest.raises(KeyError, match="did you mean 'kmnist'"):
        list(wanted_of("kmnst", folder=tmp_path))
