"""The table of a study's numbers: each says what it means, at every scale."""

from pathlib import Path

import pytest

from dynatlas.atlas import Atlas
from dynatlas.number_table import number_rows
from dynatlas.signatures import signatures_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def atlas():
    return Atlas(ROOT)


def rows_of(atlas, study):
    return {row.name: row for row in number_rows(atlas.studies[study], signatures_of(atlas.index))}


def test_every_number_of_every_study_says_what_it_means(atlas):
    for study, spec in atlas.studies.items():
        rows = rows_of(atlas, study)
        assert [row.name for row in rows.values() if not row.meaning] == []
        for scale in spec.scales:
            told = {name.partition(".")[0] for name, row in rows.items() if scale in row.values}
            assert {name for name, value in spec.numbers_at(scale).items() if value is not None} <= told


def test_a_row_has_unit_and_values(atlas):
    rows = rows_of(atlas, "task-primitives")
    assert (rows["world.dt"].meaning, rows["world.dt"].unit) == ("time step", "ms")
    assert rows["world.dt"].values == {"smoke": "100", "quick": "100", "standard": "50", "paper": "20"}
    assert rows["projections"].values["quick"] == "SEQ: inf, GP: 0.1"
    adaptive = rows_of(atlas, "adaptive-activation")
    assert adaptive["step_from"].meaning == "where it begins"
    assert adaptive["tasks.copy.data.delay"].values["quick"] == "10"
    assert "quick" not in adaptive["tasks.text.units"].values
