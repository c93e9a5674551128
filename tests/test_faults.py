"""Each planted fault does what it says, and nothing else is wrong with it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from small_faults import small_splits
from torch import nn

from course_classroom import faults
from course_utils.metrics import accuracy, collect_logits
from course_utils.models.resnet import BasicBlock

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SPLITS = small_splits()


@cache
def run_of(fault, num_epochs=2):
    """Return the finished run of a fault, or a healthy one; not to be changed."""
    start = faults.partial(faults.start_run, SPLITS, CPU, num_epochs)
    make = faults.train if fault == "healthy" else None
    return make(start()) if make else faults.CULPRITS[fault](start)


def fitted(run):
    """Return the images and labels that a run fits, in the order of their set."""
    return run.train_loader.dataset.tensors


def same_weights(one, other):
    return torch.equal(faults.weights_of(one.model), faults.weights_of(other.model))


def same_buffers(one, other):
    pairs = zip(one.model.buffers(), other.model.buffers(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_healthy_training_learns_and_repeats_itself():
    run = run_of("healthy", 8)
    per_epoch = len(run.train_loader)
    losses = run.history["loss"]
    assert len(losses) == 8 * per_epoch
    assert np.mean(losses[-per_epoch:]) < np.mean(losses[:per_epoch]) / 2
    assert len(run.history["val_accuracy"]) == 8
    again = faults.train(faults.start_run(SPLITS, CPU, 8))
    assert same_weights(run, again)
    assert same_buffers(run, again)
    assert not same_weights(run, faults.start_run(SPLITS, CPU, 8, seed=1))


def test_a_healthy_training_says_what_collect_logits_says():
    run = run_of("healthy")
    loader = faults.make_loader(SPLITS.val, SPLITS.mean, SPLITS.std)
    expected, labels = collect_logits(run.model, loader)
    assert torch.allclose(run.predict(run, SPLITS.val), expected, atol=1e-5)
    assert run.history["val_accuracy"][-1] == pytest.approx(accuracy(expected, labels))
    loss = nn.functional.cross_entropy(expected, labels).item()
    assert run.history["val_loss"][-1] == pytest.approx(loss, abs=1e-5)


def test_the_healthy_schedule_rises_and_falls_and_leaves_the_momentum():
    run = run_of("healthy")
    rates = run.history["rate"]
    assert rates[0] == pytest.approx(faults.LR / 25)
    assert 15 * rates[0] < max(rates) <= faults.LR
    assert rates[-1] < rates[0]
    assert run.optimizer.param_groups[0]["momentum"] == 0.9


def test_a_step_is_noted_with_its_length_and_its_gradient():
    run = faults.start_run(SPLITS, CPU, 1)
    run.optimizer = torch.optim.SGD(run.model.parameters(), 0.1)
    before = faults.weights_of(run.model)
    loss = 3 * run.model.fc.bias.sum()
    for p in run.model.parameters():
        p.grad = torch.zeros_like(p)
    loss.backward()
    run.optimizer.step()
    faults.note(run, before, loss, torch.eye(10), torch.arange(10).roll(5))
    history = run.history
    assert history["rate"] == [0.1]
    assert history["accuracy"] == [0]
    assert history["gradient"] == [pytest.approx(3 * 10**0.5)]
    step = 0.1 * 3 * 10**0.5 / before.norm().item()
    assert history["step"] == [pytest.approx(step, rel=1e-3)]


def test_eval_missing_depends_on_company_and_trains_the_same_weights():
    run, healthy = run_of("eval() missing"), run_of("healthy")
    assert same_weights(run, healthy)
    assert not same_buffers(run, healthy)
    order = np.random.default_rng(0).permutation(len(SPLITS.val.labels))
    mixed = type(SPLITS.val)(*(part[order] for part in SPLITS.val))
    fresh = faults.CULPRITS["eval() missing"](
        faults.partial(faults.start_run, SPLITS, CPU, 1)
    )
    few = type(SPLITS.val)(*(part[:10] for part in SPLITS.val))
    whole = fresh.predict(fresh, SPLITS.val)[:10]
    assert not torch.allclose(fresh.predict(fresh, few), whole, atol=1e-2)
    sound = healthy.predict(healthy, mixed)
    assert torch.allclose(sound, healthy.predict(healthy, SPLITS.val)[order], atol=1e-5)


def test_wrong_statistics_reach_evaluation_alone():
    run, healthy = run_of("wrong statistics"), run_of("healthy")
    assert same_weights(run, healthy)
    assert same_buffers(run, healthy)
    arrived = []
    hook = run.model.register_forward_pre_hook(lambda m, x: arrived.append(x[0]))
    run.predict(run, SPLITS.val)
    hook.remove()
    pixels = torch.from_numpy(SPLITS.val.images).permute(0, 3, 1, 2) / 255
    assert torch.allclose(torch.cat(arrived), pixels, atol=1e-6)


def test_shuffled_labels_keep_images_and_class_counts():
    images, labels = fitted(run_of("labels shuffled"))
    own_images, own = fitted(run_of("healthy"))
    assert torch.equal(images, own_images)
    assert torch.equal(labels.bincount(), own.bincount())
    assert (labels == own).double().mean() < 0.3


def test_the_rate_is_ten_times_too_high_at_every_step():
    rates = run_of("rate too high").history["rate"]
    assert np.allclose(rates, 10 * np.array(run_of("healthy").history["rate"]))


def test_a_scheduler_that_is_not_stepped_leaves_the_rate_alone():
    rates = run_of("scheduler never stepped").history["rate"]
    assert {*rates} == {run_of("healthy").history["rate"][0]}


def test_gradients_that_are_never_zeroed_add_up():
    run, healthy = run_of("gradients never zeroed"), run_of("healthy")
    ours, theirs = (each.history for each in (run, healthy))
    assert ours["rate"] == theirs["rate"]
    assert ours["gradient"][0] == pytest.approx(theirs["gradient"][0])
    assert ours["step"][0] == pytest.approx(theirs["step"][0])
    assert ours["gradient"][1] != pytest.approx(theirs["gradient"][1], rel=0.01)


@pytest.mark.parametrize("fault", ["healthy", "ReLU before the addition"])
def test_an_early_relu_leaves_a_branch_nothing_to_subtract(fault):
    model = run_of(fault).model.eval()
    lowest, hooks = [], []
    for block in model.modules():
        if isinstance(block, BasicBlock):
            look = block.bn2.register_forward_hook(
                lambda *call: lowest.append(call[2].min())
            )
            hooks.append(look)
    with torch.no_grad():
        model(torch.randn(4, 3, 8, 8))
    for hook in hooks:
        hook.remove()
    assert len(lowest) == 3
    assert all((low < 0) == (fault == "healthy") for low in lowest)
    shapes = [p.shape for p in model.parameters()]
    assert shapes == [p.shape for p in run_of("healthy").model.parameters()]


def test_the_leak_puts_every_test_image_into_a_training_set_of_the_same_size():
    images, labels = fitted(run_of("test images leaked"))
    assert len(images) == len(labels) == len(SPLITS.train.labels)
    pairs = zip(images, labels, strict=True)
    known = {image.numpy().tobytes(): label for image, label in pairs}
    normalised = faults.make_loader(SPLITS.test, SPLITS.mean, SPLITS.std).dataset
    for image, label in zip(*normalised.tensors, strict=True):
        assert known[image.numpy().tobytes()] == label


def test_the_leak_takes_the_place_of_images_of_all_classes():
    own = SPLITS.train.labels.argsort(kind="stable")
    train = type(SPLITS.train)(*(part[own] for part in SPLITS.train))  # by class
    splits = replace(SPLITS, train=train)
    start = faults.partial(faults.start_run, splits, CPU, 1)
    labels = fitted(faults.CULPRITS["test images leaked"](start))[1]
    kept = labels[: len(labels) - len(SPLITS.test.labels)]
    assert {7, 8, 9} <= {*kept.tolist()}


def test_the_seed_shuffles_the_labels_and_the_batches():
    one, other = (
        faults.CULPRITS["labels shuffled"](
            faults.partial(faults.start_run, SPLITS, CPU, 1, seed)
        )
        for seed in (0, 1)
    )
    assert not torch.equal(fitted(one)[1], fitted(other)[1])
    assert other.train_loader.generator.initial_seed() == 1


def test_the_practice_patient_cannot_lose_less_than_theory_allows():
    run = faults.practice(SPLITS, CPU, 2)
    assert min(run.history["loss"]) > np.log(np.e + 9) - 1
    shares = run.predict(run, SPLITS.val)
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)), atol=1e-5)


def test_each_fault_has_one_letter():
    answers = faults.answers()
    assert list(answers) == list("ABCDEFGH")
    assert sorted(answers.values()) == sorted(faults.FAULTS)
    assert list(answers.values()) != list(faults.FAULTS)


@pytest.mark.parametrize("letter", "AH")
def test_a_letter_makes_its_run(letter):
    run = faults.patient(letter, SPLITS, CPU, 2)
    assert same_weights(run, run_of(faults.answers()[letter]))
