"""The training loop: what it counts, keeps, refuses and survives."""

import copy
import math

import pytest
import small_training as small
import torch
import torch.nn.functional as F
from small_training import same_state
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.utils.data import DataLoader, TensorDataset

from course_utils.training import (
    evaluate,
    load_checkpoint,
    sgd_one_cycle,
    state,
    train,
    train_one_epoch,
)
from course_utils.training import loop as training
from course_utils.training.state import Scores


class Scale(nn.Module):
    """Gives its input as logits: what comes out can be reckoned by hand."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return x * self.weight


def make_loader(labels=(0, 0, 0, 0, 2), batch_size=4):
    """Four images with logits (log 2, 0, 0), then one with (0, 0, 0)."""
    logits = torch.zeros(5, 3)
    logits[:4, 0] = math.log(2)
    return DataLoader(TensorDataset(logits, torch.tensor(labels)), batch_size)


def sgd(model, lr=0.1):
    return SGD(model.parameters(), lr=lr)


pytestmark = pytest.mark.usefixtures("one_thread")


# --- one epoch --------------------------------------------------------------------

# Batches of 4 and 1. Four images have p = 2/4 and are right; the last has p = 1/3
# and is wrong. Batches that counted alike would give (log 2 + log 3) / 2 and 1/2.
BY_HAND = ((4 * math.log(2) + math.log(3)) / 5, 4 / 5)


def test_means_count_a_short_last_batch_by_its_size():
    model = Scale()
    assert evaluate(model, make_loader()) == pytest.approx(BY_HAND)
    fitted = train_one_epoch(model, make_loader(), sgd(model, lr=0))
    assert fitted == pytest.approx(BY_HAND)


@pytest.mark.parametrize("mode", [True, False])
def test_each_works_in_its_own_mode_and_puts_the_old_one_back(mode):
    model = Scale().train(mode)
    train_one_epoch(model, make_loader(), sgd(model))
    assert (model.modes, model.training) == ([True, True], mode)
    evaluate(model, make_loader())
    assert (model.modes[2:], model.training) == ([False, False], mode)
    with pytest.raises(ValueError, match="classes"):
        evaluate(model, make_loader(labels=[0, 0, 0, 0, 3]))
    assert model.training == mode


def test_a_part_that_was_in_another_mode_is_put_back_into_it():
    model = small.cifar_resnet(8, 3)
    model.bn1.eval()
    before = {name: part.training for name, part in model.named_modules()}
    evaluate(model, small.make_loaders().val)
    train_one_epoch(model, small.make_loaders().train, sgd(model))
    assert {name: part.training for name, part in model.named_modules()} == before
    assert (model.training, model.bn1.training) == (True, False)


def test_one_epoch_takes_the_steps_that_the_optimiser_would_take_alone():
    model, twin = Scale(), Scale()
    train_one_epoch(model, make_loader(), optimizer := sgd(model))
    for images, labels in make_loader():
        (gradient,) = torch.autograd.grad(
            F.cross_entropy(twin(images), labels), twin.weight
        )
        twin.weight.data -= optimizer.param_groups[0]["lr"] * gradient
    assert model.weight.item() == pytest.approx(twin.weight.item(), abs=1e-7)
    assert model.weight.item() != 1


def test_a_progress_bar_changes_nothing_and_can_be_hidden(tmp_path, monkeypatch, capfd):
    results = []
    for progress in (False, True):
        torch.manual_seed(0)
        model, loader = small.cifar_resnet(8, 3), small.make_loaders().train
        results.append(train_one_epoch(model, loader, sgd(model), progress=progress))
    assert results[0] == results[1]
    assert "train" in capfd.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    small.run(tmp_path, num_epochs=1, scheduler=None, progress=True)
    assert capfd.readouterr().err == ""


def test_the_order_of_the_images_is_that_of_the_loader_alone():
    """A loop written by hand sees the same batches: the loader is started once."""
    seen = []
    loader = small.make_loaders().train
    model = small.cifar_resnet(8, 3)
    train_one_epoch(
        model,
        loader,
        sgd(model),
        lambda logits, labels: seen.append(labels) or F.cross_entropy(logits, labels),
    )
    by_hand = [labels for _, labels in small.make_loaders().train]
    assert same_state(seen, by_hand)


# --- bad input --------------------------------------------------------------------


def test_an_empty_loader_is_refused(tmp_path):
    empty = DataLoader(TensorDataset(torch.zeros(0, 3), torch.zeros(0).long()))
    model = Scale()
    for loaders in ((empty, make_loader()), (make_loader(), empty)):
        with pytest.raises(ValueError, match="yields no batch"):
            train(model, *loaders, num_epochs=1, optimizer=sgd(model))
    assert not model.modes  # at once, not after an epoch


@pytest.mark.parametrize("wrong", [-1, 3])
def test_labels_outside_the_classes_are_refused(wrong):
    model = Scale()
    loader = make_loader(labels=[0, 1, 2, 0, wrong])
    with pytest.raises(ValueError, match=rf"{wrong}.* 3 classes \(0 to 2\)"):
        train_one_epoch(model, loader, sgd(model))


def test_impossible_arguments_are_refused():
    model, loader = Scale(), make_loader()
    for number in (0, 2.5):
        with pytest.raises(ValueError, match=f"num_epochs is {number}; give a whole"):
            train(model, loader, loader, num_epochs=number, optimizer=sgd(model))
    with pytest.raises(ValueError, match="save_path"):
        train(model, loader, loader, num_epochs=1, optimizer=sgd(model), resume=True)


# --- schedules --------------------------------------------------------------------


def lr_of(make_scheduler, num_epochs, criterion=None):
    """Return the history's learning rates and the one that is left at the end."""
    model = Scale()
    optimizer = sgd(model)
    history = train(
        model,
        make_loader(),
        make_loader(),
        num_epochs=num_epochs,
        optimizer=optimizer,
        scheduler=make_scheduler(optimizer),
        criterion=criterion,
        progress=False,
    )
    return history.lr, optimizer.param_groups[0]["lr"]


