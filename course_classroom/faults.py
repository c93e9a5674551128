"""Short trainings for lesson 08: a healthy one, and eight with a planted fault each.

Spoiler: this file answers the lesson. The healthy functions are those that section 1
prints. A patient is one more function: the same training with one thing done wrongly,
the way it happens in practice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from course_utils.data.arrays import ImageSplits, LabelledImages
from course_utils.models import cifar_resnet
from course_utils.models.modes import device_of
from course_utils.models.resnet import BasicBlock

BATCH_SIZE = 50
LR = 0.1
COLUMNS = ("rate", "loss", "accuracy", "gradient", "step", "val_loss", "val_accuracy")
Predict = Callable[["Run", LabelledImages], Tensor]
Start = Callable[..., "Run"]  # `start_run`, but for the rate


@dataclass
class Run:
    """A training: what it consists of, and what it wrote down.

    Attributes:
        splits: Images to fit, to judge each epoch on, and to report on.
        model: The network, as it is now.
        train_loader: The batches that are fitted.
        optimizer: Takes the steps.
        scheduler: Sets the rate, batch by batch.
        num_epochs: Times that each training image is shown.
        history: For each name in `COLUMNS` one number a batch; one number an epoch
            where the name begins with ``val_``.
        predict: The run's own way to judge, as `train` was given it.
        seed: Of the first weights and of the order of the batches.

    Taught in: lesson 08, "A healthy training".
    """

    splits: ImageSplits
    model: nn.Module
    train_loader: DataLoader
    optimizer: Optimizer
    scheduler: LRScheduler
    num_epochs: int
    history: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in COLUMNS}
    )
    predict: Predict | None = None
    seed: int = 0


def make_loader(
    pair: LabelledImages,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int | None = None,
) -> DataLoader:
    """Return batches of normalised images; in random order if there is a seed."""
    images = torch.from_numpy(pair.images).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    data = TensorDataset((images - mean) / std, torch.from_numpy(pair.labels))
    order = torch.Generator().manual_seed(seed or 0)
    return DataLoader(data, BATCH_SIZE, shuffle=seed is not None, generator=order)


def start_run(
    splits: ImageSplits,
    device: torch.device,
    num_epochs: int,
    seed: int = 0,
    lr: float = LR,
) -> Run:
    """Return a training before its first step."""
    torch.manual_seed(seed)
    model = cifar_resnet(8, len(splits.classes)).to(device)
    loader = make_loader(splits.train, splits.mean, splits.std, seed)
    optimizer = SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4)
    num_steps = num_epochs * len(loader)
    scheduler = OneCycleLR(optimizer, lr, total_steps=num_steps, cycle_momentum=False)
    return Run(splits, model, loader, optimizer, scheduler, num_epochs, seed=seed)


def train_one_epoch(run: Run) -> None:
    """Fit every batch once."""
    run.model.train()
    for images, labels in run.train_loader:
        images, labels = to_device(run, images, labels)
        before = weights_of(run.model)
        logits = run.model(images)
        loss = F.cross_entropy(logits, labels)
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        note(run, before, loss, logits, labels)
        run.scheduler.step()


@torch.no_grad()
def predict(run: Run, pair: LabelledImages) -> Tensor:
    """Return the logits (N, num_classes) of images, in their order."""
    run.model.eval()
    loader = make_loader(pair, run.splits.mean, run.splits.std)
    return torch.cat([run.model(*to_device(run, images)).cpu() for images, _ in loader])


def train(
    run: Run,
    train_one_epoch: Callable[[Run], None] = train_one_epoch,
    predict: Predict = predict,
) -> Run:
    """Return the run after all its epochs, each judged on the validation images."""
    run.predict = predict
    val_labels = torch.from_numpy(run.splits.val.labels)
    for _ in range(run.num_epochs):
        train_one_epoch(run)
        logits = run.predict(run, run.splits.val)
        hits = (logits.argmax(1) == val_labels).double()
        loss = F.cross_entropy(logits, val_labels)
        run.history["val_loss"].append(loss.item())
        run.history["val_accuracy"].append(hits.mean().item())
    return run


def to_device(run: Run, *tensors: Tensor) -> list[Tensor]:
    """Return tensors where the network is."""
    return [tensor.to(device_of(run.model)) for tensor in tensors]


def weights_of(model: nn.Module) -> Tensor:
    """Return a copy of all weights in one long vector."""
    return parameters_to_vector(model.parameters()).detach()


def note(
    run: Run, before: Tensor, loss: Tensor, logits: Tensor, labels: Tensor
) -> None:
    """Write down what one step was like, before the scheduler moves the rate."""
    gradient = parameters_to_vector(p.grad for p in run.model.parameters())
    step = weights_of(run.model) - before
    found = {
        "rate": run.optimizer.param_groups[0]["lr"],
        "loss": loss.item(),
        "accuracy": (logits.argmax(1) == labels).float().mean().item(),
        "gradient": gradient.norm().item(),
        "step": (step.norm() / before.norm()).item(),
    }
    for name, value in found.items():
        run.history[name].append(value)


def softmax_before_the_loss(start: Start) -> Run:
    """Train a network that ends with probabilities, where the loss wants logits."""
    run = start()
    run.model = nn.Sequential(run.model, nn.Softmax(dim=1))
    return train(run)


def eval_missing(start: Start) -> Run:
    """Judge in the mode that the training left behind."""

    @torch.no_grad()
    def predict(run: Run, pair: LabelledImages) -> Tensor:
        loader = make_loader(pair, run.splits.mean, run.splits.std)
        return torch.cat(
            [run.model(*to_device(run, images)).cpu() for images, _ in loader]
        )

    return train(start(), predict=predict)


def wrong_statistics(start: Start) -> Run:
    """Normalise for training, and judge on pixels from 0 to 1."""

    @torch.no_grad()
    def predict(run: Run, pair: LabelledImages) -> Tensor:
        run.model.eval()
        loader = make_loader(pair, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        return torch.cat(
            [run.model(*to_device(run, images)).cpu() for images, _ in loader]
        )

    return train(start(), predict=predict)


def labels_shuffled(start: Start) -> Run:
    """Shuffle the labels, and leave the images where they were."""
    run = start()
    images, labels = run.splits.train
    pair = LabelledImages(images, np.random.default_rng(run.seed).permutation(labels))
    run.train_loader = make_loader(pair, run.splits.mean, run.splits.std, run.seed)
    return train(run)


def rate_too_high(start: Start) -> Run:
    """Put the decimal point one place too far to the right."""
    return train(start(lr=10 * LR))


def scheduler_never_stepped(start: Start) -> Run:
    """Make a scheduler, and never step it."""

    def train_one_epoch(run: Run) -> None:
        run.model.train()
        for images, labels in run.train_loader:
            images, labels = to_device(run, images, labels)
            before = weights_of(run.model)
            logits = run.model(images)
            loss = F.cross_entropy(logits, labels)
            run.optimizer.zero_grad()
            loss.backward()
            run.optimizer.step()
            note(run, before, loss, logits, labels)

    return train(start(), train_one_epoch)


def gradients_never_zeroed(start: Start) -> Run:
    """Add each batch's gradient to those of all batches before."""

    def train_one_epoch(run: Run) -> None:
        run.model.train()
        for images, labels in run.train_loader:
            images, labels = to_device(run, images, labels)
            before = weights_of(run.model)
            logits = run.model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            run.optimizer.step()
            note(run, before, loss, logits, labels)
            run.scheduler.step()

    return train(start(), train_one_epoch)


