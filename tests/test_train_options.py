"""Options of `train`: what they change, and that nothing else changes with them."""

import math
import warnings

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
    OneCycleLR,
    SequentialLR,
)

from course_utils.training import evaluate, train, train_one_epoch
from course_utils.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from course_utils.training.precision import MixedPrecision, amp_dtype

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
    """A run in float32, as memory lies by default, not compiled."""
    return run_steadily(tmp_path_factory.mktemp("plain"), channels_last=False)


# --- speed, with the same result ----------------------------------------------------


def has_cpp_compiler():
    from torch._inductor import cpp_builder, exc

    try:
        return bool(cpp_builder.get_cpp_compiler())
    except exc.InvalidCxxCompiler:
        return False


def test_16_bits_give_the_same_result_up_to_rounding(tmp_path, plainly):
    _, history = plainly
    fast, rounded = run_steadily(tmp_path, channels_last=False, amp=True)
    assert rounded.train_loss == pytest.approx(history.train_loss, rel=0.03)
    assert rounded.train_loss != history.train_loss
    assert {value.dtype for value in fast.parameters()} == {torch.float32}


def test_channels_last_moves_the_weights_in_memory_and_changes_nothing(
    tmp_path, plainly
):
    _, history = plainly
    fast, same = run_steadily(tmp_path)
    weight = fast.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert same.train_loss == pytest.approx(history.train_loss, rel=1e-4)


@pytest.mark.skipif(not has_cpp_compiler(), reason="torch.compile needs a C++ compiler")
def test_compiled_it_gives_the_same_result_up_to_rounding(tmp_path):
    def build():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3)
        )

    results = []
    for compiled in (False, True):
        model = build()
        seen = []
        _, history = run_steadily(
            tmp_path / str(compiled),
            model=model,
            optimizer=SGD(model.parameters(), lr=0.01),
            criterion=lambda logits, labels, seen=seen: (
                seen.append(logits.grad_fn and logits.grad_fn.name())
                or F.cross_entropy(logits, labels)
            ),
            compile=compiled,
        )
        results.append(history.train_loss)
        assert any("Compiled" in (name or "") for name in seen) == compiled
        saved = load_checkpoint(tmp_path / str(compiled) / "best.pt")["model"]
        assert same_state(saved, dict(model.state_dict()))
    assert results[1] == pytest.approx(results[0], rel=1e-4)


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
    precision = MixedPrecision(CPU, amp=False)
    precision.dtype = torch.float16
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    weights = {}
    for name, used in (("float32", None), ("float16", precision)):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        loader = [(torch.eye(3), torch.tensor([0, 1, 0]))]
        # a loss so small that its gradient is zero in float16 (below 6e-8)
        tiny = train_one_epoch(
            model,
            loader,
            SGD(model.parameters(), lr=1e9),
            lambda logits, labels: F.cross_entropy(logits, labels) * 1e-8,
            precision=used,
        )
        assert tiny.loss == pytest.approx(0.7e-8, rel=0.5)
        weights[name] = model.weight.detach()
    assert weights["float32"].abs().max() > 1
    assert torch.allclose(weights["float16"], weights["float32"], rtol=0.01, atol=0.01)


def test_evaluation_in_16_bits_is_that_of_32_up_to_rounding(plainly):
    model, _ = plainly
    loader = small.make_loaders().val
    exact = evaluate(model, loader)
    rounded = evaluate(model, loader, precision=MixedPrecision(CPU, amp=True))
    assert rounded.loss == pytest.approx(exact.loss, rel=0.02)
    assert rounded.loss != exact.loss


# --- clipping, stopping, calling ------------------------------------------------------


def test_a_long_gradient_is_shortened_to_the_given_norm():
    for clip, norm in ((None, 5.0), (1.0, 1.0), (7.0, 5.0)):
        model = nn.Linear(2, 2, bias=False)
        before = model.weight.detach().clone()
        loader = [(torch.ones(1, 2), torch.tensor([0]))]
        pull = torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # its norm is 5
        train_one_epoch(
            model,
            loader,
            SGD(model.parameters(), lr=1.0),
            lambda logits, labels, w=model.weight, p=pull: (w * p).sum(),
            grad_clip=clip,
        )
        moved = (before - model.weight.detach()).norm().item()
        assert moved == pytest.approx(norm, rel=1e-5)


