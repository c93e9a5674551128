"""All that changes during a training, saved and restored together."""

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from course_utils.training.checkpoint import (
    CheckpointError,
    describe,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    versions,
)
from course_utils.training.distributed import gather, rank, world_size
from course_utils.training.history import History, Scores
from course_utils.training.validation import explained

Say = Callable[[str], None]


class RunState:
    """Everything that changes while training, and the folder it is saved in.

    Attributes:
        history: What happened so far.
        best: Weights after the epoch with the highest validation accuracy.
        good: Everything, as it was after the last finished epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        scaler: GradScaler,
        loader: DataLoader,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.scheduler, self.scaler, self.loader = scheduler, scaler, loader
        self.folder: Path | None = None
        self.history = History()
        self.best = copy.deepcopy(model.state_dict())
        self.after_last_epoch = self.state()

    def open(self, folder: Path | str | None, *, resume: bool, say: Say) -> None:
        """Save into `folder` from now on; first go on from its last.pt, if asked to."""
        self.folder = Path(folder) if folder is not None else None
        if resume and self.folder and (self.folder / "last.pt").is_file():
            self.load(self.folder / "last.pt")
            say(f"Going on after epoch {len(self.history)} of {self._shown}.")

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs brought no better validation accuracy."""
        accuracies = self.history.val_accuracy
        if patience is None or not accuracies:
            return False
        best_epoch = accuracies.index(max(accuracies))
        return len(accuracies) - 1 - best_epoch >= patience

    def finish_epoch(
        self, train: Scores, val: Scores, *, lr: float, seconds: float
    ) -> None:
        """Add an epoch to the history, remember its weights if best, and save."""
        earlier = max(self.history.val_accuracy, default=-1.0)
        self.history.append(train, val, lr=lr, seconds=seconds)
        is_best = val.accuracy > earlier
        if is_best:
            self.best = copy.deepcopy(self.model.state_dict())
        self.after_last_epoch = self.state()
        if self.folder is not None and rank() == 0:
            if is_best:
                save_checkpoint(self.folder / "best.pt", self._best_checkpoint())
            save_checkpoint(self.folder / "last.pt", self.after_last_epoch)

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Step back to the last finished epoch if something ends the training."""
        try:
            yield
        except KeyboardInterrupt:
            self.restore(self.after_last_epoch)
            kept = f"; resume=True goes on from {self._shown}" if self.folder else ""
            if rank() == 0:
                print(f"Interrupted. Finished epochs: {len(self.history)}{kept}.")
        except FloatingPointError as error:
            epoch = len(self.history) + 1
            self.restore(self.after_last_epoch)
            raise FloatingPointError(f"Epoch {epoch}, {error}") from None
        except RuntimeError as error:
            self.restore(self.after_last_epoch)
            told = explained(error, self.loader.batch_size)
            if told is error:
                raise
            raise told from None

    def state(self) -> dict[str, Any]:
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
                "random": gather(_random_streams(self.loader.generator)),
            }
        )

    def load(self, path: Path) -> None:
        """Go on from the file `path`, which must fit this run."""
        state = load_checkpoint(path)
        if "optimizer" not in state:
            raise CheckpointError(
                f"{path} holds weights alone; resume needs the last.pt of a run."
            )
        self._refuse_other_data(state, path)
        self._refuse_other_schedule(state, path)
        load_weights(self.model, state, path)
        own, earlier = versions()["torch"], state["versions"]["torch"]
        if own != earlier:
            warnings.warn(
                f"{path} was written by torch {earlier}, this is {own}: the run goes "
                "on, but not to the last bit as it would have.",
                stacklevel=4,
            )
        self.restore(state)
        self.after_last_epoch = self.state()

    def restore(self, state: dict[str, Any]) -> None:
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

    @property
    def _shown(self) -> str:
        return f"{self.folder.name}/last.pt"

    def _best_checkpoint(self) -> dict[str, Any]:
        accuracies = self.history.val_accuracy
        return {
            "model": self.best,
            **describe(self.model, self.loader.dataset),
            "epoch": len(accuracies),
            "val_accuracy": accuracies[-1],
        }

    def _refuse_other_data(self, state: dict[str, Any], path: Path) -> None:
        own = getattr(self.loader.dataset, "info", None)
        if state["data"] and own and state["data"] != own:
            differing = [k for k in own if state["data"].get(k) != own[k]]
            raise CheckpointError(
                f"{path} was trained on other data ({', '.join(differing)} differ); "
                "use the same data, or another save_path."
            )
        if len(state["random"]) != world_size():
            raise CheckpointError(
                f"{path} was trained by {len(state['random'])} processes, this is a "
                f"run of {world_size()}; start as many, or use another save_path."
            )
        generator = self.loader.generator
        own, earlier = generator and generator.initial_seed(), _seed_of(state)
        if own != earlier:
            raise CheckpointError(
                f"{path} was trained with the data in the order of seed {earlier}, "
                f"this run's is {own}; use the same seed, or another save_path."
            )

    def _refuse_other_schedule(self, state: dict[str, Any], path: Path) -> None:
        planned = (self.scheduler and self.scheduler.state_dict()) or {}
        earlier = state["scheduler"] or {}
        if planned.keys() != earlier.keys():
            raise CheckpointError(
                f"{path} was trained with another kind of schedule; use the same one, "
                "or start afresh."
            )
        for key, length in _lengths(planned).items():
            if _lengths(earlier).get(key) != length:
                raise CheckpointError(
                    f"The schedule in {path} was planned for "
                    f"{key}={_lengths(earlier).get(key)}, this one for {length}; its "
                    "shape depends on its length: ask for the same epochs, or start "
                    "afresh."
                )


def _random_streams(generator: torch.Generator | None) -> dict[str, Any]:
    """Return the state of every source of randomness in this process."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "loader": generator and generator.get_state(),
        "loader_seed": generator and generator.initial_seed(),
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys), *rest],
    }


def _seed_of(state: dict[str, Any]) -> int | None:
    return state["random"][rank()]["loader_seed"]


def _lengths(schedule: dict[str, Any]) -> dict[str, Any]:
    """Return those entries of a schedule, and of its parts, that say how long it is."""
    found = {k: schedule[k] for k in ("total_steps", "T_max") if k in schedule}
    for number, part in enumerate(schedule.get("_schedulers", [])):
        inner = _lengths(part).items()
        found |= {f"part {number + 1}'s {key}": value for key, value in inner}
    return found
