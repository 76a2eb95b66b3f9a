"""Artefacts: whole and the expected one, or refused by name; written whole or not at all; same bytes twice."""

import json
import os
import resource
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from dynatlas import artefacts
from dynatlas.artefacts import ArtefactError, check_stacked, check_table
from dynatlas.members import Group, Members
from dynatlas.table_schema import TableSchema

KEY = "k" * 64
PROVENANCE = {"study": "toy", "scale": "quick", "node": "n", "key": KEY, "seeds": [100, 101], "settings": {"rate": 0.1}}
OTHER = PROVENANCE | {"node": "other", "key": "o" * 64}
SCHEMA = TableSchema({"error": (0.0, 1.0)}, {"arm": ["a", "b"]})
FRAME = pd.DataFrame({"seed": [100, 101], "metric": "error", "value": [0.25, 0.5], "arm": ["a", "b"]})


def write_run(path, provenance=PROVENANCE):
    artefacts.write_run(path, provenance, {"w": torch.arange(6.0).reshape(2, 3), "n": np.arange(3)})


def write_table(path, provenance=PROVENANCE):
    artefacts.write_table(path, provenance, FRAME)


def write_json(path, provenance=PROVENANCE):
    artefacts.write_json(path, provenance, {"rows": [{"id": "C1", "effect": 0.5, "says": "größer"}]})


KINDS = {
    "run": (".safetensors", write_run, artefacts.read_run),
    "table": (".parquet", write_table, lambda path, *, key=None: artefacts.read_table(path, keys=[key])),
    "json": (".json", write_json, artefacts.read_json),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """(path, write, read) of one kind of artefact."""
    suffix, write, read = KINDS[request.param]
    return tmp_path / f"artefact{suffix}", write, read


def test_what_was_written_is_read(tmp_path):
    for suffix, write, _ in KINDS.values():
        write(tmp_path / f"a{suffix}")
        assert artefacts.provenance_of(tmp_path / f"a{suffix}") == PROVENANCE
    run = artefacts.read_run(tmp_path / "a.safetensors", key=KEY)
    assert torch.equal(run["w"], torch.arange(6.0).reshape(2, 3))
    assert (run.seeds, run.settings) == ([100, 101], {"rate": 0.1})
    pd.testing.assert_frame_equal(artefacts.read_table(tmp_path / "a.parquet", keys=[KEY]), FRAME)
    assert artefacts.read_json(tmp_path / "a.json", key=KEY)["rows"][0]["says"] == "größer"


def test_every_flipped_byte_is_noticed(kind):
    path, write, _ = kind
    write(path)
    whole = path.read_bytes()
    last = path.suffix == ".parquet"
    artefacts.check_seal(whole, path, last=last)
    for at in range(len(whole)):
        for bit in (0x01, 0x20, 0x80):
            flipped = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            with pytest.raises(ArtefactError, match="is damaged"):
                artefacts.check_seal(flipped, path, last=last)


def test_readers_refuse_what_is_damaged_missing_or_from_elsewhere(kind, tmp_path):
    path, write, read = kind
    write(path)
    whole = path.read_bytes()
    read(path, key=KEY)
    damaged = {"truncated": whole[:-1], "cut": whole[: len(whole) // 2], "emptied": b"", "longer": whole + b"\n"}
    damaged["flipped"] = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
    for raw in damaged.values():
        path.write_bytes(raw)
        with pytest.raises(ArtefactError, match="damaged") as refused:
            read(path, key=KEY)
        assert str(path) in str(refused.value)
        assert f"snakemake --force {path}" in str(refused.value)
    write(path, OTHER)
    read(path)
    with pytest.raises(
        ArtefactError, match="not what the plan expects here: it was made by quick/toy/other"
    ) as refused:
        read(path, key=KEY)
    assert f"snakemake --force {path}" in str(refused.value)
    path.unlink()
    with pytest.raises(ArtefactError, match="does not exist; to make it again: snakemake --force"):
        read(path, key=KEY)
    path.mkdir()
    with pytest.raises(ArtefactError, match="could not be read: Is a directory"):
        read(path, key=KEY)


def test_another_kind_of_file_under_this_name_is_refused(kind, tmp_path):
    path, _, read = kind
    for suffix, write, _ in KINDS.values():
        if suffix != path.suffix:
            write(tmp_path / f"other{suffix}")
            shutil.copy(tmp_path / f"other{suffix}", path)
            with pytest.raises(ArtefactError):
                read(path, key=KEY)


def test_arrays_are_read_in_the_order_of_their_names(tmp_path):
    names = [f"arm {number}.w" for number in range(40)]
    artefacts.write_run(tmp_path / "r.safetensors", PROVENANCE, {name: np.zeros(1) for name in reversed(names)})
    for _ in range(5):
        assert list(artefacts.read_run(tmp_path / "r.safetensors")) == sorted(names)


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int8", "uint16", "int16", "int64", "float16", "bfloat16", "float32", "float64", "complex64"],
)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 5), (2, 3, 2)])
def test_shape_and_type_of_an_array_come_back(tmp_path, dtype, shape):
    """Of tensors, numpy arrays and plain numbers; also views that lie in memory in another order."""
    generator = torch.Generator().manual_seed(1)
    kind = getattr(torch, dtype)
    whole = torch.randint(0, 2 if dtype == "bool" else 100, shape, generator=generator).to(kind)
    arrays = {"whole": whole, "turned": whole.T if len(shape) == 2 else whole, "other": torch.zeros(3)}
    if dtype != "bfloat16":
        arrays |= {"numpy": whole.numpy(), "big": whole.numpy().astype(whole.numpy().dtype.newbyteorder(">"))}
    if dtype == "complex64":
        arrays["turned"] = arrays["turned"].conj()
    artefacts.write_run(tmp_path / "r.safetensors", PROVENANCE, arrays)
    run = artefacts.read_run(tmp_path / "r.safetensors", key=KEY)
    for name in {*arrays} - {"other"}:
        wanted = arrays["turned"] if name == "turned" else whole
        assert run[name].dtype == kind, name
        assert run[name].shape == wanted.shape, name
        assert torch.equal(run[name], wanted.resolve_conj()), name


