"""Atlases with edits, planned and not run."""

import shutil

import pytest

from dynatlas.atlas import Atlas


@pytest.fixture(scope="session")
def unedited(once, copy_repository):
    return once("plans", copy_repository)


@pytest.fixture
def atlas_of(unedited, tmp_path):
    """`atlas_of((file, old, new), ..., **overrides)`: the atlas of a copy with these edits."""

    def build(*edits, **overrides):
        root = tmp_path / "edited"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(unedited, root)
        for file, old, new in edits:
            text = (root / file).read_text()
            assert text.count(old) == 1, (old, text)
            (root / file).write_text(text.replace(old, new))
        return Atlas(root, overrides)

    return build
