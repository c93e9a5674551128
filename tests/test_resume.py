"""Runs that are killed, interrupted or spoilt, and what goes on from them."""

import copy
import math
import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import small_training as small
import torch
from small_training import same_state, saved, without_seconds
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from course_utils.session import seed_everything
from course_utils.training import (
    CheckpointError,
    load_checkpoint,
    state,
    train,
    train_one_epoch,
)
from course_utils.training.state import save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing disturbed: its folder, its network, its history."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, *small.run(folder)


# --- a second training -----------------------------------------------------------


def test_the_same_cell_run_twice_is_told_to_resume_and_nothing_is_touched(tmp_path):
    options = small.setting(tmp_path)
    train(**options)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    weights = copy.deepcopy(options["model"].state_dict())
    with pytest.raises(ValueError, match=r"taken 15 steps already.*resume=True"):
        train(**options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert same_state(options["model"].state_dict(), weights)
    again = train(**options, resume=True)  # as it says
    assert len(again) == small.NUM_EPOCHS


def test_a_new_training_in_the_same_folder_keeps_the_earlier_ones_files(
    tmp_path, capsys
):
    small.run(tmp_path)
    before = {name: (tmp_path / f"{name}.pt").read_bytes() for name in ("best", "last")}
    small.run(tmp_path, num_epochs=1)
    said = capsys.readouterr().out
    for name, content in before.items():
        assert (tmp_path / f"{name}.previous.pt").read_bytes() == content
        assert f"{name}.pt is {name}.previous.pt now" in said
    assert len(load_checkpoint(tmp_path / "last.pt")["history"]["lr"]) == 1
    small.run(tmp_path, num_epochs=2, resume=True)  # is the same training: no word
    assert not capsys.readouterr().out


# --- interruptions ----------------------------------------------------------------


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have PyTorch loaded already: many, in little time."""
    from multiprocessing import forkserver  # not on Windows

    context = multiprocessing.get_context("forkserver")
    # an optimizer imports the second: slowly
    context.set_forkserver_preload(["small_training", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on Windows")
def test_kill_9_at_20_random_moments_changes_nothing(tmp_path, straight, processes):
    moment = random.Random()  # the moments may differ: the outcome may not
    for name in ("warm-up", "undisturbed"):  # how long a whole run takes
        began = time.monotonic()
        process = processes.Process(target=small.run_on, args=(tmp_path / name,))
        process.start()
        process.join()
        assert process.exitcode == 0
    whole_s = time.monotonic() - began
    expected = saved(tmp_path / "undisturbed")

    kills = finished = 0
    while kills < 20 or not finished:
        folder = tmp_path / f"run {finished}"
        process = processes.Process(target=small.run_on, args=(folder,))
        process.start()
        process.join(moment.uniform(0, whole_s) if kills < 20 else None)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            finished += 1
            assert same_state(saved(folder), expected)
    resumed, history = small.run(folder, num_epochs=3, resume=True)  # only reads
    assert history.train_loss == straight[2].train_loss[:3]
    assert same_state(resumed.state_dict(), expected["best"]["model"])


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


@pytest.mark.parametrize("resume", [False, True])
def test_after_an_interruption_everything_is_as_after_the_last_epoch(tmp_path, resume):
    if resume:
        small.run(tmp_path, num_epochs=2)
    options = small.setting(tmp_path) | {"resume": resume}
    epochs = 0 if resume else 2
    stop = small.RaiseAt(epochs * small.BATCHES + 2, KeyboardInterrupt())
    train(**options | {"criterion": stop})
    last = load_checkpoint(tmp_path / "last.pt")
    assert same_state(options["optimizer"].state_dict(), last["optimizer"])
    assert same_state(options["scheduler"].state_dict(), last["scheduler"])
    assert same_state(torch.get_rng_state(), last["random"][0]["torch"])
    state = options["train_loader"].generator.get_state()
    assert same_state(state, last["random"][0]["loader"])


def test_interrupted_while_saving_it_names_the_epochs_that_are_saved(
    tmp_path, capsys, monkeypatch
):
    def press_stop(path, checkpoint):
        if path.name == "last.pt" and len(checkpoint["history"]["lr"]) == 2:
            raise KeyboardInterrupt
        save_checkpoint(path, checkpoint)

    monkeypatch.setattr(state, "save_checkpoint", press_stop)
    _, history = small.run(tmp_path)
    assert "Finished epochs: 1; resume=True" in capsys.readouterr().out
    assert len(history) == len(load_checkpoint(tmp_path / "last.pt")["history"]["lr"])


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


def test_a_resume_computes_with_as_many_threads_as_the_run_began_with(tmp_path):
    torch.set_num_threads(2)
    small.run(tmp_path, num_epochs=1, scheduler=None)
    torch.set_num_threads(1)
    small.run(tmp_path, num_epochs=2, scheduler=None, resume=True)
    found = torch.get_num_threads()
    torch.set_num_threads(1)
    assert found == 2


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
        model = nn.Linear(3, 2)
        with pytest.raises(FloatingPointError, match=rf"^step {call}:"):
            train_one_epoch(model, loader, SGD(model.parameters(), lr=0), NanAt(call))


# --- resuming what does not fit; saving where one cannot ---------------------------


def cycle_of(steps):
    return lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=steps)


def cycle_to(lr):
    return lambda optimizer: OneCycleLR(optimizer, lr, total_steps=15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "other"}, "name 'noise' there, 'other' here"),
        ({"seed": 4}, "seed of the order 3 there, 4 here"),
        ({"scheduler": cycle_of(20)}, r"'OneCycleLR\(15\)' there"),
        ({"scheduler": lambda opt: None}, "schedule .* there, 'none' here"),
        ({"scheduler": lambda opt: CosineAnnealingLR(opt, 15)}, r"LR\(15\)' here"),
        ({"depth": 14}, "depth 8 there, 14 here"),
        ({"optimizer": AdamW}, "optimizer 'SGD' there, 'AdamW' here"),
        ({"scheduler": cycle_to(0.5)}, r"first rates \[0\.004.* there, \[0\.02\] here"),
    ],
)
def test_a_resume_that_does_not_fit_is_refused(straight, changes, message):
    folder, *_ = straight
    options = small.setting(folder)
    model = options["model"] = small.cifar_resnet(changes.get("depth", 8), 3)
    optimizer = changes.get("optimizer", SGD)(model.parameters(), 0.1)
    options["optimizer"] = optimizer
    options["scheduler"] = changes.get("scheduler", cycle_of(15))(optimizer)
    data, seed = changes.get("data", "noise"), changes.get("seed", 3)
    options["train_loader"] = small.make_loaders(data, seed).train
    before = (folder / "last.pt").read_bytes(), copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError, match=message):
        train(**options, resume=True)
    assert (folder / "last.pt").read_bytes() == before[0]
    assert same_state(model.state_dict(), before[1])


@pytest.mark.parametrize("lost", ["optimizer", "random"])
def test_a_file_that_lacks_an_entry_is_refused_and_nothing_is_touched(tmp_path, lost):
    small.run(tmp_path, num_epochs=1)
    last = load_checkpoint(tmp_path / "last.pt")
    del last[lost]
    save_checkpoint(tmp_path / "last.pt", last)
    options = small.setting(tmp_path)
    before = copy.deepcopy(options["model"].state_dict())
    with pytest.raises(CheckpointError, match=f"does not fit .*KeyError: '{lost}'"):
        train(**options, resume=True)
    assert same_state(options["model"].state_dict(), before)


def test_a_run_without_a_fingerprint_still_goes_on(tmp_path, straight):
    """Files of earlier versions have none."""
    small.run(tmp_path, num_epochs=2)
    last = load_checkpoint(tmp_path / "last.pt")
    del last["fingerprint"]
    save_checkpoint(tmp_path / "last.pt", last)
    _, resumed = small.run(tmp_path, resume=True)
    assert without_seconds(resumed) == without_seconds(straight[2])


def test_where_nothing_can_be_saved_it_says_so_before_it_trains(tmp_path):
    (tmp_path / "file").touch()
    never = small.RaiseAt(1, AssertionError())
    with pytest.raises(OSError, match="could not be written"):
        small.run(tmp_path / "file" / "run", num_epochs=1, criterion=never)


@pytest.mark.parametrize("free", [5_000, 100_000])
def test_a_full_disk_keeps_the_epochs_that_were_saved(tmp_path, free):
    resource = pytest.importorskip("resource")
    small.run(tmp_path, num_epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))  # as if it were full
    try:
        with pytest.raises(OSError, match=r"\(File too large\); what was there before"):
            small.run(tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    small.run(tmp_path, resume=True)  # with space again it goes on
    assert len(load_checkpoint(tmp_path / "last.pt")["history"]["lr"]) == 5
