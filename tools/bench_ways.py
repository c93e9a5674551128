"""What the benchmark times: several ways to do the same work, as functions.

A way does its work once and returns how many images a second that made.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from contenders.pillow_images import PillowImages, usual_transform
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from course_utils.data.arrays import ArrayDataset, LabelledImages, already_collated
from course_utils.metrics import collect_logits
from course_utils.models import cifar_resnet
from course_utils.models.modes import Amp
from course_utils.pretrained import load_pretrained
from course_utils.training import amp_dtype, train

Way = Callable[[], float]
MEAN, STD = (0.4911, 0.4821, 0.4466), (0.2451, 0.2426, 0.2603)
BATCH_SIZE = 128
VAL_SIZE = 8  # images; `train` validates, the plain loop does not
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 8192 if DEVICE.type == "cuda" else 1024  # of matrices that keep it busy


def random_data(number: int) -> LabelledImages:
    """Return `number` images of noise, uint8 (N, 32, 32, 3), and labels 0 to 9."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images, rng.integers(0, 10, number))


def array_loader(
    number: int, batch_size: int = BATCH_SIZE, device: torch.device = DEVICE
) -> DataLoader:
    """Return the course's loader of `number` images, augmented by whole batches."""
    data = ArrayDataset(*random_data(number), MEAN, STD, augment=True, device=device)
    return DataLoader(data, batch_size, shuffle=True, collate_fn=already_collated)


def per_image_loader(number: int, num_workers: int = 0) -> DataLoader:
    """Return the usual loader; workers, if any, stay alive between epochs."""
    return DataLoader(
        PillowImages(random_data(number), usual_transform(MEAN, STD)),
        BATCH_SIZE,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def optimizer_of(model: nn.Module) -> SGD:
    """Return what every way changes the weights of `model` with."""
    return SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)


def timed(number: float, work: Callable[[], object]) -> float:
    """Return images a second of `work`, which deals with `number` of them."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return number / (time.perf_counter() - began)


def loading(loader: DataLoader) -> Way:
    """Return a way that only makes every batch of `loader`."""
    return lambda: timed(len(loader.dataset), lambda: list(map(len, loader)))


def training(loader: DataLoader, amp: Amp = "auto") -> Way:
    """Return a way that calls `train` for one epoch of `loader`.

    All that the call does counts, also the validation on a few images.
    """
    model = cifar_resnet(20).to(DEVICE)
    optimizer = optimizer_of(model)
    val_loader = array_loader(VAL_SIZE)

    def epoch() -> None:
        train(
            model,
            loader,
            val_loader,
            num_epochs=1,
            optimizer=optimizer,
            amp=amp,
            progress=False,
        )

    return lambda: timed(len(loader.dataset), epoch)


def plain_training(loader: DataLoader) -> Way:
    """Return a way that trains for one epoch with the loop of the textbooks."""
    model = cifar_resnet(20).to(DEVICE)
    optimizer = optimizer_of(model)

    def epoch() -> None:
        model.train()
        for images, labels in loader:
            images, labels = images.to(DEVICE), labels.to(DEVICE)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()

    return lambda: timed(len(loader.dataset), epoch)


def steps_alone(
    number: int, batch_size: int = BATCH_SIZE, model: nn.Module | None = None
) -> Way:
    """Return a way that repeats the steps of `train` on one batch, nothing else.

    Args:
        number: Images to count; the steps are ``number // batch_size``.
        batch_size: Images a step.
        model: What is trained; default ResNet-20.
    """
    model = (model or cifar_resnet(20)).to(DEVICE, memory_format=torch.channels_last)
    optimizer = optimizer_of(model)
    dtype = amp_dtype(DEVICE, "auto")
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=dtype is torch.float16)
    images = torch.randn(batch_size, 3, 32, 32, device=DEVICE)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch_size,), device=DEVICE)

    def steps() -> None:
        model.train()
        for _ in range(number // batch_size):
            with torch.autocast(DEVICE.type, dtype, enabled=dtype is not None):
                logits = model(images)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    return lambda: timed(number, steps)


def operations(model: nn.Module) -> float:
    """Return the operations of a training step an image; a multiply-add is two."""
    images = torch.randn(2, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / len(images)


def products(number: int, operations: float) -> Way:
    """Return a way that multiplies matrices, with the operations of so many images.

    Args:
        number: Images; rounded to whole products.
        operations: Of one image.
    """
    dtype = amp_dtype(DEVICE, "auto") or torch.float32
    left, right = (torch.randn(SIDE, SIDE, device=DEVICE, dtype=dtype) for _ in "ab")
    count = max(1, round(number * operations / (2 * SIDE**3)))

    def multiply() -> None:
        for _ in range(count):
            left @ right

    return lambda: timed(count * 2 * SIDE**3 / operations, multiply)


def judging(number: int, *, bare: bool) -> Way:
    """Return a way that takes logits of the same images, with or without the course.

    Args:
        number: Images to judge.
        bare: Only call the shipped network on each batch; else `collect_logits`.
    """
    model = load_pretrained("cifar10").to(DEVICE)
    data = ArrayDataset(*random_data(number), MEAN, STD)
    loader = DataLoader(data, 500, collate_fn=already_collated)

    @torch.no_grad()
    def forward() -> None:
        for images, _ in loader:
            model(images.to(DEVICE))

    work = forward if bare else lambda: collect_logits(model, loader)
    return lambda: timed(number, work)
