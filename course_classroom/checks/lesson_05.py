"""Checks of the exercises of lessons 05 and 05b."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import (
    close,
    described,
    number,
    refuse_slips,
    tensor,
)
from course_utils.explain import feature_maps, grad_cam
from course_utils.models import cifar_resnet


@exercise(
    hint="keep two numbers: the side so far, and how many pixels two neighbouring "
    "positions are apart; how does a layer change each?"
)
def field_side(answer: Callable[[Sequence[tuple[int, int]]], int]) -> str:
    """Return a sentence if `answer` is the side of a receptive field."""
    cases = (
        ([(5, 1)], 5),
        ([(3, 1), (3, 1), (3, 1)], 7),
        ([(3, 1), (3, 2), (3, 1), (3, 2), (3, 1)], 21),
        ([(7, 2), (3, 2), (3, 1), (3, 1)], 27),
        ([], 1),
    )
    for layers, right in cases:
        found = number(answer(list(layers)))
        if found == right:
            continue
        if not layers:
            hint = "a pixel sees itself."
        elif all(stride == 1 for _, stride in layers):
            hint = "neighbours overlap; how many new pixels does one more layer bring?"
        else:
            hint = (
                "which layers does a stride move apart, its own or those after it? And "
                "by how much, where there are two?"
            )
        raise Wrong(f"For the layers {layers} it gives {found}. Hint: {hint}")
    return "Strides of earlier layers count for every later one."


@exercise(
    hint="labels[nearest] holds the neighbours' labels, (N, k); which share of each "
    "row is the label of the row's own point?"
)
def same_class_share(answer: Callable[[Tensor, Tensor, int], float]) -> str:
    """Return a sentence if `answer` is the share of neighbours of the same class."""
    far = torch.randn(12, 3) / 100
    far[:6] -= 10
    far[6:] += 10
    labels = torch.arange(12) // 6
    found = _number_of(answer, far, labels, 2)
    if abs(found) < 1e-6 or abs(found - 0.5) < 1e-6:  # at 0.5, itself among them
        raise Wrong(
            f"For two far clouds of one label each it gives {found:.3g}. Hint: nearest "
            "are the smallest distances."
        )
    if abs(found - 1) > 1e-6:
        raise Wrong(
            f"For two far clouds of one label each it gives {found:.3g}. Hint: "
            "a share, the mean over the points and their k neighbours."
        )
    features = torch.randn(40, 4)
    features *= torch.linspace(0.2, 3, 40)[:, None]  # lengths differ
    labels = torch.randint(3, (40,))
    distances = torch.cdist(features, features)
    order = distances.argsort(1)
    unit = features / features.norm(dim=1, keepdim=True)
    angles = torch.cdist(unit, unit).argsort(1)
    for k in (3, 8):
        found = _number_of(answer, features, labels, k)
        if close(found, _share(labels, order[:, 1 : k + 1])):
            continue
        if k != 3:
            raise Wrong(
                f"Right for k = 3, but for k = {k} it gives {found:.3f}. Hint: is `k` "
                "used?"
            )
        slips = {
            "Here each point is its own nearest neighbour. Hint: its distance to "
            "itself is 0, and always the smallest.": _share(labels, order[:, :k]),
            f"These are {k - 1} neighbours, not {k}. Hint: the point itself took one "
            "of the places.": _share(labels, order[:, 1:k]),
            "These neighbours are nearest by angle. Hint: Euclidean distance does not "
            "divide by the lengths.": _share(labels, angles[:, 1 : k + 1]),
        }
        refuse_slips(found, slips)
        raise Wrong(
            f"For 40 points of three labels and k = {k} it gives {found:.3f}, which is "
            "not the share. Hint: compare the labels of the k nearest with the point's "
            "own."
        )
    return "Nobody keeps himself company."


def _number_of(answer: Callable, features: Tensor, labels: Tensor, k: int) -> float:
    """Return the answer as a number; say what stands behind two usual exceptions."""
    try:
        found = answer(features, labels, k)
    except RuntimeError as error:
        if "must match the size" in str(error):
            raise Wrong(
                "The shapes do not fit. Hint: labels[nearest] is (N, k); labels[:, "
                "None] is (N, 1) and is compared with each of its columns."
            ) from error
        if "could not infer output dtype" in str(error):
            raise Wrong(
                "A mean of True and False is asked for. Hint: .float() makes 1 and 0 "
                "of them."
            ) from error
        raise
    if isinstance(found, Tensor):
        raise Wrong(
            f"It gives {described(found)}; a float was expected. Hint: .item() makes "
            "a number of a tensor that holds one."
        )
    return number(found)


def _share(labels: Tensor, nearest: Tensor) -> float:
    return (labels[nearest] == labels[:, None]).float().mean().item()


@exercise(
    hint="which shape must the weights have to be multiplied with the maps, and over "
    "which dimension is then summed?"
)
def class_activation(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """Return a sentence if `answer` is Grad-CAM of the last stage."""
    network = cifar_resnet(8, num_classes=5).eval()
    images = torch.randn(4, 3, 16, 24)
    targets = torch.tensor([4, 0, 2, 2])
    maps = feature_maps(network, images, "layer3")["layer3"]
    weight = network.fc.weight.detach()
    hint = "one map an image is left when the channels are added up."
    try:
        found = answer(maps, weight, targets)
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        raise Wrong(
            "The shapes do not fit. Hint: weights[:, :, None, None] is (B, C, 1, 1) "
            "and can be multiplied with maps (B, C, h, w)."
        ) from error
    found = tensor(found, (4, *maps.shape[2:]), hint)
    right = grad_cam(network, images, "layer3", targets)
    if close(found, right, rtol=1e-3):
        return "The same as with gradients: here they are the classifier's weights."
    if found.min() < 0:
        raise Wrong(
            "Some values are negative. Hint: what speaks against the class is cut off."
        )
    height, width = maps.shape[2:]
    slips = {
        "how much does one position move a mean?": right * height * width,
        "the mean goes over height and width, not over height alone.": right * width,
        "the mean goes over height and width, not over width alone.": right * height,
    }
    slips["the maps are added up over the channels, not averaged."] = (
        right / maps.shape[1]
    )
    refuse_slips(found, slips, "Right but for a constant factor. Hint: ", rtol=1e-3)
    positive = (weight.clamp(min=0)[targets][:, :, None, None] * maps).sum(1)
    cut_off_first = (
        "Here only channels that speak for the class count. Hint: cut off after the "
        "sum, not before it."
    )
    refuse_slips(
        found / found.max(), {cut_off_first: positive / positive.max()}, rtol=1e-3
    )
    raise Wrong(
        "The shape is right, the numbers are not. Hint: which row of the classifier's "
        "weights belongs to the class of the first image?"
    )


@exercise(hint="cover the square in a copy; ask for the logits of both; subtract.")
def fall_without(
    answer: Callable[[nn.Module, Tensor, Tensor, int, int, int], Tensor],
) -> str:
    """Return a sentence if `answer` is how far a logit falls without a square."""
    images = torch.randn(6, 3, 8, 12)
    targets = torch.tensor([1, 0, 3, 2, 1, 3])
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 4)).eval()
    squared = nn.Sequential(linear, _Squared())
    hint = "one number an image: its logit of its own class, with and without."
    for network, square in (
        (linear, (2, 5, 4)),  # top, left, size
        (squared, (2, 5, 4)),
        (linear, (0, 6, 3)),
    ):
        found = tensor(answer(network, images, targets, *square), (6,), hint)
        own, left = network(images).detach(), _logits_without(network, images, *square)
        right = _of(targets, own - left)
        if close(found, right, rtol=1e-3):
            continue
        if network is not linear:
            raise Wrong(
                "Right for a linear network only. Hint: run the network on the "
                "covered images; no gradient tells what it would say."
            )
        if square[2] != 4:
            raise Wrong("Right for size = 4, not for size = 3. Hint: is `size` used?")
        top, first, size = square
        with_one = _logits_without(network, images, *square, fill=1)
        turned = _logits_without(network, images, first, top, size)
        slips = {
            "Nothing falls. Hint: is the square covered in the images that the network "
            "is asked about?": torch.zeros(6),
            "No fall is below 0 here. Hint: a square can speak against the class; keep "
            "the sign.": right.clamp(min=0),
            "All signs are lost. Hint: a square can speak against the class; keep the "
            "sign.": right.abs(),
            "The sign is turned round. Hint: a fall is positive.": -right,
            "These are the logits that are left. Hint: by how much did they fall?": _of(
                targets, left
            ),
            "These look like probabilities. Hint: the logit of the class, without "
            "softmax.": _of(targets, own.softmax(1) - left.softmax(1)),
            "These are the falls of the predicted class. Hint: targets says which "
            "class to look at.": _of(own.argmax(1), own - left),
            "These are the falls of the largest logit. Hint: targets says which class "
            "to look at, with and without the square.": own.amax(1) - left.amax(1),
            "The square is covered with 1. Hint: cover it with 0, the mean "
            "colour.": _of(targets, own - with_one),
            "Top and left are exchanged. Hint: rows come first, images are (B, 3, H, "
            "W).": _of(targets, own - turned),
        }
        refuse_slips(found, slips, rtol=1e-3)
        raise Wrong(
            "The shape is right, the numbers are not. Hint: the square ends before top "
            "+ size and left + size; are all three colours of it covered?"
        )
    return "What the network misses, without a gradient."


@torch.no_grad()
def _logits_without(
    network: nn.Module, images: Tensor, top: int, left: int, size: int, fill: float = 0
) -> Tensor:
    """Return the logits (B, classes), one square of the images covered."""
    covered = images.clone()
    covered[:, :, top : top + size, left : left + size] = fill
    return network(covered)


def _of(targets: Tensor, values: Tensor) -> Tensor:
    """Return each image's value (B,) of one class, from values (B, classes)."""
    return values.gather(1, targets[:, None])[:, 0]


class _Squared(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits.square()
