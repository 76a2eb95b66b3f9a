"""Named members: what a selection leaves, against plain indexing; what is misspelt is answered by the nearest word."""

import itertools

import numpy as np
import pytest
import torch

from dynatlas import artefacts
from dynatlas.members import Group, Members, concatenate, stack
from dynatlas.names import UnknownNameError

SEEDS = [100, 101, 102]
CELLS = [
    {"mode": "static", "n": 1.0, "s": 0},
    {"mode": "static", "n": 5.0, "s": 0},
    {"mode": "late", "n": 5.0, "s": 1},
    {"mode": "late", "n": 1.0, "s": 1},
]
PRODUCT = Members(seed=SEEDS, rate=[0.1, 0.3], task=["Go", "Anti"])
MIXED = Members(seed=SEEDS, cell=CELLS)
X = torch.arange(12 * 5.0).reshape(12, 5)


def test_members_are_seed_major_and_each_knows_its_labels():
    wanted = list(itertools.product(SEEDS, [0.1, 0.3], ["Go", "Anti"]))
    assert [tuple(record.values()) for record in PRODUCT.records] == wanted
    assert PRODUCT.of("task") == ["Go", "Anti"] * 6
    assert (len(PRODUCT), PRODUCT.shape, PRODUCT.fields) == (12, (3, 2, 2), ("seed", "rate", "task"))
    assert MIXED.of("n") == [1.0, 5.0, 5.0, 1.0] * 3
    assert (MIXED.shape, MIXED.fields) == ((3, 4), ("seed", "mode", "n", "s"))


def test_flat_and_split_undo_each_other():
    assert torch.equal(PRODUCT.split(X), X.reshape(3, 2, 2, 5))
    assert torch.equal(PRODUCT.flat(PRODUCT.split(X)), X)
    assert torch.equal(PRODUCT.split(X.T, dim=1), X.T.reshape(5, 3, 2, 2))
    one = PRODUCT.at(seed=100, rate=0.3, task="Go")
    assert one.flat(X[2]).shape == (1, 5)
    assert torch.equal(one.split(X[2:3]), X[2])


@pytest.mark.parametrize("axes", [("seed",), ("rate",), ("seed", "task"), ("seed", "rate", "task"), ()])
def test_spread_hands_to_each_member_what_belongs_to_its_labels(axes):
    lengths = {"seed": 3, "rate": 2, "task": 2}
    x = torch.randn(*(lengths[axis] for axis in axes), 5)
    spread = PRODUCT.spread(x, *axes)
    for member, record in enumerate(PRODUCT.records):
        place = tuple(PRODUCT.axes[axis].index(record[axis]) for axis in axes)
        assert torch.equal(spread[member], x[place])


def test_spreading_over_the_seeds_is_repeating_and_over_the_conditions_tiling():
    x = torch.randn(3, 7)
    assert torch.equal(PRODUCT.spread(x, "seed"), x.repeat_interleave(4, dim=0))
    rates = torch.tensor([0.1, 0.3])
    assert torch.equal(Members(seed=SEEDS, rate=[0.1, 0.3]).spread(rates, "rate"), rates.repeat(3))


def test_selections_chain_and_leave_narrower_members():
    group = PRODUCT.group({"w": X})
    w = X.reshape(3, 2, 2, 5)
    assert torch.equal(group.at(rate=0.3)["w"], w[:, 1])
    assert group.at(rate=0.3).members == Members(seed=SEEDS, task=["Go", "Anti"])
    assert torch.equal(group.at(rate=0.3).at(seed=102, task="Anti")["w"], w[2, 1, 1])
    assert torch.equal(group.at(task="Anti", rate=0.3, seed=102)["w"], w[2, 1, 1])
    assert torch.equal(group.at(seed=[102, 100])["w"], w[[2, 0]])
    assert group.at(seed=[102, 100]).members.axes["seed"] == [102, 100]
    assert group.at(seed=102).at(rate=[0.3]).members.axes == {"rate": [0.3], "task": ["Go", "Anti"]}
    assert torch.equal(group.at(seed=101).flat()["w"], X[4:8])


