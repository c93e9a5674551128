"""The training loop: one epoch, the validation after it, and what to keep."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from course_utils._engine import checks
from course_utils._engine.progress import progress_bar
from course_utils.models.modes import device_of, in_mode
from course_utils.training import validation
from course_utils.training.distributed import (
    rank,
    share_buffers,
    sum_over_ranks,
    unwrap,
    without_ddp,
)
from course_utils.training.history import History, Scores
from course_utils.training.precision import Amp, MixedPrecision
from course_utils.training.state import RunState

Criterion = Callable[[Tensor, Tensor], Tensor]
PER_BATCH = (OneCycleLR, CyclicLR)  # these schedules count batches, others epochs
NAN_CHECK_EVERY = 20  # steps; looking at each loss would make a GPU wait


def train_one_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    *,
    scheduler: LRScheduler | None = None,
    precision: MixedPrecision | None = None,
    grad_clip: float | None = None,
    progress: bool = False,
) -> Scores:
    """Train on every batch once; return mean loss and accuracy on the way.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,).
        optimizer: Over the model's parameters.
        criterion: Mean loss of a batch; default cross-entropy.
        scheduler: Stepped after each batch, if given.
        precision: Computes in 16 bits; default: all in 32.
        grad_clip: Largest norm of the gradient; a longer one is shortened to it.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.
        FloatingPointError: If the loss is no longer a finite number.

    Taught in: lesson 03, "One epoch by hand".
    """
    criterion = criterion or F.cross_entropy
    device = device_of(model)
    precision = precision or MixedPrecision(device, amp=False)
    checks.check_not_empty(loader)
    losses: list[Tensor] = []  # times the batch size, left on the device
    correct, count = torch.zeros((), device=device), 0
    with in_mode(model, training=True):
        for images, labels in progress_bar(loader, "train", progress):
            with precision.autocast():
                logits = model(images.to(device, non_blocking=True))
            checks.check_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss = criterion(logits.float(), labels)
            precision.step(loss, model, optimizer, grad_clip)
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.detach() * len(labels))
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
            if len(losses) % NAN_CHECK_EVERY == 0 or len(losses) == len(loader):
                start = (len(losses) - 1) // NAN_CHECK_EVERY * NAN_CHECK_EVERY
                recent = sum_over_ranks(torch.stack(losses[start:])).tolist()
                for step, value in enumerate(recent, start + 1):
                    validation.check_finite(value, f"step {step}")
    return _scores(torch.stack(losses).sum(), correct, count)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    criterion: Criterion | None = None,
    *,
    precision: MixedPrecision | None = None,
    progress: bool = False,
) -> Scores:
    """Return mean loss and accuracy over all images, in evaluation mode.

    The model is back in the mode it was in afterwards. A short last batch counts
    by its size.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,).
        criterion: Mean loss of a batch; default cross-entropy.
        precision: Computes in 16 bits; default: all in 32.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.

    Taught in: lesson 03, "One epoch by hand".
    """
    criterion = criterion or F.cross_entropy
    model = without_ddp(model)
    device = device_of(model)
    precision = precision or MixedPrecision(device, amp=False)
    checks.check_not_empty(loader)
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    count = 0
    with in_mode(model, training=False):
        for images, labels in progress_bar(loader, "val", progress):
            with precision.autocast():
                logits = model(images.to(device, non_blocking=True))
            checks.check_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss += criterion(logits.float(), labels) * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
    return _scores(loss, correct, count)


def train(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    num_epochs: int,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    scheduler: LRScheduler | None = None,
    save_path: Path | str | None = None,
    resume: bool = False,
    amp: Amp = "auto",
    channels_last: bool = True,
    compile: bool = False,
    grad_clip: float | None = None,
    early_stopping: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train for `num_epochs` and leave the model with its best weights.

    Best means: highest validation accuracy, the earliest epoch where several tie.
    Interrupting the kernel ends the training early: the history so far is returned.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes); may be wrapped in
            `DistributedDataParallel`, each process with its share of the data.
        train_loader: Yields images and int64 labels (B,) to fit.
        val_loader: Yields images and labels to choose with. Never the test set.
        num_epochs: Epochs in all, those before a resume included.
        optimizer: Over the model's parameters.
        criterion: Mean loss of a batch; default cross-entropy.
        scheduler: Stepped after each batch (`OneCycleLR`, `CyclicLR`), with the
            validation loss (`ReduceLROnPlateau`), or after each epoch (others).
        save_path: Folder for ``last.pt`` (all that a resume needs) and ``best.pt``.
        resume: Go on from ``last.pt`` if there is one.
        amp: Compute in 16 bits; ``"auto"``: where the device does so natively.
        channels_last: Keep a pixel's channels side by side in memory. A model in
            `DistributedDataParallel` stays as it is: convert it before wrapping it.
        compile: Let `torch.compile` fuse operations; the first batches take longer.
        grad_clip: Largest norm of the gradient; a longer one is shortened to it.
        early_stopping: Stop after this many epochs without a better validation
            accuracy.
        on_epoch: Called with the history after each epoch, once it is saved.
        progress: Whether to show a bar, and one line an epoch.

    Raises:
        ValueError: If a loader is empty, a label is outside the classes, the optimizer
            holds nothing of the model, or an argument does not fit.
        FloatingPointError: If the loss is no longer a finite number.
        torch.OutOfMemoryError: If a batch does not fit into the GPU's memory.
        CheckpointError: If ``last.pt`` belongs to another network or another data set.

        Whatever was raised, the model is as it was after the last good epoch, and so
        are the checkpoints.

    Taught in: lesson 03, "Training".
    """
    checks.check_at_least_one(num_epochs, "num_epochs")
    checks.check_at_least_one(early_stopping, "early_stopping")
    if resume and save_path is None:
        raise ValueError("resume=True needs save_path, the folder to resume from.")
    network = unwrap(model)
    validation.check_devices(network, criterion)
    validation.check_optimizer(network, optimizer)
    precision = MixedPrecision(device_of(network), amp)
    if channels_last and not isinstance(model, DistributedDataParallel):
        network.to(memory_format=torch.channels_last)
    if compile:
        model = torch.compile(model)
    run = RunState(network, optimizer, scheduler, precision.scaler, train_loader)
    say = print if progress and rank() == 0 else lambda text: None
    run.open(save_path, resume=resume, say=say)
    validation.check_cycle_length(scheduler, num_epochs, train_loader)
    with run.kept_on_failure():
        while len(run.history) < num_epochs and not run.out_of_patience(early_stopping):
            began, lr = time.perf_counter(), optimizer.param_groups[0]["lr"]
            if isinstance(train_loader.sampler, DistributedSampler):
                train_loader.sampler.set_epoch(len(run.history))
            fitted = train_one_epoch(
                model,
                train_loader,
                optimizer,
                criterion,
                scheduler=scheduler if isinstance(scheduler, PER_BATCH) else None,
                precision=precision,
                grad_clip=grad_clip,
                progress=progress,
            )
            share_buffers(network)
            val = evaluate(
                model, val_loader, criterion, precision=precision, progress=progress
            )
            validation.check_finite(val.loss, "validation")
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(val.loss)
            elif scheduler is not None and not isinstance(scheduler, PER_BATCH):
                scheduler.step()
            run.finish_epoch(fitted, val, lr=lr, seconds=time.perf_counter() - began)
            say(run.history.line(num_epochs))
            if on_epoch is not None:
                on_epoch(run.history)
    network.load_state_dict(run.best)
    return run.history


def _scores(loss: Tensor, correct: Tensor, count: int) -> Scores:
    """Return the means over all examples, those of other processes included."""
    sums = torch.stack([loss, correct, torch.full_like(correct, count)])
    loss_sum, correct_sum, total = sum_over_ranks(sums).tolist()
    return Scores(loss_sum / total, correct_sum / total)
