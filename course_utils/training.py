"""The training loop: one epoch, the validation after it, and what to keep."""

import copy
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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

from course_utils.checkpoint import (
    CheckpointError,
    architecture_of,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)

Criterion = Callable[[Tensor, Tensor], Tensor]
PER_BATCH = (OneCycleLR, CyclicLR)  # these schedules count batches, others epochs
NAN_CHECK_EVERY = 20  # steps; looking at each loss would make a GPU wait


class Scores(NamedTuple):
    """Mean loss and accuracy (a fraction) over all images of a loader."""

    loss: float
    accuracy: float


@dataclass
class History:
    """What happened in each epoch: one number an epoch in every list.

    Attributes:
        train_loss: Mean training loss, measured while the weights changed.
        train_accuracy: Training accuracy, likewise; a fraction.
        val_loss: Validation loss after the epoch.
        val_accuracy: Validation accuracy after the epoch; a fraction.
        lr: Learning rate at the epoch's first step.
        seconds: Duration of the epoch with its validation.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    def append(self, train: Scores, val: Scores, *, lr: float, seconds: float) -> None:
        """Add one epoch."""
        self.train_loss.append(train.loss)
        self.train_accuracy.append(train.accuracy)
        self.val_loss.append(val.loss)
        self.val_accuracy.append(val.accuracy)
        self.lr.append(lr)
        self.seconds.append(seconds)

    def line(self, num_epochs: int) -> str:
        """Return the last epoch as one line of text."""
        return (
            f"Epoch [{len(self):3d}/{num_epochs:3d}]  "
            f"Train Loss {self.train_loss[-1]:.4f}  "
            f"Train Acc {self.train_accuracy[-1]:7.2%}  "
            f"Val Loss {self.val_loss[-1]:.4f}  "
            f"Val Acc {self.val_accuracy[-1]:7.2%}  "
            f"Learning Rate {self.lr[-1]:.5f}  "
            f"Time {self.seconds[-1]:.1f} s"
        )

    def to_json(self) -> str:
        """Return the history as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "History":
        """Return the history that `to_json` wrote."""
        return cls(**json.loads(text))


def train_one_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    *,
    scheduler: LRScheduler | None = None,
    progress: bool = False,
) -> Scores:
    """Train on every batch once; return mean loss and accuracy on the way.

    Args:
        model: Maps images (B, C, H, W) to logits (B, num_classes).
        loader: Yields images and int64 labels (B,).
        optimizer: Over the model's parameters.
        criterion: Mean loss of a batch; default cross-entropy.
        scheduler: Stepped after each batch, if given.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If the loader is empty or a label is outside the classes.
        FloatingPointError: If the loss is no longer a finite number.

    Taught in: lesson 03, "One epoch by hand".
    """
    criterion = criterion or F.cross_entropy
    device = _device_of(model)
    _refuse_empty(loader)
    losses: list[Tensor] = []  # times the batch size, left on the device
    correct, count = torch.zeros((), device=device), 0
    bar = tqdm(loader, desc="train", leave=False, disable=not progress)
    with _mode(model, training=True):
        for images, labels in bar:
            logits = model(images.to(device, non_blocking=True))
            _refuse_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.detach() * len(labels))
            correct += (logits.argmax(1) == labels).sum()
            count += len(labels)
            if len(losses) % NAN_CHECK_EVERY == 0 or len(losses) == len(loader):
                _refuse_nan(losses)
    return Scores(torch.stack(losses).sum().item() / count, correct.item() / count)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    criterion: Criterion | None = None,
    *,
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
    _refuse_empty(loader)
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    count = 0
    bar = tqdm(loader, desc="val", leave=False, disable=not progress)
    with _mode(model, training=False):
        for images, labels in bar:
            logits = model(images.to(device, non_blocking=True))
            _refuse_labels(labels, logits)
            labels = labels.to(device, non_blocking=True)
            loss += criterion(logits, labels) * len(labels)
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
    run = _Run(model, optimizer, scheduler, train_loader)
    last = Path(save_path) / "last.pt" if save_path is not None else None
    if resume and last is not None and last.is_file():
        run.load(last)
        if progress:
            print(f"Going on after epoch {len(run.history)} of {last}.")
    good = run.state()
    try:
        while len(run.history) < num_epochs:
            run.one_epoch(val_loader, criterion, progress)
            if progress:
                print(run.history.line(num_epochs))
            if last is not None:
                if run.is_best:
                    save_checkpoint(last.with_name("best.pt"), run.best_checkpoint())
                save_checkpoint(last, run.state())
            good = run.state()
    except KeyboardInterrupt:
        run.restore(good)
        kept = f"; resume=True goes on from {last}" if last is not None else ""
        print(f"Interrupted: {len(run.history)} epochs are finished{kept}.")
    except FloatingPointError as error:
        epoch = len(run.history) + 1
        run.restore(good)
        raise FloatingPointError(f"Epoch {epoch}, {error}") from None
    model.load_state_dict(run.best)
    return run.history


