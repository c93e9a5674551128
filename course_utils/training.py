"""The training loop: one epoch, the validation after it, and what to keep."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from course_utils.checkpoint import save_checkpoint
from course_utils.history import History, Scores
from course_utils.precision import Amp, MixedPrecision
from course_utils.run_state import RunState

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
        grad_clip: Largest norm of the gradient; longer ones are shortened to it.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.
        FloatingPointError: If the loss is no longer a finite number.

    Taught in: lesson 03, "One epoch by hand".
    """
    criterion = criterion or F.cross_entropy
    device = _device_of(model)
    precision = precision or MixedPrecision(device, amp=False)
    _refuse_empty(loader)
    losses: list[Tensor] = []  # times the batch size, left on the device
    correct, count = torch.zeros((), device=device), 0
    with _mode(model, training=True):
        for images, labels in _bar(loader, "train", progress):
            with precision.autocast():
                logits = model(images.to(device, non_blocking=True))
            _refuse_labels(labels, logits)
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
                recent = torch.stack(losses[start:]).tolist()
                for step, value in enumerate(recent, start + 1):
                    _refuse_nan(value, f"step {step}")
    return Scores(torch.stack(losses).sum().item() / count, correct.item() / count)


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
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.

    Taught in: lesson 03, "One epoch by hand".
    """
    criterion = criterion or F.cross_entropy
    device = _device_of(model)
    precision = precision or MixedPrecision(device, amp=False)
    _refuse_empty(loader)
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    count = 0
    with _mode(model, training=False):
        for images, labels in _bar(loader, "val", progress):
            with precision.autocast():
                logits = model(images.to(device, non_blocking=True))
            _refuse_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss += criterion(logits.float(), labels) * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
    return Scores(loss.item() / count, correct.item() / count)


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
    grad_clip: float | None = None,
    progress: bool = True,
) -> History:
    """Train for `num_epochs` and leave the model with its best weights.

    Best means: highest validation accuracy, the earliest epoch where several tie.
    Interrupting the kernel ends the training early: the history so far is returned.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        train_loader: Yields images and int64 labels (B,) to fit.
        val_loader: Yields images and labels to choose with. Never the test set.
        num_epochs: Epochs in all, those before a resume included.
        optimizer: Over the model's parameters.
        criterion: Mean loss of a batch; default cross-entropy.
        scheduler: Stepped after each batch (`OneCycleLR`, `CyclicLR`), with the
            validation loss (`ReduceLROnPlateau`), or after each epoch (others).
        save_path: Folder for ``last.pt`` (all that a resume needs) and ``best.pt``.
        resume: Go on from ``last.pt`` if there is one.
        progress: Whether to show a bar, and one line an epoch.

    Raises:
        ValueError: If a loader is empty, a label is outside the classes, or an
            argument does not fit.
        FloatingPointError: If the loss is no longer a finite number. The model is
            then as it was after the last good epoch, and so are the checkpoints.
        CheckpointError: If ``last.pt`` belongs to another network or another data set.

    Taught in: lesson 03, "Training".
    """
    if num_epochs < 1:
        raise ValueError(f"num_epochs is {num_epochs}; give at least 1.")
    if resume and save_path is None:
        raise ValueError("resume=True needs save_path, the folder to resume from.")
    precision = MixedPrecision(_device_of(model), amp)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    run = RunState(model, optimizer, scheduler, train_loader)
    last = Path(save_path) / "last.pt" if save_path is not None else None
    shown = f"{last.parent.name}/{last.name}" if last is not None else ""
    if resume and last is not None and last.is_file():
        run.load(last)
        if progress:
            print(f"Going on after epoch {len(run.history)} of {shown}.")
    per_batch = scheduler if isinstance(scheduler, PER_BATCH) else None
    good = run.state()
    try:
        while len(run.history) < num_epochs:
            began = time.perf_counter()
            lr = optimizer.param_groups[0]["lr"]
            fitted = train_one_epoch(
                model,
                train_loader,
                optimizer,
                criterion,
                scheduler=per_batch,
                precision=precision,
                grad_clip=grad_clip,
                progress=progress,
            )
            val = evaluate(
                model, val_loader, criterion, precision=precision, progress=progress
            )
            _refuse_nan(val.loss, "validation")
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(val.loss)
            elif scheduler is not None and per_batch is None:
                scheduler.step()
            seconds = time.perf_counter() - began
            run.finish_epoch(fitted, val, lr=lr, seconds=seconds)
            good = run.state()
            if progress:
                print(run.history.line(num_epochs))
            if last is not None:
                if run.is_best:
                    save_checkpoint(last.with_name("best.pt"), run.best_checkpoint())
                save_checkpoint(last, good)
    except KeyboardInterrupt:
        run.restore(good)
        kept = f"; resume=True goes on from {shown}" if shown else ""
        print(f"Interrupted. Finished epochs: {len(run.history)}{kept}.")
    except FloatingPointError as error:
        epoch = len(run.history) + 1
        run.restore(good)
        raise FloatingPointError(f"Epoch {epoch}, {error}") from None
    model.load_state_dict(run.best)
    return run.history


def _bar(loader: DataLoader, name: str, progress: bool) -> tqdm:
    """Return the loader's batches under a bar, which TQDM_DISABLE=1 hides."""
    # in a notebook tqdm does not look at the variable itself
    hidden = not progress or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    # iter: given the loader itself, tqdm.auto would start it twice
    return tqdm(iter(loader), name, len(loader), leave=False, disable=hidden)


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put the model into a mode, and back into its own at the end."""
    was_training = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(was_training)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _refuse_empty(loader: DataLoader) -> None:
    if not len(loader):
        raise ValueError(
            "The loader yields no batch; give it at least one image (and "
            "drop_last=False where there are fewer than a batch)."
        )


def _refuse_labels(labels: Tensor, logits: Tensor) -> None:
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"Labels go from {labels.min()} to {labels.max()}, but the network has "
            f"{logits.shape[1]} classes (0 to {logits.shape[1] - 1}); build it with "
            "num_classes to match the data."
        )


def _refuse_nan(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{where}: the loss became {loss}; lower the learning rate (a tenth of it "
            "is a good first try) and look at the data."
        )
