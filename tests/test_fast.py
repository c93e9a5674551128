"""The white stem on images with correlated pixels; the test of two views."""

import pytest
import torch

from course_utils.models import CifarResNet
from course_utils.models.fast import BothViews, whiten_stem


@pytest.fixture
def images():
    """Smooth images: each pixel is the mean of its neighbourhood in noise."""
    noise = torch.randn(64, 3, 36, 36, generator=torch.Generator().manual_seed(0))
    return 5 * torch.nn.functional.avg_pool2d(noise, 5, stride=1)


def test_its_answers_on_patches_are_uncorrelated_with_variance_one(images):
    model = CifarResNet(8, width=16, stem_stride=2, stem_kernel=4)
    whiten_stem(model, images)
    answers = torch.nn.functional.conv2d(images, model.conv1.weight, stride=4)
    first, second = answers.transpose(0, 1).flatten(1).chunk(2)
    torch.testing.assert_close(second, -first)
    covariance = first @ first.T / first.shape[1]
    torch.testing.assert_close(covariance, torch.eye(8), atol=0.05, rtol=0)


def test_it_is_not_learnt_and_the_rest_is(images):
    model = CifarResNet(8, width=16, stem_stride=2, stem_kernel=4)
    whiten_stem(model, images)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["conv1.weight"]
    assert model(images[:2, :, :32, :32]).shape == (2, 10)


def test_more_outputs_than_directions_are_refused(images):
    with pytest.raises(ValueError, match="64 outputs, but its patches have 27"):
        whiten_stem(CifarResNet(8, width=64), images)


def test_both_views_are_the_mean_of_an_image_and_its_mirror_image(images):
    model = CifarResNet(8, width=4).eval()
    judged = BothViews(model).eval()
    found = judged(images[:2])
    expected = sum(model(x).softmax(1) for x in (images[:2], images[:2].flip(3))) / 2
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(judged(images[:2].flip(3)), found)
