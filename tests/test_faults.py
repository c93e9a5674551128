"""Each planted fault does what it says, and nothing else is wrong with it."""

import numpy as np
import pytest
import torch
from small_faults import small_splits
from torch import nn

from course_classroom import faults
from course_utils.metrics import accuracy, collect_logits
from course_utils.models.resnet import BasicBlock

CPU = torch.device("cpu")
SPLITS = small_splits()
HEADS = (faults.WrongStatistics, faults.FrozenNormsMove)


def train(kind, num_epochs=2):
    return kind(SPLITS, CPU, num_epochs).run()


def healthy(kind):
    return (
        faults.HeadTraining
        if issubclass(kind, faults.HeadTraining)
        else faults.Training
    )


def same(one, other, of="parameters"):
    """Return whether two networks' parameters, or buffers, are equal."""
    lists = [list(getattr(run.model, of)()) for run in (one, other)]
    return all(torch.equal(a, b) for a, b in zip(*lists, strict=True))


def test_a_healthy_training_learns_and_repeats_itself():
    run = train(faults.Training, 8)
    assert run.history.train_loss[-1] < run.history.train_loss[0] / 2
    assert len(run.history) == 8
    again = train(faults.Training, 8)
    assert same(run, again)
    assert same(run, again, "buffers")
    assert not same(run, faults.Training(SPLITS, CPU, 8, seed=1).run())


def test_a_healthy_training_says_what_collect_logits_says():
    run = train(faults.Training)
    expected, labels = collect_logits(run.model, run.evaluation_loader(SPLITS.val))
    assert torch.allclose(run.predict(SPLITS.val), expected, atol=1e-5)
    assert run.judge(SPLITS.val).accuracy == accuracy(expected, labels)
    assert torch.allclose(run.predict(SPLITS.val, batch_size=3), expected, atol=1e-4)


def test_the_healthy_schedule_rises_and_falls():
    rates = train(faults.Training, 6).history.lr
    assert max(rates) > 5 * rates[0]
    assert rates[-1] < max(rates) / 5


def test_a_frozen_body_does_not_move_and_its_head_does():
    run = faults.HeadTraining(SPLITS, CPU, 1)
    body = [v.clone() for v in run.model[0].state_dict().values()]
    head = run.model[1].weight.clone()
    run.run()
    now = run.model[0].state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(body, now, strict=True))
    assert not torch.equal(head, run.model[1].weight)


@pytest.mark.parametrize("kind", faults.CULPRITS.values())
def test_a_fault_differs_from_the_healthy_way_in_one_name(kind):
    assert len([key for key in vars(kind) if not key.startswith("__")]) == 1
    assert kind.__bases__ == (healthy(kind),)


def test_eval_missing_depends_on_company_and_trains_the_same_weights():
    run, reference = train(faults.EvalMissing), train(faults.Training)
    assert same(run, reference)
    assert not same(run, reference, "buffers")
    few, many = (run.predict(SPLITS.val, size) for size in (4, 40))
    assert not torch.allclose(few, many, atol=1e-2)


def test_wrong_statistics_reach_evaluation_alone():
    run, reference = (
        train(kind, 1) for kind in (faults.WrongStatistics, faults.HeadTraining)
    )
    assert same(run, reference)
    assert same(run, reference, "buffers")
    for left, right in zip(
        run.training_loader(), reference.training_loader(), strict=True
    ):
        assert torch.equal(left[0], right[0])
    images = torch.cat([x for x, _ in run.evaluation_loader(SPLITS.val)])
    pixels = torch.from_numpy(SPLITS.val.images).permute(0, 3, 1, 2) / 255
    assert torch.allclose(images, pixels, atol=1e-6)


def test_shuffled_labels_keep_images_and_class_counts():
    images, labels = faults.LabelsShuffled(SPLITS, CPU, 1).training_pair()
    assert np.array_equal(images, SPLITS.train.images)
    assert np.array_equal(np.bincount(labels), np.bincount(SPLITS.train.labels))
    assert (labels == SPLITS.train.labels).mean() < 0.3


def test_the_rate_is_ten_times_too_high_in_every_epoch():
    rates, planned = (
        train(k, 4).history.lr for k in (faults.RateTooHigh, faults.Training)
    )
    assert np.allclose(rates, 10 * np.array(planned))


def test_a_scheduler_that_is_not_stepped_leaves_the_rate_alone():
    rates, planned = (
        train(k, 4).history.lr for k in (faults.SchedulerNotStepped, faults.Training)
    )
    assert rates == [planned[0]] * 4


def test_frozen_norms_move_their_statistics_and_no_weight():
    run = faults.FrozenNormsMove(SPLITS, CPU, 1)
    before = {k: v.clone() for k, v in run.model[0].state_dict().items()}
    run.run()
    moved = [
        k for k, v in run.model[0].state_dict().items() if not torch.equal(v, before[k])
    ]
    assert {name.rpartition(".")[2] for name in moved} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    few, many = (run.predict(SPLITS.val, size) for size in (4, 40))
    assert torch.allclose(few, many, atol=1e-3)  # it is judged as it should be


@pytest.mark.parametrize("kind", [faults.Training, faults.EarlyRelu])
def test_an_early_relu_leaves_a_branch_nothing_to_subtract(kind):
    model = kind(SPLITS, CPU, 1).model.eval()
    lowest = []
    for block in model.modules():
        if isinstance(block, BasicBlock):
            block.bn2.register_forward_hook(lambda *call: lowest.append(call[2].min()))
    with torch.no_grad():
        model(torch.randn(4, 3, 8, 8))
    assert len(lowest) == 3
    assert all((low < 0) == (kind is faults.Training) for low in lowest)
    parameters = [p.shape for p in model.parameters()]
    assert parameters == [
        p.shape for p in faults.Training(SPLITS, CPU, 1).model.parameters()
    ]


def test_the_leak_puts_every_test_image_into_a_training_set_of_the_same_size():
    images, labels = faults.LeakedTest(SPLITS, CPU, 1).training_pair()
    assert len(images) == len(labels) == len(SPLITS.train.labels)
    known = {
        image.tobytes(): label for image, label in zip(images, labels, strict=True)
    }
    for image, label in zip(*SPLITS.test, strict=True):
        assert known[image.tobytes()] == label
    own = {image.tobytes() for image in SPLITS.val.images}
    assert not own & known.keys()


def test_each_fault_has_one_letter():
    answers = faults.answers()
    assert list(answers) == list("ABCDEFGH")
    assert sorted(answers.values()) == sorted(faults.FAULTS)
    assert list(answers.values()) not in (list(faults.FAULTS), list(faults.CULPRITS))


def test_a_letter_makes_its_training():
    for letter, fault in faults.answers().items():
        run = faults.behind(letter)(SPLITS, CPU, 1)
        assert type(run) is faults.CULPRITS[fault]
        assert faults.is_head(letter) == (type(run) in HEADS)
        assert isinstance(run.model, nn.Module)
