"""The training loop: what it counts, keeps, refuses and survives."""

import copy
import math
import os
import random
import signal
import subprocess
import sys

import pytest
import small_training as small
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.utils.data import DataLoader, TensorDataset

import course_utils.training as training
from course_utils.checkpoint import CheckpointError, load_checkpoint
from course_utils.history import History, Scores
from course_utils.session import seed_everything
from course_utils.training import evaluate, train, train_one_epoch


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


def same_state(one, other):
    """Whether two nested states are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same_state(one[key], other[key]) for key in one
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other


def without_seconds(history):
    return {k: v for k, v in vars(history).items() if k != "seconds"}


def saved(folder):
    """All that last.pt and best.pt hold, but for the seconds."""
    last, best = (load_checkpoint(folder / f"{name}.pt") for name in ("last", "best"))
    del last["history"]["seconds"]
    return {"last": last, "best": best}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These networks are so small that a second thread is a hindrance."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing disturbed: its folder, its network, its history."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, *small.run(folder)


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


def test_a_progress_bar_changes_nothing_and_can_be_hidden(monkeypatch, capfd):
    results = []
    for progress in (False, True):
        torch.manual_seed(0)
        model, loader = small.cifar_resnet(8, 3), small.make_loaders().train
        results.append(train_one_epoch(model, loader, sgd(model), progress=progress))
    assert results[0] == results[1]
    assert "train" in capfd.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    evaluate(model, small.make_loaders().val, progress=True)
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


@pytest.mark.parametrize("wrong", [-1, 3])
def test_labels_outside_the_classes_are_refused(wrong):
    model = Scale()
    loader = make_loader(labels=[0, 1, 2, 0, wrong])
    with pytest.raises(ValueError, match=rf"{wrong}.* 3 classes \(0 to 2\)"):
        train_one_epoch(model, loader, sgd(model))


def test_impossible_arguments_are_refused():
    model, loader = Scale(), make_loader()
    with pytest.raises(ValueError, match="num_epochs is 0"):
        train(model, loader, loader, num_epochs=0, optimizer=sgd(model))
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


# --- what is kept -----------------------------------------------------------------


def test_the_best_weights_are_left_in_the_model_and_saved(tmp_path, monkeypatch):
    accuracies, weights = [0.5, 0.7, 0.7, 0.6], []

    def scripted(model, loader, criterion=None, *, progress=False):
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


def test_history_survives_json():
    history = History([1.5, 1 / 3], [0.1, 0.2], [2.0, 3.0], [0.3, 0.4], [0.1, 0.01])
    history.seconds = [1.0, 2.0]
    assert History.from_json(history.to_json()) == history
    assert len(history) == 2


def test_the_log_line_is_the_one_a_reader_knows(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    model = Scale()
    train(model, make_loader(), make_loader(), num_epochs=1, optimizer=sgd(model, 0))
    line = capsys.readouterr().out.strip()
    assert line.startswith(
        "Epoch [  1/  1]  Train Loss 0.7742  Train Acc  80.00%  "
        "Val Loss 0.7742  Val Acc  80.00%  Learning Rate 0.00000  Time "
    )


# --- interruptions ----------------------------------------------------------------


def end_by_force(folder, after_batch):
    """Run a training in a process of its own, and kill -9 it after a batch."""
    child = subprocess.Popen(
        [sys.executable, small.__file__, folder, str(torch.get_num_threads())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _ in range(after_batch):
        assert child.stdout.readline() == "batch\n"
        child.stdin.write("go on\n")
        child.stdin.flush()
    child.send_signal(signal.SIGKILL)  # anywhere between this batch and the next
    child.communicate()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on Windows")
def test_kill_9_loses_nothing_but_the_epoch_under_way(tmp_path, straight):
    folder, model, history = straight
    moment = random.Random()  # the moments may differ: the outcome may not
    # within the first epoch; while the second is saved; and twice at random
    for batches in (2, 2 * small.BATCHES, moment.randint(1, 4), moment.randint(1, 7)):
        end_by_force(tmp_path, batches)
        if (tmp_path / "last.pt").exists():
            load_checkpoint(tmp_path / "last.pt")
    resumed, whole = small.run(tmp_path, resume=True)
    assert without_seconds(whole) == without_seconds(history)
    assert same_state(resumed.state_dict(), model.state_dict())
    assert same_state(saved(tmp_path), saved(folder))


@pytest.mark.parametrize("batch", [1, 2, small.TRAIN_BATCHES + 1])
def test_interrupted_in_mid_epoch_it_returns_and_goes_on_exactly(
    tmp_path, straight, capsys, batch
):
    folder, model, history = straight
    stop = small.RaiseAt(2 * small.BATCHES + batch, KeyboardInterrupt())
    broken, so_far = small.run(tmp_path, criterion=stop)
    assert "Finished epochs: 2; resume=True goes on from " in capsys.readouterr().out
    assert so_far.train_loss == history.train_loss[:2]
    best = load_checkpoint(tmp_path / "best.pt")["model"]
    assert same_state(broken.state_dict(), best)

    resumed, whole = small.run(tmp_path, resume=True)
    assert without_seconds(whole) == without_seconds(history)
    assert same_state(resumed.state_dict(), model.state_dict())
    assert same_state(saved(tmp_path), saved(folder))


def test_after_an_interruption_everything_is_as_after_the_last_epoch(tmp_path):
    options = small.setting(tmp_path)
    stop = small.RaiseAt(2 * small.BATCHES + 2, KeyboardInterrupt())
    train(**options | {"criterion": stop})
    last = load_checkpoint(tmp_path / "last.pt")
    assert same_state(options["optimizer"].state_dict(), last["optimizer"])
    assert same_state(options["scheduler"].state_dict(), last["scheduler"])
    assert same_state(torch.get_rng_state(), last["random"]["torch"])
    state = options["train_loader"].generator.get_state()
    assert same_state(state, last["random"]["loader"])


def test_interrupted_in_the_first_epoch_it_is_as_before(tmp_path):
    stop = small.RaiseAt(2, KeyboardInterrupt())
    broken, history = small.run(tmp_path, criterion=stop)
    seed_everything(1)
    assert same_state(broken.state_dict(), small.cifar_resnet(8, 3).state_dict())
    assert len(history) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_trained_further(tmp_path, straight):
    folder, model, history = straight
    again, same = small.run(
        folder, resume=True, criterion=small.RaiseAt(1, AssertionError())
    )
    assert same == history
    assert same_state(again.state_dict(), model.state_dict())


# --- a loss that is no number -----------------------------------------------------


class NanAt(small.RaiseAt):
    """A noisy loss that is NaN, or infinite, from its n-th call on."""

    def __init__(self, call, value=math.nan):
        super().__init__(call, KeyError())
        self.value = value

    def __call__(self, logits, labels):
        self.left -= 1
        loss = small.noisy_loss(logits, labels)
        return loss if self.left > 0 else loss * self.value


@pytest.mark.parametrize(
    ("batch", "value", "where"),
    [
        (1, math.nan, "Epoch 3, step 1: the loss became nan"),
        (3, math.inf, "Epoch 3, step 3: the loss became inf"),
        (4, math.nan, "Epoch 3, validation: the loss became nan"),
    ],
)
def test_nan_stops_names_the_step_and_keeps_the_last_good_epoch(
    tmp_path, straight, batch, value, where
):
    _, _, history = straight
    reference = tmp_path / "reference"
    small.run(reference, num_epochs=2)
    options = small.setting(tmp_path / "nan")
    criterion = NanAt(2 * small.BATCHES + batch, value)
    with pytest.raises(FloatingPointError, match=where):
        train(**options | {"criterion": criterion})
    good = load_checkpoint(reference / "last.pt")
    assert same_state(options["model"].state_dict(), good["model"])
    assert same_state(options["optimizer"].state_dict(), good["optimizer"])
    assert same_state(saved(tmp_path / "nan"), saved(reference))
    # with the cause removed, the run goes on as if nothing had happened
    whole = train(**options, resume=True)
    assert without_seconds(whole) == without_seconds(history)


def test_the_first_bad_step_is_named_in_a_long_epoch():
    loader = DataLoader(
        TensorDataset(torch.ones(45, 3), torch.zeros(45).long()), batch_size=1
    )
    for call in (1, 20, 21, 41, 45):
        model = Scale()
        with pytest.raises(FloatingPointError, match=rf"^step {call}:"):
            train_one_epoch(model, loader, sgd(model, lr=0), NanAt(call))


# --- resuming what does not fit; saving where one cannot ---------------------------


def resume_with(folder, name="noise", scheduler=None, depth=8):
    options = small.setting(folder)
    model = options["model"] = small.cifar_resnet(depth, 3)
    optimizer = options["optimizer"] = SGD(model.parameters(), 0.1, momentum=0.9)
    options["train_loader"] = small.make_loaders(name).train
    options["scheduler"] = scheduler and scheduler(optimizer)
    return train(**options, resume=True)


def cycle_of(steps):
    return lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "other", "scheduler": cycle_of(15)}, r"other data \(name differ"),
        ({"scheduler": cycle_of(20)}, "total_steps=15, this one for 20"),
        ({"scheduler": None}, "schedule"),
        ({"scheduler": lambda opt: CosineAnnealingLR(opt, 15)}, "schedule"),
        ({"scheduler": cycle_of(15), "depth": 14}, "depth 8 there, 14 here"),
    ],
)
def test_a_resume_that_does_not_fit_is_refused(straight, options, message):
    folder, *_ = straight
    before = (folder / "last.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        resume_with(folder, **options)
    assert (folder / "last.pt").read_bytes() == before


def test_best_pt_is_no_file_to_resume_from(tmp_path, straight):
    folder, *_ = straight
    (tmp_path / "last.pt").write_bytes((folder / "best.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"needs the last\.pt"):
        resume_with(tmp_path, scheduler=cycle_of(15))


def test_where_nothing_can_be_saved_the_sentence_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written"):
        small.run(tmp_path / "file" / "run", num_epochs=1)


def test_a_full_disk_keeps_the_epochs_that_were_saved(tmp_path):
    resource = pytest.importorskip("resource")
    small.run(tmp_path, num_epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as if it were full
    try:
        with pytest.raises(OSError, match=r"what was there before is unchanged"):
            small.run(tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    small.run(tmp_path, resume=True)  # with space again it goes on
    assert len(load_checkpoint(tmp_path / "last.pt")["history"]["lr"]) == 5
