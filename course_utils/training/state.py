"""All that changes in a training: what is kept of it, saved, and put back.

`History` is what `train` returns; `RunState` holds the rest, so that a training can be
stopped at any moment and go on to the same end. With `torchrun` it is one state of
several processes: the first saves it.
"""

import copy
import io
import os
import platform
import random
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

Checkpoint = dict[str, Any]
SLOW, LONG = 5, 10  # times the fastest epoch, and seconds: worth a word


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


class Scores(NamedTuple):
    """Mean loss and accuracy (a fraction) over all images of a loader."""

    loss: float
    accuracy: float

    @classmethod
    def from_sums(cls, loss: Tensor, correct: Tensor, count: int) -> "Scores":
        """Return the means over all images, those of other processes included."""
        sums = torch.stack([loss, correct, torch.full_like(correct, count)])
        if world_size() > 1:
            dist.all_reduce(sums)
        loss_sum, correct_sum, total = sums.tolist()
        return cls(loss_sum / total, correct_sum / total)


@dataclass
class History:
    """What happened in each epoch: one number an epoch in every list.

    Attributes:
        train_loss: Mean training loss, measured while the weights changed.
        train_accuracy: Training accuracy, likewise; a fraction.
        val_loss: Validation loss after the epoch.
        val_accuracy: Validation accuracy after the epoch; a fraction.
        lr: Learning rate at the epoch's first step; the highest, where groups of
            parameters have rates of their own.
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

    def slowed_down(self) -> bool:
        """Whether the last epoch is the first that took many times the fastest's."""
        limit = max(LONG, SLOW * min(self.seconds))
        slow = [seconds > limit for seconds in self.seconds]
        return slow[-1] and sum(slow) == 1

    def line(self, num_epochs: int) -> str:
        """Return the last epoch's losses, accuracies, rate and time in 72 columns."""
        return (
            f"Epoch {len(self):{len(str(num_epochs))}}/{num_epochs}  "
            f"train {self.train_loss[-1]:.3f} {self.train_accuracy[-1]:6.1%}  "
            f"val {self.val_loss[-1]:.3f} {self.val_accuracy[-1]:6.1%}  "
            f"lr {self.lr[-1]:.5f}  {self.seconds[-1]:.1f} s"
        )