def test_records_are_selected_by_field_until_none_is_left():
    group = MIXED.group({"w": X})
    w = X.reshape(3, 4, 5)
    late = group.at(mode="late")
    assert late.members.axes == {"seed": SEEDS, "cell": [{"n": 5.0, "s": 1}, {"n": 1.0, "s": 1}]}
    assert torch.equal(late["w"], w[:, 2:])
    assert torch.equal(late.at(n=1)["w"], w[:, 3:])
    assert torch.equal(group.at(mode="late", n=1.0, s=1)["w"], w[:, 3])
    assert torch.equal(group.at(cell=CELLS[3])["w"], w[:, 3])
    assert torch.equal(group.at(n=[5.0, 1.0])["w"], w[:, [1, 2, 0, 3]])
    chosen = group.at(cell=[CELLS[3], CELLS[0]])
    assert torch.equal(chosen["w"], w[:, [3, 0]])
    assert chosen.members.axes["cell"] == [CELLS[3], CELLS[0]]
    assert [cell for cell, _ in group.each("cell")] == CELLS
    assert [(mode, len(part.members)) for mode, part in group.each("mode")] == [("static", 6), ("late", 6)]


def test_each_goes_through_an_axis_in_its_order():
    group = PRODUCT.group({"w": X})
    for (seed, part), wanted in zip(group.each("seed"), X.reshape(3, 4, 5), strict=True):
        assert torch.equal(part.flat()["w"], wanted)
        assert part.members == PRODUCT.at(seed=seed)
    assert [rate for rate, _ in PRODUCT.each("rate")] == [0.1, 0.3]


def test_groups_that_differ_in_one_axis_are_joined_along_it():
    group = PRODUCT.group({"w": X, "drawn": X[:, 0]})
    parts = [group.at(rate=[rate]) for rate in (0.3, 0.1)]
    joined = concatenate(parts, "rate")
    assert joined.members.axes["rate"] == [0.3, 0.1]
    assert all(torch.equal(joined.at(rate=rate)["w"], group.at(rate=rate)["w"]) for rate in (0.1, 0.3))
    with pytest.raises(ValueError, match="differ in more"):
        concatenate([group, group.at(seed=[100])], "rate")
    with pytest.raises(ValueError, match="other arrays: drawn and w, drawn"):
        concatenate([parts[0], parts[1].only("drawn")], "rate")


def test_groups_by_label_are_stacked_on_a_further_axis():
    group = PRODUCT.group({"w": X})
    parts = {task: group.at(task=task) for task in ("Anti", "Go")}
    stacked = stack(parts, "task")
    assert stacked.members == Members(seed=SEEDS, rate=[0.1, 0.3], task=["Anti", "Go"])
    assert all(torch.equal(stacked.at(task=task)["w"], own["w"]) for task, own in parts.items())


def test_what_is_selected_lies_in_memory_of_its_own():
    group = PRODUCT.group({"w": X})
    part = group.at(task="Anti")
    assert part["w"].is_contiguous()
    part["w"].zero_()
    assert group["w"].flatten().tolist() == X.flatten().tolist()


def test_one_seed_one_label_and_no_axis_at_all():
    single = Members(seed=[7], rate=[0.1])
    assert single.group({"w": X[:1]}).at(seed=7, rate=0.1)["w"].shape == (5,)
    assert len(Members()) == 1
    assert Members().records == [{}]
    assert PRODUCT.at(seed=[100]).times(cell=CELLS[:1]).shape == (1, 2, 2, 1)


@pytest.mark.parametrize("dtype", ["bool", "int16", "int64", "float16", "bfloat16", "float32", "float64"])
def test_a_group_comes_back_from_its_file_with_its_members(tmp_path, dtype):
    kind = getattr(torch, dtype)
    arrays = {"w": (X > 7).to(kind) if dtype == "bool" else X.to(kind), "gain": torch.rand(12, dtype=torch.float64)}
    given = {"networks": MIXED.group(arrays), "one": Members(seed=[100]).group({"w": X[:1]}), "chance": np.array(0.5)}
    path = tmp_path / "r.safetensors"
    provenance = {"key": "k" * 64, "seeds": SEEDS, "settings": {"sha256": "a" * 64}}
    artefacts.write_run(path, provenance, given)
    first = path.read_bytes()
    artefacts.write_run(path, provenance, given)
    assert path.read_bytes() == first
    run = artefacts.read_run(path, key="k" * 64)
    assert list(run) == ["chance", "networks", "one"]
    assert run["chance"].item() == 0.5
    for name in ("networks", "one"):
        assert run[name].members == given[name].members
        assert list(run[name]) == list(given[name])
        assert all(run[name][part].dtype == given[name][part].dtype for part in given[name])
        assert all(torch.equal(run[name][part], given[name][part]) for part in given[name])
    assert torch.equal(run["networks"].at(mode="late", n=5.0, s=1, seed=101)["w"], given["networks"]["w"][1, 2])


