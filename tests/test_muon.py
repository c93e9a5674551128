"""Muon against PyTorch's own; the recipe that uses it."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from course_utils.models import CifarResNet
from course_utils.training import muon
from course_utils.training.muon import Muon, orthogonal
from course_utils.training.recipes import muon_one_cycle


@pytest.fixture
def kernel():
    generator = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(8, 4, 3, 3, generator=generator))


@pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon to compare with"
)
def test_kernels_take_the_steps_of_pytorchs_muon(kernel, monkeypatch):
    monkeypatch.setattr(muon, "amp_dtype", lambda *_: torch.bfloat16)  # as it does
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], lr=0.1, momentum=0.9)
    theirs = torch.optim.Muon(
        [matrix], lr=0.1, momentum=0.9, weight_decay=0.0, ns_steps=3
    )
    target = torch.randn(8, 36, generator=torch.Generator().manual_seed(1))
    for _ in range(4):
        for weight, optimizer in ((kernel, ours), (matrix, theirs)):
            optimizer.zero_grad()
            (weight.reshape(8, 36) - target).pow(4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


def test_other_parameters_take_nesterovs_step_with_a_running_mean():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = Muon([weight], lr=0.5, momentum=0.8)
    for gradient in ([1.0, 0.0], [0.0, 10.0]):
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    # means 0.2, 0 and 0.16, 2; steps 0.2·1 + 0.8·0.2 = 0.36, 0 and 0.128, 3.6
    expected = torch.tensor([1 - 0.5 * (0.36 + 0.128), 2 - 0.5 * 3.6])
    torch.testing.assert_close(weight.detach(), expected)


def test_steps_are_rounded_only_where_bfloat16_is_native(monkeypatch):
    matrix = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    steps = {}
    for native in (None, torch.float16, torch.bfloat16):
        monkeypatch.setattr(muon, "amp_dtype", lambda *_, found=native: found)
        steps[native] = orthogonal(matrix)
    assert torch.equal(steps[None], steps[torch.float16])
    gap = (steps[None] - steps[torch.bfloat16]).abs().max()
    assert 1e-4 < gap < 2e-2


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(1e-4 * matrix))
    assert 0.5 < values.min() < values.max() < 1.3
    spread = torch.linalg.svdvals(matrix)
    assert values.max() / values.min() < spread.max() / spread.min()


def test_the_recipe_has_two_rates_and_leaves_out_what_is_frozen():
    model = CifarResNet(8, width=4)
    model.conv1.weight.requires_grad_(False)
    optimizer, scheduler = muon_one_cycle(model, 0.1, 20, other_lr=0.5)
    assert isinstance(scheduler, OneCycleLR)
    kernels, others = (group["params"] for group in optimizer.param_groups)
    assert {p.ndim for p in kernels} == {4}
    assert model.conv1.weight not in set(kernels)
    assert len(kernels) + len(others) == len(list(model.parameters())) - 1
    assert [group["max_lr"] for group in optimizer.param_groups] == [0.1, 0.5]
