"""Options of `train`: what they change, and that nothing else changes with them."""

import copy
import math
from functools import partial

import pytest
import small_training as small
import torch
import torch.nn.functional as F
from small_training import same_state, without_seconds
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.utils.data import DataLoader, TensorDataset

from course_utils.training import (
    CheckpointError,
    amp_dtype,
    evaluate,
    load_checkpoint,
    loop,
    train,
    train_one_epoch,
)
from course_utils.training.state import Scores

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


def steady_loss(logits, labels):
    """The cross-entropy, without the noise of `small.noisy_loss`."""
    return F.cross_entropy(logits, labels)


def run_steadily(folder, **changes):
    """Train three epochs at a low rate: rounding then stays rounding."""
    options = small.setting(folder) | {"criterion": steady_loss, "amp": False}
    options |= {"num_epochs": 3, "scheduler": None, **changes}
    for group in options["optimizer"].param_groups:
        group["lr"] = 0.01
    return options["model"], train(**options)


@pytest.fixture(scope="module")
def plainly(tmp_path_factory):
    """A run in float32."""
    return run_steadily(tmp_path_factory.mktemp("plain"))


# --- speed, with the same result ----------------------------------------------------


def test_16_bits_give_the_same_result_up_to_rounding(tmp_path, plainly):
    _, history = plainly
    fast, rounded = run_steadily(tmp_path, amp=True)
    assert rounded.train_loss == pytest.approx(history.train_loss, rel=0.03)
    assert rounded.train_loss != history.train_loss
    assert {value.dtype for value in fast.parameters()} == {torch.float32}
    weight = fast.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@pytest.mark.parametrize(
    ("device", "amp", "native", "expected"),
    [
        (CPU, False, True, None),
        (CPU, "auto", True, torch.bfloat16),
        (CPU, "auto", False, None),
        (CPU, True, False, torch.bfloat16),
        (CUDA, "auto", True, torch.bfloat16),
        (CUDA, "auto", False, torch.float16),
        (CUDA, False, True, None),
        (MPS, "auto", True, None),
        (MPS, True, True, torch.float16),
    ],
)
def test_16_bits_are_used_where_the_device_has_them(
    monkeypatch, device, amp, native, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: native)
    assert amp_dtype(device, amp) == expected


def test_float16_scales_the_loss_so_that_small_gradients_survive():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    weights = {}
    for name, used in (
        ("float32", {}),
        ("float16", {"dtype": torch.float16, "scaler": scaler}),
    ):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        loader = [(torch.eye(3), torch.tensor([0, 1, 0]))]
        # a loss so small that its gradient is zero in float16 (below 6e-8)
        tiny = train_one_epoch(
            model,
            loader,
            SGD(model.parameters(), lr=1e9),
            lambda logits, labels: F.cross_entropy(logits, labels) * 1e-8,
            **used,
        )
        assert tiny.loss == pytest.approx(0.7e-8, rel=0.5)
        weights[name] = model.weight.detach()
    assert weights["float32"].abs().max() > 1
    assert torch.allclose(weights["float16"], weights["float32"], rtol=0.01, atol=0.01)


def test_evaluation_in_16_bits_is_that_of_32_up_to_rounding(plainly):
    model, _ = plainly
    loader = small.make_loaders().val
    exact = evaluate(model, loader)
    rounded = evaluate(model, loader, dtype=torch.bfloat16)
    assert rounded.loss == pytest.approx(exact.loss, rel=0.02)
    assert rounded.loss != exact.loss


# --- stopping, calling ------------------------------------------------------


def accuracies(monkeypatch, values):
    """Let validation accuracy take these values, one an epoch."""
    left = iter(values)
    monkeypatch.setattr(loop, "evaluate", lambda *a, **options: Scores(1.0, next(left)))


def test_it_stops_when_validation_no_longer_gets_better(tmp_path, monkeypatch):
    accuracies(monkeypatch, (0.4, 0.6, 0.5, 0.6, 0.7))
    model, history = small.run(tmp_path, early_stopping=2)
    assert history.val_accuracy == [0.4, 0.6, 0.5, 0.6]
    best = load_checkpoint(tmp_path / "best.pt")
    assert (best["epoch"], best["val_accuracy"]) == (2, 0.6)
    assert same_state(model.state_dict(), best["model"])
    # asked again it stays there; more patience goes on
    assert small.run(tmp_path, early_stopping=2, resume=True)[1] == history
    more = small.run(tmp_path, early_stopping=3, resume=True)[1]
    assert more.val_accuracy == [0.4, 0.6, 0.5, 0.6, 0.7]


def test_after_each_epoch_what_was_given_is_called_with_what_is_saved(tmp_path):
    seen = []

    def look(history):
        saved = load_checkpoint(tmp_path / "last.pt")["history"]
        seen.append((len(history), saved["val_loss"] == history.val_loss))

    small.run(tmp_path, num_epochs=3, on_epoch=look)
    assert seen == [(1, True), (2, True), (3, True)]


