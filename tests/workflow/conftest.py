"""What the workflow tests share beside the engine."""

import pytest

from dynatlas import artefacts
from dynatlas.engine import cuda_devices


@pytest.fixture(scope="session")
def read_table():
    """`read_table(path)`: a table of an atlas, seal checked."""
    return artefacts.read_table


@pytest.fixture(scope="session")
def gpu():
    """Whether this machine has a GPU."""
    return cuda_devices() > 0
