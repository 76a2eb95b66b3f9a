"""Convolutional networks against sums written out, published counts of parameters, and one network at a time."""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.models.convnet import ConvNet, ResidualBlock, ResNet, convolutional_network, initialised


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=1):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def test_resnet18_has_the_known_number_of_parameters():
    # 11,173,962: counted in many public reports of ResNet-18 for CIFAR-10 (3 x 3 first kernel)
    with torch.device("meta"):
        network = ResNet(3, 10)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962


def test_sizes_say_which_network_it_is():
    assert isinstance(convolutional_network(1, 3, channels=[4, 5], strides=[1, 1]), ConvNet)
    residual = convolutional_network(1, 3, widths=[4], blocks=3)
    assert isinstance(residual, ResNet)
    assert residual.layers(torch.zeros(2, 1, 8, 8))[-1].shape == (2, 3)
    assert len(residual.stages) == 4


def test_resolution_halves_from_group_to_group():
    network = initialised(lambda: ResNet(3, 10, widths=(4, 6, 8), blocks=2), stream())
    shapes = [tuple(layer.shape[1:]) for layer in network.layers(torch.zeros(2, 3, 16, 16))]
    assert shapes == [(4, 16, 16), (4, 16, 16), (4, 16, 16), (6, 8, 8), (6, 8, 8), (8, 4, 4), (8, 4, 4), (10,)]


def test_a_convolution_is_the_sum_over_its_window():
    network = initialised(lambda: ConvNet(2, [3], 4), stream()).double()
    x = images(1, 2, 5, 5)
    weight = network.stages[0][0].weight
    padded = torch.nn.functional.pad(x[0], (1, 1, 1, 1))
    wanted = torch.stack(
        [
            torch.stack([(padded[:, i : i + 3, j : j + 3] * kernel).sum() for i in range(5) for j in range(5)])
            for kernel in weight
        ]
    ).view(3, 5, 5)
    state, logits = network.layers(x)
    torch.testing.assert_close(state[0], wanted.relu())
    torch.testing.assert_close(logits[0], network.readout.weight @ wanted.relu().mean((1, 2)))
    torch.testing.assert_close(network(x), logits)


def test_a_block_without_weights_is_the_relu_of_its_input():
    block = initialised(lambda: ResidualBlock(3, 3, 1, norm="none"), stream()).double()
    for weight in block.parameters():
        torch.nn.init.zeros_(weight)
    x = images(2, 3, 4, 4)
    torch.testing.assert_close(block(x), x.relu())


def test_weights_come_from_the_stream_alone():
    before = torch.random.get_rng_state()
    first, again, other = (
        initialised(lambda: ResNet(1, 3, widths=(16, 16), blocks=1), stream(s)).state_dict() for s in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    kernel = "stages.1.first.0.weight"
    assert not torch.equal(first[kernel], other[kernel])
    assert first[kernel].var() == pytest.approx(2 / (16 * 9), rel=0.1)


@pytest.mark.parametrize(
    "build",
    [lambda: ConvNet(1, (3, 5), 4), lambda: ConvNet(1, (3, 5), 4, norm="batch"), lambda: ResNet(1, 4, widths=(3, 5))],
    ids=["plain", "plain with batch norm", "residual"],
)
def test_an_ensemble_is_one_network_at_a_time(build):
    networks = [initialised(build, stream(seed)).double() for seed in range(3)]
    ensemble = ModuleEnsemble(networks)
    x = images(3, 6, 1, 8, 8)
    together = ensemble(ensemble.parameters, x, shared=False)
    torch.testing.assert_close(
        together, torch.stack([n(own) for n, own in zip(networks, x, strict=True)]), rtol=1e-10, atol=1e-10
    )


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="as many of both"):
        ConvNet(1, [4, 4], 2, strides=[1])
    with pytest.raises(ValueError, match="norm = 'layer'"):
        ResNet(1, 2, norm="layer")
