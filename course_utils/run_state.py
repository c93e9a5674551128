"""All that changes during a training, saved and restored together."""

import copy
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from course_utils.checkpoint import (
    CheckpointError,
    architecture_of,
    load_checkpoint,
    load_weights,
)
from course_utils.history import History, Scores


class RunState:
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

    def finish_epoch(
        self, train: Scores, val: Scores, *, lr: float, seconds: float
    ) -> None:
        """Add an epoch to the history; remember the weights if they are the best."""
        self.history.append(train, val, lr=lr, seconds=seconds)
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
        planned = (self.scheduler and self.scheduler.state_dict()) or {}
        earlier = state["scheduler"] or {}
        if planned.keys() != earlier.keys():
            raise CheckpointError(
                f"{path} was trained with another kind of schedule; use the same one, "
                "or start afresh."
            )
        for key in ("total_steps", "T_max"):
            if planned.get(key) != earlier.get(key):
                raise CheckpointError(
                    f"The schedule in {path} was planned for {key}={earlier[key]}, "
                    f"this one for {planned[key]}; its shape depends on its length: "
                    "ask for the same epochs, or start afresh."
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
