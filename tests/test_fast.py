"""Convolutions by patches against PyTorch's, the test of two views."""

import copy

import pytest
import torch
from torch import nn

from course_utils.models import CifarResNet
from course_utils.models.fast import BothViews, PatchConv2d, use_patches


@pytest.fixture
def images():
    """Smooth images: each pixel is the mean of its neighbourhood in noise."""
    noise = torch.randn(64, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    return 5 * torch.nn.functional.avg_pool2d(noise, 5, stride=1)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 2, 0)]
)
def test_by_patches_outputs_and_gradients_are_those_of_a_convolution(
    size, stride, padding
):
    torch.manual_seed(0)
    double = {"dtype": torch.float64}  # the order of a sum changes no digit seen
    conv = nn.Conv2d(6, 8, size, stride, padding, bias=False, **double)
    images = torch.randn(5, 6, 7, 7, requires_grad=True, **double)
    expected = conv(images)
    gradient = torch.randn_like(expected)
    by_patches = PatchConv2d(conv)(images)
    torch.testing.assert_close(by_patches, expected)
    inputs = images, conv.weight
    torch.testing.assert_close(
        torch.autograd.grad(by_patches, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
    )


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_network_with_patches_has_the_same_state_and_learns_the_same(images, dtype):
    torch.manual_seed(0)
    usual = CifarResNet(14, shortcut="B", width=8, stem_stride=2, stem_kernel=4)
    patched = copy.deepcopy(usual)
    use_patches(patched.layer3)
    assert sum(isinstance(m, PatchConv2d) for m in patched.modules()) == 4
    assert patched.state_dict().keys() == usual.state_dict().keys()
    for model in (usual, patched):
        model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = model(images[:16, :, :32, :32])
        logits.float().logsumexp(1).sum().backward()
    pairs = zip(usual.parameters(), patched.parameters(), strict=True)
    for expected, found in pairs:
        assert found.grad.dtype == torch.float32
        largest = expected.grad.abs().max().item()
        allowed = (0.02 if dtype else 1e-4) * largest
        torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=allowed)


def test_both_views_are_the_mean_of_an_image_and_its_mirror_image(images):
    model = CifarResNet(8, width=4).eval()
    judged = BothViews(model).eval()
    found = judged(images[:2])
    expected = sum(model(x).softmax(1) for x in (images[:2], images[:2].flip(3))) / 2
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(judged(images[:2].flip(3)), found)