def test_a_schedule_of_epochs_is_stepped_once_an_epoch():
    trace, left = lr_of(lambda opt: MultiStepLR(opt, [2, 3]), 4)
    assert trace == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert left == pytest.approx(0.001)


def test_one_cycle_is_stepped_once_a_batch():
    def make(optimizer):  # two batches an epoch; up for two steps, down for four
        return OneCycleLR(optimizer, 0.1, total_steps=6, pct_start=0.4)

    twin = sgd(Scale())
    cycle = make(twin)
    each_step = []
    for _ in range(6):
        each_step.append(twin.param_groups[0]["lr"])
        twin.step()
        if len(each_step) < 6:
            cycle.step()
    trace, _ = lr_of(make, 3)
    assert trace == pytest.approx(each_step[::2])


def test_plateau_is_stepped_with_the_validation_loss():
    calls = []

    def criterion(logits, labels):  # training falls, validation stands still
        calls.append(logits.requires_grad)
        return logits.sum() * 0 + (1 / len(calls) if logits.requires_grad else 1.0)

    trace, left = lr_of(
        lambda opt: ReduceLROnPlateau(opt, factor=0.5, patience=1, min_lr=0.04),
        6,
        criterion,
    )
    # epoch 1 is the best; 2 and 3 are no better: halved; then 4 and 5: the minimum
    assert trace == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.04])
    assert left == 0.04


def test_the_rate_in_the_history_is_the_highest_of_all_groups():
    def make(optimizer):
        faster = {"params": [nn.Parameter(torch.ones(()))], "lr": 3}
        optimizer.add_param_group(faster)
        return MultiStepLR(optimizer, [1])

    assert lr_of(make, 2) == (pytest.approx([3, 0.3]), pytest.approx(0.01))


@pytest.mark.parametrize("rates", [[0.2], [0.01, 0.1]])
def test_one_cycle_goes_up_to_each_groups_own_rate(rates):
    groups = [{"params": Scale().parameters(), "lr": lr} for lr in rates]
    optimizer, cycle = sgd_one_cycle(groups if rates[1:] else Scale(), 0.2, steps=10)
    assert {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}.items() <= (
        optimizer.defaults.items()
    )
    seen = [cycle.get_last_lr()]
    for _ in range(9):
        optimizer.step()
        cycle.step()
        seen.append(cycle.get_last_lr())
    assert list(map(max, zip(*seen, strict=True))) == pytest.approx(rates)
    assert seen[0] == pytest.approx([rate / 25 for rate in rates])


# --- what is kept -----------------------------------------------------------------


def test_the_best_weights_are_left_in_the_model_and_saved(tmp_path, monkeypatch):
    accuracies, weights = [0.5, 0.7, 0.7, 0.6], []

    def scripted(model, loader, criterion=None, **options):
        weights.append(copy.deepcopy(model.state_dict()))
        return Scores(1.0, accuracies[len(weights) - 1])

    monkeypatch.setattr(training, "evaluate", scripted)
    model, history = small.run(tmp_path, num_epochs=4)
    assert history.val_accuracy == accuracies
    assert same_state(model.state_dict(), weights[1])  # the earliest of the best
    best, last = (load_checkpoint(tmp_path / f"{n}.pt") for n in ("best", "last"))
    assert same_state(best["model"], weights[1])
    assert (best["epoch"], best["val_accuracy"]) == (2, 0.7)
    assert same_state(last["model"], weights[3])


def test_the_log_line_names_its_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    model = Scale()
    train(model, make_loader(), make_loader(), num_epochs=1, optimizer=sgd(model, 0))
    line = capsys.readouterr().out.strip()
    assert line.startswith(
        "Epoch 1/1  train 0.774  80.0%  val 0.774  80.0%  lr 0.00000  "
    )


def test_the_log_line_fits_72_columns():
    history = training.History()
    for _ in range(100):
        history.append(Scores(2.3, 1.0), Scores(2.3, 1.0), lr=0.1, seconds=123.45)
    assert len(history.line(num_epochs=160)) <= 72


def test_the_first_slow_epoch_gets_a_word(monkeypatch, capsys):
    moments = iter([0, 1, 1, 3, 3, 63, 63, 123])  # 1, 2, 60 and 60 seconds

    class Clock:
        perf_counter = staticmethod(lambda: next(moments))

    monkeypatch.setattr(state, "time", Clock)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    model = Scale()
    train(model, make_loader(), make_loader(), num_epochs=4, optimizer=sgd(model, 0))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines] == [
        "Epoch 1/4 ", "Epoch 2/4 ", "Epoch 3/4 ", "This epoch", "Epoch 4/4 ",
    ]  # fmt: skip
    assert "COURSE_THREADS=1" in lines[3]
