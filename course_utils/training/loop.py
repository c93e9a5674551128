"""The training loop, on one page: an epoch, the validation after it, all epochs.

What it calls is beside it: `state` keeps what changes and saves it, `validation`
refuses what cannot work; `models.modes` looks after the network's mode and device.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from course_utils.models.modes import Amp, amp_dtype, device_of, in_mode, unwrap
from course_utils.training import validation
from course_utils.training.state import History, RunState, Scores, rank

Criterion = Callable[[Tensor, Tensor], Tensor]
PER_BATCH = lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR  # others count epochs
NAN_CHECK_EVERY = 20  # steps; looking at each loss would make a GPU wait


def train_one_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    *,
    scheduler: lr_scheduler.LRScheduler | None = None,
    dtype: torch.dtype | None = None,
    scaler: GradScaler | None = None,
    progress: bool = False,
) -> Scores:
    """Train on every batch once; return mean loss and accuracy on the way.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,).
        optimizer: Over the model's parameters.
        criterion: Mean loss of a batch; default cross-entropy.
        scheduler: Stepped after each batch, if given.
        dtype: Type with 16 bits to compute in; default: all in 32.
        scaler: Scales the loss, so that small gradients do not vanish in float16.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.
        FloatingPointError: If the loss is no longer a finite number.

    Taught in: lesson 03, "One epoch".
    """
    validation.check_not_empty(loader)
    criterion = criterion or F.cross_entropy
    scaler = scaler or GradScaler(enabled=False)
    device = device_of(model)
    losses: list[Tensor] = []  # times the batch size, left on the device
    correct, count = torch.zeros((), device=device), 0
    # iter: given the loader itself, tqdm.auto would start it twice
    bar = tqdm(iter(loader), "train", len(loader), leave=False, disable=not progress)
    with in_mode(model, training=True):
        for step, (images, labels) in enumerate(bar, start=1):
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                logits = model(images.to(device, non_blocking=True))
            validation.check_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss = criterion(logits.float(), labels)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.detach() * len(labels))
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
            if step % NAN_CHECK_EVERY == 0 or step == len(loader):
                validation.check_steps(losses[-NAN_CHECK_EVERY:], step)
    return Scores.from_sums(torch.stack(losses).sum(), correct, count)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    criterion: Criterion | None = None,
    *,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> Scores:
    """Return mean loss and accuracy over all images, in evaluation mode.

    The model is back in the mode it was in afterwards. A short last batch counts
    by its size.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,).
        criterion: Mean loss of a batch; default cross-entropy.
        dtype: Type with 16 bits to compute in; default: all in 32.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.

    Taught in: lesson 03, "One epoch".
    """
    validation.check_not_empty(loader)
    criterion = criterion or F.cross_entropy
    model = unwrap(model)  # wrapped, all processes would need equally many batches
    device = device_of(model)
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    count = 0
    bar = tqdm(iter(loader), "val", len(loader), leave=False, disable=not progress)
    with in_mode(model, training=False):
        for images, labels in bar:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                logits = model(images.to(device, non_blocking=True))
            validation.check_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss += criterion(logits.float(), labels) * len(labels)
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
    return Scores.from_sums(loss, correct, count)


def train(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    *,
    num_epochs: int,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    scheduler: lr_scheduler.LRScheduler | None = None,
    save_path: Path | str | None = None,
    resume: bool = False,
    amp: Amp = "auto",
    early_stopping: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train for `num_epochs` and leave the model with its best weights.

    Best means: highest validation accuracy, the earliest epoch where several tie.
    Interrupting the kernel ends the training early, as if it had been asked for the
    epochs that are finished.
    Weights are laid out ``channels_last`` in memory, a pixel's channels side by side,
    but for a model that is wrapped in `DistributedDataParallel`.

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
        save_path: Folder for ``last.pt`` (all that a resume needs) and ``best.pt``. A
            new training keeps an earlier one's as ``….previous.pt``.
        resume: Go on from ``last.pt`` if there is one.
        amp: Compute in 16 bits; ``"auto"``: where the device does so natively.
        early_stopping: Stop after this many epochs without a better validation
            accuracy.
        on_epoch: Called with the history after each epoch, once it is saved.
        progress: Whether to show a bar, and one line an epoch; its learning rate is
            the highest of all groups of parameters.

    Raises:
        ValueError: If a loader is empty, a label is outside the classes, the optimizer
            holds nothing of the model, the scheduler was used before, or an argument
            does not fit.
        FloatingPointError: If the loss is no longer a finite number.
        torch.OutOfMemoryError: If a batch does not fit into the GPU's memory.
        CheckpointError: If ``last.pt`` is damaged, or belongs to another run.
        OSError: If a checkpoint cannot be written.

        Where an error ends the training, the model is as it was after the last
        finished epoch, and so are the checkpoints.

    Taught in: lesson 03, "Train, and read the curves".
    """
    network = unwrap(model)
    validation.check_run(network, optimizer, scheduler, num_epochs, train_loader)
    validation.check_not_empty(val_loader)
    if network is model:
        network.to(memory_format=torch.channels_last)
    dtype = amp_dtype(device_of(network), amp)
    scaler = GradScaler(device_of(network).type, enabled=dtype is torch.float16)
    progress = progress and rank() == 0
    bars = progress and "TQDM_DISABLE" not in os.environ  # tqdm in notebooks ignores it
    run = RunState(network, optimizer, scheduler, scaler, train_loader, save_path)
    with run.rolled_back_on_failure():
        if resume:
            run.resume(tell=progress)
        if not run.history:
            validation.check_unused(scheduler)
        while len(run.history) < num_epochs and not run.out_of_patience(early_stopping):
            run.begin_epoch()
            fitted = train_one_epoch(
                model,
                train_loader,
                optimizer,
                criterion,
                scheduler=scheduler if isinstance(scheduler, PER_BATCH) else None,
                dtype=dtype,
                scaler=scaler,
                progress=bars,
            )
            run.share_buffers()
            val = evaluate(network, val_loader, criterion, dtype=dtype, progress=bars)
            validation.check_finite(val.loss, "validation")
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(val.loss)
            elif scheduler is not None and not isinstance(scheduler, PER_BATCH):
                scheduler.step()
            run.finish_epoch_and_save(fitted, val)
            if progress:
                print(run.history.line(num_epochs))
                if run.history.slowed_down():
                    print(
                        "This epoch took many times as long as another: the machine "
                        "has other work. Wait for it, or begin anew with "
                        "COURSE_THREADS=1."
                    )
            if on_epoch is not None:
                on_epoch(run.history)
    network.load_state_dict(run.best)
    return run.history