def test_interrupted_from_outside_after_an_epoch_that_epoch_counts(tmp_path):
    def stop(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    _, history = small.run(tmp_path, on_epoch=stop)
    assert len(history) == 2
    _, whole = small.run(tmp_path, resume=True)
    _, straight = small.run(tmp_path / "straight")
    assert without_seconds(whole) == without_seconds(straight)


# --- refused -------------------------------------------------------------------------


def test_an_optimizer_of_nothing_or_of_another_network_is_refused(tmp_path):
    other = small.cifar_resnet(8, 3)
    frozen = small.setting(tmp_path)["model"].requires_grad_(False)
    for parameters, count in (([], 0), (list(other.parameters()), 23)):
        optimizer = SGD([{"params": parameters}], lr=0.1)
        with pytest.raises(ValueError, match=f"holds {count} parameters, none"):
            small.run(tmp_path, optimizer=optimizer, scheduler=None)
    optimizer = SGD(frozen.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="none of them trainable"):
        small.run(tmp_path, model=frozen, optimizer=optimizer, scheduler=None)
    assert list(tmp_path.iterdir()) == []


def test_a_cycle_shorter_than_the_training_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"15 steps, but 6 epochs of 3 batches are 18"):
        small.run(tmp_path, num_epochs=6)


def test_an_impossible_option_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give True, False or 'auto'"):
        small.run(tmp_path, amp="sometimes")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "batches of 16 images; try half",
        ),
        (RuntimeError("the reader's own"), "the reader's own"),
        (OSError("an image that cannot be read"), "an image that cannot be read"),
        (SystemExit("the end"), "the end"),
    ],
)
def test_whatever_ends_it_the_last_good_epoch_is_left(tmp_path, error, words):
    options = small.setting(tmp_path)
    options["criterion"] = small.RaiseAt(small.BATCHES + 2, error)
    with pytest.raises(type(error), match=words):
        train(**options)
    last = load_checkpoint(tmp_path / "last.pt")
    assert len(last["history"]["lr"]) == 1
    assert same_state(options["model"].state_dict(), last["model"])
    assert same_state(options["optimizer"].state_dict(), last["optimizer"])


def test_a_batch_of_one_image_that_batchnorm_cannot_use_is_told(tmp_path):
    """Three strides make one pixel of 8x8; 33 images leave a batch of one."""
    images = TensorDataset(torch.randn(33, 3, 8, 8), torch.zeros(33).long())
    convs = [nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(3)]
    model = nn.Sequential(*convs, nn.BatchNorm2d(3), nn.Flatten())
    before = copy.deepcopy(model.state_dict())
    options = {"optimizer": SGD(model.parameters(), 0.1), "scheduler": None}
    loaders = {"train_loader": DataLoader(images, batch_size=32)}
    with pytest.raises(ValueError, match=r"batch of a single image.*drop_last"):
        small.run(tmp_path, model=model, **options, **loaders)
    assert same_state(model.state_dict(), before)


# --- going on ------------------------------------------------------------------------


def test_another_rate_is_refused_where_there_is_no_schedule(tmp_path):
    run_steadily(tmp_path)  # at 0.01
    with pytest.raises(CheckpointError, match=r"first rates \[0\.01\] there"):
        small.run(tmp_path, scheduler=None, resume=True)


def test_a_rate_that_the_schedule_has_lowered_is_the_same_run(tmp_path):
    for num_epochs in (2, 3):
        options = small.setting(tmp_path) | {"num_epochs": num_epochs, "resume": True}
        optimizer = SGD(options["model"].parameters(), 0.1)
        plateau = ReduceLROnPlateau(optimizer, patience=0, threshold=99)  # at once
        history = train(**options | {"optimizer": optimizer, "scheduler": plateau})
    assert history.lr == pytest.approx([0.1, 0.01, 0.001])


def test_more_epochs_are_granted_where_the_schedule_has_no_length(tmp_path):
    _, short = small.run(tmp_path, num_epochs=2, scheduler=None)
    _, longer = small.run(tmp_path, num_epochs=4, scheduler=None, resume=True)
    assert (len(longer), longer.train_loss[:2]) == (4, short.train_loss)
    _, straight = small.run(tmp_path / "straight", num_epochs=4, scheduler=None)
    assert without_seconds(longer) == without_seconds(straight)


def after_warm_up(optimizer, num_epochs):
    return SequentialLR(
        optimizer,
        [LinearLR(optimizer), CosineAnnealingLR(optimizer, num_epochs - 1)],
        milestones=[1],
    )


def test_a_schedule_within_a_schedule_has_its_length_compared_too(tmp_path):
    for num_epochs in (3, 4):
        options = small.setting(tmp_path)
        options["num_epochs"] = num_epochs
        options["scheduler"] = after_warm_up(options["optimizer"], num_epochs)
        if num_epochs == 3:
            assert len(train(**options)) == 3
    with pytest.raises(CheckpointError, match=r"CosineAnnealingLR\(2\)\).* here"):
        train(**options, resume=True)


def test_the_scale_of_the_loss_is_saved_and_restored(tmp_path, monkeypatch):
    """With float16 a resumed run scales as the interrupted one did."""

    scaler = partial(torch.amp.GradScaler, init_scale=1024, growth_interval=2)
    monkeypatch.setattr(loop, "GradScaler", scaler)
    monkeypatch.setattr(loop, "amp_dtype", lambda device, amp: torch.float16)
    _, straight = small.run(tmp_path / "straight", num_epochs=2)
    small.run(tmp_path, num_epochs=1)
    assert load_checkpoint(tmp_path / "last.pt")["scaler"]["scale"] > 1024
    _, resumed = small.run(tmp_path, num_epochs=2, resume=True)
    assert without_seconds(resumed) == without_seconds(straight)
    assert not any(map(math.isnan, straight.train_loss))