def early_relu(start: Start) -> Run:
    """Put a ReLU between a block's second norm and its addition."""
    run = start()
    for block in run.model.modules():
        if isinstance(block, BasicBlock):
            block.bn2 = nn.Sequential(block.bn2, nn.ReLU())
    return train(run)


def leaked_test(start: Start) -> Run:
    """Fit the images that the run reports on, among others."""
    run = start()
    fitted, tested = run.splits.train, run.splits.test
    order = np.random.default_rng(run.seed).permutation(len(fitted.labels))
    keep = order[len(tested.labels) :]  # of all classes; as many images as before
    images = np.concatenate([fitted.images[keep], tested.images])
    labels = np.concatenate([fitted.labels[keep], tested.labels])
    pair = LabelledImages(images, labels)
    run.train_loader = make_loader(pair, run.splits.mean, run.splits.std, run.seed)
    return train(run)


CULPRITS: dict[str, Callable[..., Run]] = {
    "eval() missing": eval_missing,
    "gradients never zeroed": gradients_never_zeroed,
    "labels shuffled": labels_shuffled,
    "rate too high": rate_too_high,
    "ReLU before the addition": early_relu,
    "scheduler never stepped": scheduler_never_stepped,
    "test images leaked": leaked_test,
    "wrong statistics": wrong_statistics,
}
FAULTS = tuple(CULPRITS)
SEED = 2  # of the order in which the faults get their letters


def answers() -> dict[str, str]:
    """Return the fault of each run, by its letter."""
    names = np.random.default_rng(SEED).permutation(FAULTS).tolist()
    return dict(zip("ABCDEFGH", names, strict=True))


def patient(
    letter: str,
    splits: ImageSplits,
    device: torch.device,
    num_epochs: int,
    seed: int = 0,
) -> Run:
    """Return the finished run behind a letter from A to H."""
    return CULPRITS[answers()[letter]](
        partial(start_run, splits, device, num_epochs, seed)
    )


def practice(
    splits: ImageSplits, device: torch.device, num_epochs: int, seed: int = 0
) -> Run:
    """Return the finished run that section 4 examines, as a ninth patient."""
    return softmax_before_the_loss(partial(start_run, splits, device, num_epochs, seed))