def test_a_number_is_an_array_without_axes(tmp_path):
    artefacts.write_run(tmp_path / "r.safetensors", PROVENANCE, {"a": np.array(3.5), "b": 3.5, "c": np.float32(3.5)})
    run = artefacts.read_run(tmp_path / "r.safetensors")
    assert {name: (run[name].shape, run[name].item()) for name in run} == dict.fromkeys("abc", ((), 3.5))


def test_made_twice_is_the_same_bytes(kind, tmp_path):
    path, write, _ = kind
    write(path)
    first = path.read_bytes()
    write(path)
    assert path.read_bytes() == first


def test_provenance_may_itself_hold_digests(kind):
    path, write, read = kind
    digests = {"settings": {"sha256": "a" * 64, "files": [{"sha256": "0" * 64}]}}
    write(path, PROVENANCE | digests)
    read(path, key=KEY)
    assert artefacts.provenance_of(path)["settings"] == digests["settings"]


def test_rows_may_hold_digests(tmp_path):
    path = tmp_path / "t.parquet"
    artefacts.write_table(path, PROVENANCE, FRAME.assign(arm=["sha256: " + "0" * 64, "sha256: " + "a" * 64]))
    assert len(artefacts.read_table(path, keys=[KEY])) == 2
    artefacts.write_json(tmp_path / "j.json", PROVENANCE, {"rows": [{"sha256": "0" * 64}]})
    assert artefacts.read_json(tmp_path / "j.json", key=KEY)["rows"] == [{"sha256": "0" * 64}]


