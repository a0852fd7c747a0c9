"""Grad-CAM, against captum and by hand."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from inference.grad_cam import grad_cam, normalised
from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from tests.severity import random_network


class Levels(torch.nn.Module):
    """A network of which captum sees the levels, and its last block as a layer."""

    def __init__(self, network):
        super().__init__()
        self.network, self.block = network, torch.nn.Identity()

    def forward(self, volumes):
        return self.network.heads(self.block(self.network.trunk(volumes))).levels


@pytest.mark.parametrize("make", [LTC, I3D])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_map_is_that_of_captum_in_three_dimensions(make, seed):
    network = random_network(make, seed, size=(32, 64, 96))
    volumes = torch.rand(2, 1, 32, 64, 96)
    block = network.trunk(volumes).requires_grad_()
    levels = network.heads(block).levels
    target = levels.argmax(dim=1)
    expected = LayerGradCam(wrapped := Levels(network), wrapped.block).attribute(
        volumes.requires_grad_(), target=target, relu_attributions=True
    )
    found = grad_cam(block, levels.max(dim=1).values)
    assert found.shape == (2, *block.shape[2:])
    torch.testing.assert_close(found, expected[:, 0].detach(), rtol=1e-5, atol=1e-8)


def test_some_of_these_maps_show_something():
    network = random_network(I3D, 2, size=(32, 64, 96))
    block = network.trunk(torch.rand(1, 1, 32, 64, 96)).requires_grad_()
    assert any(grad_cam(block, network.heads(block).levels[:, level]).max() > 0 for level in range(5))


def test_channels_are_weighed_by_the_mean_gradient_and_what_speaks_against_is_0():
    block = torch.tensor([[[[[1.0, 2.0]]], [[[3.0, 0.0]]]]], requires_grad=True)  # two channels, two places
    scores = (block[:, 0] * torch.tensor([2.0, 4.0])).sum(dim=(1, 2, 3)) - 2 * block[:, 1].sum(dim=(1, 2, 3))
    # Weights 3 and -2: 3 * 1 - 2 * 3 < 0, and 3 * 2.
    assert grad_cam(block, scores).tolist() == [[[[0.0, 6.0]]]]


def test_the_highest_value_becomes_1_and_a_map_without_any_is_none():
    found = normalised(np.array([0.0, 2.0, 8.0], np.float32))
    assert found is not None
    assert found.tolist() == [0.0, 0.25, 1.0]
    assert normalised(np.zeros(3, np.float32)) is None
