"""Slices of the loss: directions as long as the filters, a model left as it was."""

import pytest
import torch

from course_utils.explain.landscape import filter_normalised_directions, loss_slice
from course_utils.models import cifar_plain, cifar_resnet, resnet50
from course_utils.training import evaluate


def network(make=cifar_resnet):
    torch.manual_seed(0)
    return make(8)


IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
BATCH = IMAGES, torch.arange(5)


def state(model):
    values = {name: value.clone() for name, value in model.state_dict().items()}
    return values, [part.training for part in model.modules()]


def assert_unchanged(model, before):
    values, modes = state(model)
    assert modes == before[1]
    assert all(torch.equal(value, before[0][name]) for name, value in values.items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("make", [cifar_resnet, cifar_plain, lambda _: resnet50(4)])
def test_each_filter_is_as_long_as_the_models(make):
    model = network(make)
    (direction,) = filter_normalised_directions(model, seed=3)
    for name, weight in model.named_parameters():
        found = direction[name]
        if weight.ndim == 1:
            assert not found.any()
        else:
            torch.testing.assert_close(found.flatten(1).norm(dim=1), norms(weight))
            assert not torch.equal(found, weight)


def norms(weight):
    return weight.detach().flatten(1).norm(dim=1)


def test_the_seed_makes_the_direction():
    model = network()
    first, second = filter_normalised_directions(model, seed=1, count=2)
    (again,) = filter_normalised_directions(model, seed=1)
    assert torch.equal(first["conv1.weight"], again["conv1.weight"])
    assert not torch.equal(first["conv1.weight"], second["conv1.weight"])


@pytest.mark.parametrize("make", [cifar_resnet, cifar_plain])
def test_alpha_zero_is_the_models_own_loss(make):
    model = network(make).train()
    before = state(model)
    (direction,) = filter_normalised_directions(model)
    losses = loss_slice(model, BATCH, direction, [-0.5, 0, 0.5])
    assert_unchanged(model, before)
    assert losses[1].item() == pytest.approx(evaluate(model, [BATCH]).loss, rel=1e-5)
    assert losses[0] != losses[1]


def test_a_point_of_the_line_is_the_loss_of_the_moved_weights():
    model = network()
    (direction,) = filter_normalised_directions(model)
    losses = loss_slice(model, BATCH, direction, [0.0, 0.3, 0.6])
    assert losses.shape == (3,)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight += 0.6 * direction[name]
    assert losses[2].item() == pytest.approx(evaluate(model, [BATCH]).loss, rel=1e-4)


def test_weights_are_as_they_were_after_an_error():
    model = network().train()
    before = state(model)
    images, labels = BATCH
    (direction,) = filter_normalised_directions(model)
    with pytest.raises(RuntimeError, match="channels"):
        loss_slice(model, (images[:, :2], labels), direction, [0.5])
    assert_unchanged(model, before)