def accuracies(monkeypatch, values):
    """Let validation accuracy take these values, one an epoch."""
    from course_utils.training import loop as training
    from course_utils.training.history import Scores

    left = iter(values)
    monkeypatch.setattr(
        training, "evaluate", lambda *a, **options: Scores(1.0, next(left))
    )


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


def test_parts_on_several_devices_are_refused(tmp_path):
    model = small.setting(tmp_path)["model"]
    model.fc.to("meta")
    with pytest.raises(ValueError, match=r"several devices \(cpu, meta\)"):
        small.run(tmp_path, model=model)
    weighted = nn.CrossEntropyLoss(weight=torch.ones(3, device="meta"))
    with pytest.raises(ValueError, match=r"several devices \(cpu, meta\)"):
        small.run(tmp_path, criterion=weighted)


def test_a_cycle_shorter_than_the_training_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"15 steps, but 6 epochs of 3 batches are 18"):
        small.run(tmp_path, num_epochs=6)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("early_stopping", 0, "early_stopping is 0; give at least 1"),
        ("amp", "sometimes", "amp is 'sometimes'; give True, False or 'auto'"),
    ],
)
def test_impossible_options_are_refused(tmp_path, option, value, message):
    with pytest.raises(ValueError, match=message):
        small.run(tmp_path, **{option: value})


def test_no_memory_left_names_the_batch_size_and_keeps_what_was_saved(tmp_path):
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    options = small.setting(tmp_path)
    options["criterion"] = small.RaiseAt(small.BATCHES + 2, full)
    with pytest.raises(torch.OutOfMemoryError, match="batches of 16 images; try half"):
        train(**options)
    last = load_checkpoint(tmp_path / "last.pt")
    assert len(last["history"]["lr"]) == 1
    assert same_state(options["model"].state_dict(), last["model"])


def test_any_other_error_keeps_its_own_words(tmp_path):
    own = RuntimeError("the reader's own")
    with pytest.raises(RuntimeError, match="the reader's own") as caught:
        small.run(tmp_path, criterion=small.RaiseAt(2, own))
    assert caught.value is own


def test_where_nothing_compiles_the_sentence_says_so(tmp_path):
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.raises(RuntimeError, match=r"torch.compile failed .*use compile=False"),
    ):
        small.run(tmp_path, compile=True)


# --- going on ------------------------------------------------------------------------


def test_another_version_of_torch_is_told_and_goes_on(tmp_path):
    small.run(tmp_path, num_epochs=2)
    last = load_checkpoint(tmp_path / "last.pt")
    last["versions"]["torch"] = "1.0.0"
    save_checkpoint(tmp_path / "last.pt", last)
    with pytest.warns(UserWarning, match="written by torch 1.0.0, this is"):
        _, history = small.run(tmp_path, resume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small.run(tmp_path, resume=True)[1] == history


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
    with pytest.raises(CheckpointError, match="part 2's T_max=2, this one for 3"):
        train(**options, resume=True)


def test_the_scale_of_the_loss_is_saved_and_restored(tmp_path, monkeypatch):
    """With float16 a resumed run scales as the interrupted one did."""

    def in_float16(self, device, amp):
        self.device_type, self.dtype = device.type, torch.float16
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=2)

    monkeypatch.setattr(MixedPrecision, "__init__", in_float16)
    _, straight = small.run(tmp_path / "straight")
    small.run(tmp_path, num_epochs=2)
    assert load_checkpoint(tmp_path / "last.pt")["scaler"]["scale"] > 1024
    _, resumed = small.run(tmp_path, resume=True)
    assert without_seconds(resumed) == without_seconds(straight)
    assert not any(map(math.isnan, straight.train_loss))


def test_one_cycle_of_other_length_is_named(tmp_path):
    small.run(tmp_path, num_epochs=2)
    options = small.setting(tmp_path)
    options["scheduler"] = OneCycleLR(options["optimizer"], 0.1, total_steps=18)
    with pytest.raises(CheckpointError, match="total_steps=15, this one for 18"):
        train(**options | {"num_epochs": 6}, resume=True)