class RunState:
    """Everything that changes while training, and the folder it is saved in.

    Attributes:
        history: What happened so far.
        best: Weights after the epoch with the highest validation accuracy; before the
            first, those at the start.
        after_last_epoch: Everything, as it was after the last finished epoch; before
            the first, as it was at the start.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        scaler: GradScaler,
        loader: DataLoader,
        folder: Path | str | None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.scheduler, self.scaler, self.loader = scheduler, scaler, loader
        self.folder = Path(folder) if folder is not None else None
        self.last_name = f"{self.folder.name}/last.pt" if self.folder else ""
        self.history = History()
        self.best = copy.deepcopy(model.state_dict())
        self.after_last_epoch = self.state()

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs brought no better validation accuracy."""
        accuracies = self.history.val_accuracy
        if patience is None or not accuracies:
            return False
        best_epoch = accuracies.index(max(accuracies))
        return len(accuracies) - 1 - best_epoch >= patience

    def begin_epoch(self) -> None:
        """Note time and learning rate, and let processes deal the images anew.

        Raises:
            OSError: If no checkpoint can be written: now, not after the epoch.
        """
        if self.folder is not None and rank() == 0:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self.folder).close()
            except OSError as error:
                raise _not_written(self.folder / "last.pt", error) from error
        self._began = time.perf_counter()
        self._lr = max(group["lr"] for group in self.optimizer.param_groups)
        if isinstance(self.loader.sampler, DistributedSampler):
            self.loader.sampler.set_epoch(len(self.history))

    def share_buffers(self) -> None:
        """Give all processes the first one's buffers, as BatchNorm's running means."""
        if world_size() > 1:
            for buffer in self.model.buffers():
                dist.broadcast(buffer, src=0)

    def finish_epoch_and_save(self, train: Scores, val: Scores) -> None:
        """Add an epoch to the history, remember its weights if best, and save."""
        is_best = val.accuracy > max(self.history.val_accuracy, default=-1.0)
        seconds = time.perf_counter() - self._began
        self.history.append(train, val, lr=self._lr, seconds=seconds)
        if is_best:
            self.best = copy.deepcopy(self.model.state_dict())
        state = self.state()
        if self.folder is not None and rank() == 0:
            if len(self.history) == 1:
                self.keep_previous()
            if is_best:
                best = describe(self.model, self.loader.dataset)
                best |= {"epoch": len(self.history), "val_accuracy": val.accuracy}
                save_checkpoint(self.folder / "best.pt", {"model": self.best, **best})
            save_checkpoint(self.folder / "last.pt", state)
        self.after_last_epoch = state

    def keep_previous(self) -> None:
        """Put what an earlier training left in the same folder aside."""
        earlier = [self.folder / f"{name}.pt" for name in ("last", "best")]
        for path in filter(Path.is_file, earlier):
            path.replace(path.with_suffix(".previous.pt"))
            print(f"An earlier training's {path.name} is {path.stem}.previous.pt now.")

    @contextmanager
    def rolled_back_on_failure(self) -> Iterator[None]:
        """Step back to the last finished epoch, whatever ends the training.

        Ctrl-C, or the kernel's stop button, ends it without an error.
        """
        try:
            yield
        except BaseException as error:
            epoch = len(self.history) + 1
            self.restore(self.after_last_epoch)
            if isinstance(error, FloatingPointError):
                raise FloatingPointError(f"Epoch {epoch}, {error}") from None
            if isinstance(error, torch.OutOfMemoryError):
                raise torch.OutOfMemoryError(
                    f"The device has no memory left for batches of "
                    f"{self.loader.batch_size} images; try half of that, or a smaller "
                    "network, and close other programs that use it."
                ) from None
            if "more than 1 value per channel" in str(error):  # torch's, from BatchNorm
                raise ValueError(
                    "BatchNorm cannot learn from a batch of a single image, whose maps "
                    "have one pixel; choose a batch size that leaves no single image "
                    "over, or build the training loader with drop_last=True."
                ) from None
            if not isinstance(error, KeyboardInterrupt):
                raise
            if rank() == 0:
                kept = (
                    f"; resume=True goes on from {self.last_name}"
                    if self.folder
                    else ""
                )
                print(f"Interrupted. Finished epochs: {len(self.history)}{kept}.")

    def state(self) -> Checkpoint:
        """Return a copy of everything, ready to be saved."""
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                **describe(self.model, self.loader.dataset),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler and self.scheduler.state_dict(),
                "scaler": self.scaler.state_dict(),
                "history": asdict(self.history),
                "threads": torch.get_num_threads(),
                "random": _of_all_ranks(_random_streams(self.loader.generator)),
                "fingerprint": self.fingerprint(),
            }
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what a run must have in common with the one it goes on from."""
        generator = self.loader.generator
        rate = "lr" if self.scheduler is None else "initial_lr"
        return {
            **(getattr(self.model, "architecture", None) or {}),
            **(getattr(self.loader.dataset, "info", None) or {}),
            "seed of the order": generator and generator.initial_seed(),
            "optimizer": type(self.optimizer).__name__,
            "first rates": [group.get(rate) for group in self.optimizer.param_groups],
            "schedule": _kind_and_length(self.scheduler),
            "processes": world_size(),
        }

    def resume(self, *, tell: bool) -> None:
        """Go on from the folder's last.pt, if there is one; it must fit this run."""
        if self.folder is None:
            raise ValueError("resume=True needs save_path, the folder to resume from.")
        path = self.folder / "last.pt"
        if not path.is_file():
            return
        state, own = load_checkpoint(path), self.fingerprint()
        differences = [
            f"{name} {value!r:.80} there, {own[name]!r:.80} here"
            for name, value in state.get("fingerprint", {}).items()
            if name in own and value != own[name]
        ]
        if differences:
            raise CheckpointError(
                f"{path} belongs to another run ({'; '.join(differences)}); make both "
                "the same, or use another save_path."
            )
        try:
            self.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CheckpointError(
                f"{path} does not fit this training ({reason}); build network, "
                "optimizer and schedule as they were, or use another save_path."
            ) from error
        torch.set_num_threads(state.get("threads", torch.get_num_threads()))
        self.after_last_epoch = self.state()  # a copy: the optimiser works in place
        if tell:
            print(f"Going on after epoch {len(self.history)} of {self.last_name}.")

    def restore(self, state: Checkpoint) -> None:
        """Put everything back as `state` has it."""
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.history = History(**copy.deepcopy(state["history"]))
        streams = state["random"][rank()]
        torch.set_rng_state(streams["torch"])
        if streams["cuda"]:
            torch.cuda.set_rng_state_all(streams["cuda"])
        if self.loader.generator is not None:
            self.loader.generator.set_state(streams["loader"])
        random.setstate(streams["python"])
        name, keys, *rest = streams["numpy"]
        np.random.set_state((name, keys.numpy(), *rest))  # noqa: NPY002


