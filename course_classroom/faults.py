"""Short trainings for lesson 08: healthy ones, and eight with a planted fault each.

Spoiler: this file answers the lesson. A training is a class whose steps are methods. A
fault is a subclass with one step done wrongly, the way it happens in practice.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader

from course_utils.data.arrays import (
    ArrayDataset,
    ImageSplits,
    LabelledImages,
    already_collated,
)
from course_utils.metrics import accuracy
from course_utils.models import cifar_resnet
from course_utils.models.modes import device_of, in_mode
from course_utils.models.resnet import BasicBlock
from course_utils.pretrained import load_pretrained
from course_utils.training import train_one_epoch
from course_utils.training.state import History, Scores

BATCH_SIZE = 50


class Training:
    """A short training of an 8-layer network, each step a method of its own.

    Args:
        splits: Images to fit, to judge each epoch on, and to report on.
        device: Where the network lives.
        num_epochs: Times that each training image is shown.
        seed: Of the first weights and of the training order.

    Attributes:
        model: The network, as it is now.
        history: What happened so far.

    Taught in: lesson 08, "The laboratory".
    """

    highest_rate = 0.2

    def __init__(
        self, splits: ImageSplits, device: torch.device, num_epochs: int, seed: int = 0
    ) -> None:
        self.splits, self.num_epochs, self.seed = splits, num_epochs, seed
        torch.manual_seed(seed)
        self.model = self.build().to(device)
        self.history = History()

    def build(self) -> nn.Module:
        """Return the network with its first weights."""
        return cifar_resnet(8, len(self.splits.classes))

    def training_pair(self) -> LabelledImages:
        """Return the images to fit, with their labels."""
        return self.splits.train

    def training_loader(self) -> DataLoader:
        """Return the batches to fit, in random order."""
        data = ArrayDataset(*self.training_pair(), self.splits.mean, self.splits.std)
        order = torch.Generator().manual_seed(self.seed)
        return DataLoader(
            data, BATCH_SIZE, shuffle=True, generator=order, collate_fn=already_collated
        )

    def evaluation_loader(
        self, pair: LabelledImages, batch_size: int = BATCH_SIZE
    ) -> DataLoader:
        """Return the batches of images to judge on, in their own order."""
        data = ArrayDataset(*pair, self.splits.mean, self.splits.std)
        return DataLoader(data, batch_size, collate_fn=already_collated)

    def fit(
        self, loader: DataLoader, optimizer: Optimizer, scheduler: LRScheduler
    ) -> Scores:
        """Train for one epoch."""
        return train_one_epoch(self.model, loader, optimizer, scheduler=scheduler)

    def predict(self, pair: LabelledImages, batch_size: int = BATCH_SIZE) -> Tensor:
        """Return the logits (N, num_classes) of images."""
        with in_mode(self.model, training=False):
            return self.logits_of(self.evaluation_loader(pair, batch_size))

    @torch.no_grad()
    def logits_of(self, loader: DataLoader) -> Tensor:
        """Return the logits of a loader's images, in the mode the network is in."""
        device = device_of(self.model)
        return torch.cat([self.model(images.to(device)).cpu() for images, _ in loader])

    def judge(self, pair: LabelledImages) -> Scores:
        """Return loss and accuracy of what `predict` says of images."""
        logits, labels = self.predict(pair), torch.from_numpy(pair.labels)
        loss = nn.functional.cross_entropy(logits, labels).item()
        return Scores(loss, accuracy(logits, labels))

    def run(self) -> "Training":
        """Return the training itself, after all its epochs."""
        loader = self.training_loader()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = SGD(trained, self.highest_rate, momentum=0.9, weight_decay=5e-4)
        steps = self.num_epochs * len(loader)
        scheduler = OneCycleLR(optimizer, self.highest_rate, total_steps=steps)
        for _ in range(self.num_epochs):
            lr = optimizer.param_groups[0]["lr"]
            fitted = self.fit(loader, optimizer, scheduler)
            judged = self.judge(self.splits.val)
            self.history.append(fitted, judged, lr=lr, seconds=0.0)
        return self


class Frozen(nn.Module):
    """A body that no training moves: no gradient, and always in eval mode."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in eval mode, whatever a training loop asks for."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the body's features (B, channels)."""
        return self.body(images)