def test_numpy_arrays_of_any_kind_are_taken_and_not_shared():
    w = np.asfortranarray(np.arange(6.0).reshape(3, 2)).astype(np.float16)
    w.flags.writeable = False
    group = Group(Members(seed=SEEDS), {"w": w, "n": [1, 2, 3], "turned": np.arange(6).reshape(2, 3).T[::-1]})
    assert group["w"].dtype == torch.float16
    assert group["n"].tolist() == [1, 2, 3]
    assert group["turned"].tolist() == [[2, 5], [1, 4], [0, 3]]
    labels = Members(seed=np.array(SEEDS), rate=torch.tensor([0.5, 0.25]))
    assert labels.axes == {"seed": SEEDS, "rate": [0.5, 0.25]}


def test_two_arrays_of_one_name_in_a_file_are_refused(tmp_path):
    given = {"a": Members(seed=[1]).group({"b": X[:1]}), "a.b": X}
    with pytest.raises(ValueError, match=r"two arrays 'a.b'"):
        artefacts.write_run(tmp_path / "r.safetensors", {"seeds": [], "settings": {}}, given)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"sed": 100}, "unknown axis or field of members 'sed'; did you mean 'seed'"),
        ({"mode": "statik"}, r"no member has mode 'statik'; did you mean 'static'\? \(there are: static, late\)"),
        ({"n": 3.0}, r"no member has n 3.0.*\(there are: 1.0, 5.0\)"),
        ({"mode": "late", "s": 0}, r"no member has s 0 \(there are: 1\)"),
        ({"cell": {"mod": "late"}}, "unknown field 'mod'; did you mean 'mode'"),
        ({"cell": {"mode": "late", "n": 5.0, "s": 0}}, "no member has cell"),
        ({"s": True}, "no member has s True"),
        ({"seed": [100, 7]}, "no member has seed 7"),
    ],
)
def test_what_there_is_not_is_answered_by_the_nearest_word(wanted, message):
    for narrowed in (MIXED, MIXED.group({"w": X})):
        with pytest.raises(UnknownNameError, match=message):
            narrowed.at(**wanted)


def test_a_selection_of_nobody_or_of_no_labels_is_refused():
    for narrowed in (MIXED, MIXED.group({"w": X})):
        with pytest.raises(ValueError, match="seed: an empty list selects nobody"):
            narrowed.at(seed=[])
        with pytest.raises(ValueError, match="axis 'seed' has the label 100 twice"):
            narrowed.at(seed=[100, 101, 100])
        for wanted in (None, {100}, torch.tensor([100, 101])):
            with pytest.raises(ValueError, match=r"seed: .* is no label"):
                narrowed.at(seed=wanted)


def test_an_unknown_array_and_a_shape_that_does_not_fit_are_named():
    with pytest.raises(UnknownNameError, match="unknown array of this group 'w_rek'; did you mean 'w_rec'"):
        Members(seed=SEEDS).group({"w_rec": X[:3]})["w_rek"]
    with pytest.raises(ValueError, match=r"array 'w' is \(12, 5\): its leading axes should be \(seed 3, cell 4\)"):
        Group(MIXED, {"w": X})
    with pytest.raises(ValueError, match=r"axis 0 of an array \(5,\) should have the 12 members \(seed 3, cell 4\)"):
        MIXED.split(X[0])
    with pytest.raises(ValueError, match="spread over cell, seed: wanted are some of these axes, in order"):
        MIXED.spread(X, "cell", "seed")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"rate": []}, "axis 'rate' has no labels"),
        ({"rate": [0.1, 0.1]}, "axis 'rate' has the label 0.1 twice"),
        ({"arm": "own"}, "axis 'arm' is 'own': wanted is a list of labels"),
        ({"rate": [0.1, None]}, "rate: None is no label"),
        ({"rate": [float("nan")]}, "rate: nan is no label"),
        ({"cell": [{"n": 1}, {"m": 1}]}, r"axis 'cell': .* have other fields"),
        ({"cell": [{"n": 1}], "n": [2]}, "field 'n' of axis 'cell' is also one of axis 'n'"),
        ({"cell": [{"n": 1}], "pair": [{"n": 2}]}, "field 'n' of axis 'pair' is also one of axis 'cell'"),
    ],
)
def test_axes_that_could_not_be_told_apart_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        Members(**axes)
    with pytest.raises(ValueError, match="there is an axis 'seed' already"):
        MIXED.times(seed=[1])