def test_an_exception_while_writing_leaves_the_old_file(kind, monkeypatch):
    path, write, _read = kind
    write(path)
    old = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, OTHER)
    assert path.read_bytes() == old
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_no_room_for_the_file_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / "big.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ArtefactError, match=r"big.safetensors could not be written: File too large"):
            artefacts.write_run(path, PROVENANCE, {"w": np.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_name_where_a_folder_must_be_is_an_error_that_names_it(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ArtefactError, match=r"results/a.json could not be written"):
        write_json(tmp_path / "results" / "a.json")


def test_only_numbers_are_kept(tmp_path):
    path = tmp_path / "r.safetensors"
    for array, what in (
        (np.array(["a", None]), "holds Python objects"),
        (np.array(["a", "bc"]), "holds text; a run keeps numbers: bool, int8.*`with:`.*run.settings"),
        (["a", "b"], "holds text"),
        (b"a", "holds text"),
        (np.array(["2026-11-27"], dtype="datetime64[D]"), r"holds datetime64\[D\]"),
        (np.zeros(2, complex), "holds complex128"),
        (torch.zeros(2, dtype=torch.complex128), "holds complex128"),
        (torch.zeros(2, dtype=torch.float8_e4m3fn), "a run keeps dense numbers"),
        (torch.eye(2).to_sparse(), "a run keeps dense numbers"),
        (np.ma.masked_equal([1, 2], 2), "is masked"),
        ([[1, 2], [3]], "a run keeps dense numbers"),
    ):
        with pytest.raises(ValueError, match=f"array 'names' of the run.* {what}|array 'names' of the run: .*{what}"):
            artefacts.write_run(path, PROVENANCE, {"w": np.zeros(2), "names": array})
    with pytest.raises(ValueError, match="JSON"):
        artefacts.write_json(tmp_path / "j.json", PROVENANCE, {"rows": [float("nan")]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (FRAME.drop(columns="seed"), "missing: seed"),
        (FRAME.assign(value=[0.1, np.nan]), r"NaN\) in column value.*101"),
        (FRAME.assign(value=["low", "high"]), "column value holds .*wanted are numbers"),
        (FRAME.assign(seed=["100", "101"]), "column seed holds .*wanted are whole numbers"),
        (FRAME.assign(seed=[100.0, 101.5]), "column seed holds float64; wanted are whole numbers"),
        (FRAME.assign(arm=["a", None]), r"NaN\) in column arm"),
        (pd.concat([FRAME, FRAME.iloc[:1].assign(value=9.0)]), r"1 rows are not unique in \(seed, metric, arm\).*100"),
        (FRAME.assign(metric=["error", "eror"]), "declares the metrics error but made error, eror"),
        (FRAME.assign(rate=0.1), "declares the columns arm but made arm, rate"),
    ],
)
def test_an_untidy_table_is_refused_by_name(frame, words):
    check_table(FRAME, SCHEMA)
    with pytest.raises(ArtefactError, match=words):
        check_table(frame, SCHEMA)


def test_a_table_in_parts_is_one_frame(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        artefacts.write_table(tmp_path / f"{name}.parquet", PROVENANCE, FRAME.assign(value=value))
    whole = artefacts.read_table(tmp_path / "a.parquet", tmp_path / "b.parquet", keys=[KEY, KEY])
    assert whole["value"].tolist() == [1, 1, 2, 2]
    assert whole.index.is_unique


def test_pictures_are_held_by_their_manifest(tmp_path):
    manifest, folder = tmp_path / "figures.json", tmp_path / "figures"
    artefacts.write_files(folder, manifest, provenance=PROVENANCE, files={"a.png": b"picture"})
    assert artefacts.read_file(folder, manifest, name="a.png", key=KEY) == b"picture"
    (folder / "a.png").write_bytes(b"pictura")
    with pytest.raises(ArtefactError, match=r"a.png is damaged.*snakemake --force"):
        artefacts.read_file(folder, manifest, name="a.png")
    (folder / "a.png").unlink()
    with pytest.raises(ArtefactError, match=r"a.png could not be read"):
        artefacts.read_file(folder, manifest, name="a.png")
    with pytest.raises(ArtefactError, match=r"knows no b.png; it holds: a.png"):
        artefacts.read_file(folder, manifest, name="b.png")


def test_a_ledger_is_plain_json_with_provenance_and_seal(tmp_path):
    write_json(tmp_path / "ledger.json")
    content = json.loads((tmp_path / "ledger.json").read_text())
    assert set(content) == {"provenance", "sha256", "rows"}


RUN = {
    "networks": Group(Members(seed=[1], rate=[0.1, 0.3]), {"w": np.zeros((1, 2))}),
    "others": Group(Members(seed=[1], cell=[{"n": 1, "s": 0}, {"n": 5, "s": 0}]), {"w": np.zeros((1, 2))}),
    "chance": 0.1,
}


@pytest.mark.parametrize(
    "stacked", [{}, {"rate": [0.3, 0.1]}, {"rate": [0.1], "n": [5, 1]}, {"cell": [{"n": 1, "s": 0}]}]
)
def test_stacked_axes_are_those_of_the_runs_members(stacked):
    check_stacked(RUN, stacked)


@pytest.mark.parametrize(
    ("stacked", "message"),
    [
        (
            {"rates": [0.1]},
            r"stacked: rates: .* field 'rates'; did you mean 'rate'\? \(there are: cell, n, rate, s, seed\)",
        ),
        ({"rate": [0.1, 0.5]}, r"stacked: rate: \[0.1, 0.5\]: no group of the run has these labels"),
        ({"n": [1, 2]}, "stacked: n"),
    ],
)
def test_a_stacked_axis_that_does_not_come_back_is_named(stacked, message):
    with pytest.raises(ArtefactError, match=message):
        check_stacked(RUN, stacked)
    with pytest.raises(ArtefactError, match="there are: no groups"):
        check_stacked({"chance": 0.1}, stacked)