class HeadTraining(Training):
    """Trains a new head on the frozen body of a network that ships with the course."""

    def body(self) -> nn.Module:
        """Return the trained network without its head."""
        body = load_pretrained("cifar10" if self.splits.is_photos else "sketches")
        body.fc = nn.Identity()
        return body

    def build(self) -> nn.Module:
        """Return the frozen body and a new head."""
        return nn.Sequential(
            Frozen(self.body()), nn.Linear(64, len(self.splits.classes))
        )


class EvalMissing(Training):
    """Judges in the mode that the training left behind."""

    def predict(self, pair: LabelledImages, batch_size: int = BATCH_SIZE) -> Tensor:
        """Return the logits (N, num_classes) of images."""
        return self.logits_of(self.evaluation_loader(pair, batch_size))


class WrongStatistics(HeadTraining):
    """Normalises for training, and hands out pixels from 0 to 1 for evaluation."""

    def evaluation_loader(
        self, pair: LabelledImages, batch_size: int = BATCH_SIZE
    ) -> DataLoader:
        """Return the batches of images to judge on, in their own order."""
        data = ArrayDataset(*pair, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        return DataLoader(data, batch_size, collate_fn=already_collated)


class LabelsShuffled(Training):
    """Shuffles the labels, and leaves the images where they were."""

    def training_pair(self) -> LabelledImages:
        """Return the images to fit, with their labels."""
        images, labels = self.splits.train
        return LabelledImages(
            images, np.random.default_rng(self.seed).permutation(labels)
        )


class RateTooHigh(Training):
    """Has its decimal point one place too far to the right."""

    highest_rate = 2.0


class SchedulerNotStepped(Training):
    """Makes a scheduler, and never hands it to the loop that would step it."""

    def fit(
        self, loader: DataLoader, optimizer: Optimizer, scheduler: LRScheduler
    ) -> Scores:
        """Train for one epoch."""
        return train_one_epoch(self.model, loader, optimizer)


class FrozenNormsMove(HeadTraining):
    """Takes the gradient from the body, and leaves its BatchNorm in training mode."""

    def build(self) -> nn.Module:
        """Return the frozen body and a new head."""
        body = self.body().requires_grad_(False)
        return nn.Sequential(body, nn.Linear(64, len(self.splits.classes)))


class EarlyRelu(Training):
    """Puts a ReLU between a block's second norm and its addition."""

    def build(self) -> nn.Module:
        """Return the network with its first weights."""
        model = super().build()
        for block in model.modules():
            if isinstance(block, BasicBlock):
                block.bn2 = nn.Sequential(block.bn2, nn.ReLU())
        return model


class LeakedTest(Training):
    """Fits the images that it reports on, among others."""

    def training_pair(self) -> LabelledImages:
        """Return the images to fit, with their labels."""
        keep = len(self.splits.train.labels) - len(self.splits.test.labels)
        images, labels = self.splits.train
        leaked, their_labels = self.splits.test
        return LabelledImages(
            np.concatenate([images[:keep], leaked]),
            np.concatenate([labels[:keep], their_labels]),
        )


CULPRITS: dict[str, type[Training]] = {
    "eval() missing": EvalMissing,
    "wrong statistics": WrongStatistics,
    "labels shuffled": LabelsShuffled,
    "rate too high": RateTooHigh,
    "scheduler never stepped": SchedulerNotStepped,
    "frozen norms move": FrozenNormsMove,
    "ReLU before the addition": EarlyRelu,
    "test images leaked": LeakedTest,
}
FAULTS = tuple(sorted(CULPRITS, key=str.lower))
SEED = 2  # of the order in which the faults get their letters


def answers() -> dict[str, str]:
    """Return the fault of each run, by its letter."""
    names = np.random.default_rng(SEED).permutation(FAULTS).tolist()
    return dict(zip("ABCDEFGH", names, strict=True))


def is_head(letter: str) -> bool:
    """Return whether a run trains a new head on a frozen body."""
    return issubclass(CULPRITS[answers()[letter]], HeadTraining)


def behind(letter: str) -> Callable[..., Training]:
    """Return what makes the training behind a letter; called as `Training` is."""
    return partial(CULPRITS[answers()[letter]])