class _Run:
    """Everything that changes while training, to be saved and restored together."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        loader: DataLoader,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.scheduler, self.loader = scheduler, loader
        self.history = History()
        self.best = copy.deepcopy(model.state_dict())

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best so far."""
        accuracies = self.history.val_accuracy
        return accuracies[-1] > max(accuracies[:-1], default=-1.0)

    def one_epoch(
        self, val_loader: DataLoader, criterion: Criterion | None, progress: bool
    ) -> None:
        """Train and validate once; step the scheduler; remember the best weights."""
        began = time.perf_counter()
        lr = self.optimizer.param_groups[0]["lr"]
        per_batch = self.scheduler if isinstance(self.scheduler, PER_BATCH) else None
        fitted = train_one_epoch(
            self.model,
            self.loader,
            self.optimizer,
            criterion,
            scheduler=per_batch,
            progress=progress,
        )
        val = evaluate(self.model, val_loader, criterion, progress=progress)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(val.loss)
        elif self.scheduler is not None and per_batch is None:
            self.scheduler.step()
        seconds = time.perf_counter() - began
        self.history.append(fitted, val, lr=lr, seconds=seconds)
        if self.is_best:
            self.best = copy.deepcopy(self.model.state_dict())

    def best_checkpoint(self) -> dict[str, Any]:
        """Return the best weights and what describes them."""
        return {
            "model": self.best,
            "architecture": architecture_of(self.model),
            "data": getattr(self.loader.dataset, "info", None),
            "epoch": len(self.history),
            "val_accuracy": max(self.history.val_accuracy, default=None),
            "torch": str(torch.__version__),
        }

    def state(self) -> dict[str, Any]:
        """Return a copy of everything, ready to be saved."""
        generator = self.loader.generator
        python = random.getstate()
        numpy = np.random.get_state()  # noqa: NPY002 - the global one, as it is
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "architecture": architecture_of(self.model),
                "data": getattr(self.loader.dataset, "info", None),
                "torch": str(torch.__version__),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler and self.scheduler.state_dict(),
                "history": asdict(self.history),
                "random": {
                    "torch": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state_all(),
                    "loader": generator and generator.get_state(),
                    "python": python,
                    "numpy": [numpy[0], torch.from_numpy(numpy[1]), *numpy[2:]],
                },
            }
        )

    def load(self, path: Path) -> None:
        """Go on from the file `path`, which must fit this run."""
        state = load_checkpoint(path)
        if "optimizer" not in state:
            raise CheckpointError(
                f"{path} holds weights alone; resume needs the last.pt of a run."
            )
        own = getattr(self.loader.dataset, "info", None)
        if state["data"] and own and state["data"] != own:
            differing = [k for k in own if state["data"].get(k) != own[k]]
            raise CheckpointError(
                f"{path} was trained on other data ({', '.join(differing)} differ); "
                "use the same data, or another save_path."
            )
        planned = self.scheduler and self.scheduler.state_dict()
        for key in ("total_steps", "T_max"):
            if planned and key in planned and planned[key] != state["scheduler"][key]:
                raise CheckpointError(
                    f"The schedule in {path} was planned for {key}="
                    f"{state['scheduler'][key]}, this one for {planned[key]}; its "
                    "shape depends on its length: ask for the same epochs, or start "
                    "afresh."
                )
        load_weights(self.model, state, path)
        self.restore(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Put everything back as `state` has it."""
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.history = History(**state["history"])
        streams = state["random"]
        torch.set_rng_state(streams["torch"])
        if streams["cuda"]:
            torch.cuda.set_rng_state_all(streams["cuda"])
        if self.loader.generator is not None:
            self.loader.generator.set_state(streams["loader"])
        random.setstate(streams["python"])
        name, keys, *rest = streams["numpy"]
        np.random.set_state((name, keys.numpy(), *rest))  # noqa: NPY002


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


def _refuse_nan(losses: list[Tensor]) -> None:
    start = max(0, len(losses) - NAN_CHECK_EVERY)
    for step, value in enumerate(torch.stack(losses[start:]).tolist(), start + 1):
        if not math.isfinite(value):
            raise FloatingPointError(
                f"step {step}: the loss became {value}; lower the learning rate (a "
                "tenth of it is a good first try) and look at the data."
            )
