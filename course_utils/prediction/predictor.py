"""A network with the classes and the transform it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2.functional import pil_to_tensor

from course_utils.data.images import Source, load_image
from course_utils.data.photos import Transform, evaluation_transform
from course_utils.models.modes import device_of, in_mode
from course_utils.pretrained import PRETRAINED, pretrained_path
from course_utils.session import choose_device
from course_utils.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    build_model,
    load_checkpoint,
    load_weights,
)

NEEDED = ("classes", "mean", "std", "image_size")
# A JPEG is decoded at a part of its size only while that leaves this many times the
# pixels a side that the network resizes to. Measured on 3 457 flower photos, far from
# what the network had learnt: 98 % keep their first class, about as many as after the
# JPEG is saved once more at quality 95 (99 %); with a spare of 2, it was 95 %.
SPARE = 4
SLIMMEST = 4  # of a slimmer strip, only the middle is resized


@dataclass(frozen=True)
class Predictor:
    """A network with what it takes to ask it about a photo; see `load_predictor`.

    Attributes:
        model: Maps images (B, 3, S, S) to logits (B, num_classes).
        classes: Their names.
        transform: From uint8 (3, H, W) to float32 (3, S, S), as in validation.
        short_side: The shorter side that the transform resizes to, in pixels.
        name: Where the network comes from, for messages.
    """

    model: nn.Module
    classes: tuple[str, ...]
    transform: Transform
    short_side: int
    name: str = "the network"

    def prepare(self, source: Source, *, allow_private: bool = False) -> Tensor:
        """Return one photo as the network takes it, float32 (3, S, S).

        A JPEG of many times the size needed is decoded at a half, a quarter or an
        eighth: several times faster, and hardly another picture once it is shrunk.

        Raises:
            ImageError: If the source gives no image.
        """
        image = load_image(
            source, allow_private=allow_private, min_side=SPARE * self.short_side
        )
        return self.transform(pil_to_tensor(_middle(image)))

    def probabilities(self, images: Tensor) -> np.ndarray:
        """Return the probability of each class, float64 (B, num_classes).

        The network is in evaluation mode for it, and afterwards in its own again.

        Args:
            images: float32 (B, 3, S, S), from `prepare`; on any device.

        Raises:
            CheckpointError: If the network has another number of classes, or gives
                no numbers.
        """
        with in_mode(self.model, training=False), torch.no_grad():
            logits = self.model(images.to(device_of(self.model))).cpu().double()
        if logits.shape[1:] != (len(self.classes),):
            raise CheckpointError(
                f"{self.name} gives outputs of shape {tuple(logits.shape)} for "
                f"{len(self.classes)} classes; give the names it was trained with."
            )
        if not logits.isfinite().all():
            raise CheckpointError(
                f"{self.name} gives outputs that are no finite numbers: its training "
                "went wrong; train it again, or use another copy."
            )
        return logits.softmax(1).numpy()


Weights = Predictor | Checkpoint | nn.Module | str | Path


def load_predictor(
    weights: Weights,
    data: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
) -> Predictor:
    """Return a network with its classes and its transform, ready to be asked.

    Both come from the checkpoint, which training wrote them into, so training and
    prediction cannot disagree.

    Args:
        weights: The path of a checkpoint; the name of one that ships, such as
            ``"cifar10"``; a checkpoint that is loaded already; a network, together
            with `data`; or a predictor, which is returned as it is.
        data: For a network alone, what a checkpoint would say: ``"classes"``,
            ``"mean"``, ``"std"``, ``"image_size"`` and perhaps ``"resize"``; for
            example ``loaders.val.dataset.info``.
        device: Where to put a network that is loaded; default the fastest there is.
            A network that is given stays where it is.

    Raises:
        CheckpointError: If there is no such checkpoint, or it is damaged, or says
            nothing of its classes and its transform.

    Taught in: lesson 07, "What must travel with the weights".
    """
    if isinstance(weights, Predictor):
        return weights
    if isinstance(weights, nn.Module):
        return _predictor(weights, data, "the network's data")
    if isinstance(weights, Mapping):
        checkpoint, name = weights, "the checkpoint"
    else:
        checkpoint, name = _read(weights)
    if not checkpoint.get("architecture"):
        raise CheckpointError(
            f"{name} does not say which network it belongs to; build that network, "
            "load its entry 'model', and give network and data."
        )
    model = build_model(checkpoint["architecture"])
    predictor = _predictor(model, data or checkpoint.get("data"), name)
    load_weights(model, checkpoint, name)
    model.to(device or choose_device()).eval()
    return predictor


def _read(weights: str | Path) -> tuple[Checkpoint, str]:
    if weights in PRETRAINED:
        return load_checkpoint(pretrained_path(weights)), f"the pretrained {weights!r}"
    path = Path(weights).expanduser()
    if not path.exists():
        raise CheckpointError(
            f"There is no checkpoint {path}; give the path of one that train() wrote, "
            f"or a name: {', '.join(PRETRAINED)}."
        )
    return load_checkpoint(path), str(path)


def _predictor(
    model: nn.Module, data: Mapping[str, Any] | None, name: str
) -> Predictor:
    missing = [key for key in NEEDED if not (data or {}).get(key)]
    if missing:
        raise CheckpointError(
            f"{name} says nothing of {', '.join(missing)}, expected what the images "
            "were trained with: train again with a loader whose data set has `info`, "
            "or give load_predictor(weights, data)."
        )
    size = data["image_size"]
    resize = data.get("resize") or size  # CIFAR images were never resized
    transform = evaluation_transform(size, data["mean"], data["std"], resize)
    return Predictor(model, tuple(data["classes"]), transform, resize, name)


def _middle(image: Image.Image) -> Image.Image:
    """Return the part of an image that a centre crop can see, and somewhat more.

    Resizing the shorter side of a strip of 1 × 5000 pixels to 256 would make 983 MB.
    """
    width, height = image.size
    most = SLIMMEST * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return image.crop((left, top, left + min(width, most), top + min(height, most)))