def _random_streams(generator: torch.Generator | None) -> dict[str, Any]:
    """Return the state of every source of randomness in this process."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "loader": generator and generator.get_state(),
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys), *rest],
    }


def _of_all_ranks(value: Any) -> list[Any]:
    """Return every process's `value`, by rank."""
    if world_size() == 1:
        return [value]
    buffer = io.BytesIO()  # tensors do not survive all_gather_object's own pickling
    torch.save(value, buffer)
    files = [b""] * world_size()
    dist.all_gather_object(files, buffer.getvalue())
    return [torch.load(io.BytesIO(file)) for file in files]


def _kind_and_length(scheduler: LRScheduler | None) -> str:
    """Return for example ``OneCycleLR(300)``: with other epochs, another shape."""
    if scheduler is None:
        return "none"
    length = getattr(scheduler, "total_steps", getattr(scheduler, "T_max", ""))
    parts = map(_kind_and_length, getattr(scheduler, "_schedulers", []))
    return f"{type(scheduler).__name__}({length}{', '.join(parts)})"


# --- checkpoints: files, whole or not there at all ----------------------------------


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or does not fit."""


def describe(model: nn.Module, data: object) -> Checkpoint:
    """Return what a checkpoint says of its network, its data and its making.

    Args:
        model: The network; its ``architecture`` says how to build it again.
        data: The data set; its ``info`` names source, classes, normalisation and
            image size, where it has one.
    """
    return {
        "architecture": getattr(model, "architecture", None),
        "data": getattr(data, "info", None),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": metadata.version("torchvision"),
        },
    }


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` whole; the old file stays if that fails.

    Args:
        path: The file to write, for example ``runs/03_cifar10_training/best.pt``.
        checkpoint: Tensors, numbers, strings, and lists and dicts of them.

    Raises:
        OSError: If the file cannot be written.

    Taught in: lesson 03, "Save, resume, test once".
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            torch.save(checkpoint, file)
            os.fsync(file.fileno())  # on the disk before it takes the old one's place
        beside.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as Runtime
        with suppress(OSError):
            beside.unlink()
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> OSError:
    """Return the error that says why a checkpoint could not be written."""
    disk = error if isinstance(error, OSError) else error.__context__
    reason = getattr(disk, "strerror", None) or str(error).splitlines()[0]
    return OSError(
        f"The checkpoint {path} could not be written ({reason}); what was there "
        "before is unchanged: free some space, or set COURSE_RUNS to a folder that "
        "has it."
    )


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Return what `save_checkpoint` wrote to `path`, on the CPU.

    Nothing in the file is executed (``weights_only=True``).

    Raises:
        CheckpointError: If there is no such file, or it is damaged, or it is no
            checkpoint of this course.

    Taught in: lesson 03, "Save, resume, test once".
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; train the model first.")
    try:
        with zipfile.ZipFile(path) as file:  # PyTorch compares no checksums
            if changed := file.testzip():
                raise zipfile.BadZipFile(changed)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, from pickle, zipfile and torch
        raise CheckpointError(
            f"{path} is damaged or is not a checkpoint of weights alone; use another "
            "copy, or train again."
        ) from error
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise CheckpointError(
            f"{path} holds no entry 'model'; expected a checkpoint written by train(). "
            "A bare state dict goes into model.load_state_dict(torch.load(...))."
        )
    return checkpoint
