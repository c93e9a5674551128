"""Checks of the exercises of lesson 05."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.checks.values import close, number, tensor
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
        strides = {stride for _, stride in layers}
        if not layers:
            raise Wrong(
                f"Without any layer it gives {found}. Hint: a pixel sees itself."
            )
        if strides == {1}:
            raise Wrong(
                f"For {layers}, without any stride, it gives {found}. Hint: neighbours "
                "overlap; how many new pixels does one more layer bring?"
            )
        raise Wrong(
            f"Right without strides, but for {layers} it gives {found}. Hint: which "
            "layers does a stride move apart, its own or those after it? And by how "
            "much, where there are two?"
        )
    return "Strides of earlier layers count for every later one."


@exercise(
    hint="torch.cdist gives all distances; what is each point's distance to itself?"
)
def same_class_share(answer: Callable[[Tensor, Tensor, int], float]) -> str:
    """Return a sentence if `answer` is the share of neighbours of the same class."""
    far = torch.randn(12, 3) / 100
    far[:6] -= 10
    far[6:] += 10
    labels = torch.arange(12) // 6
    found = number(answer(far, labels, 2))
    if abs(found) < 1e-6:
        raise Wrong(
            "For two far clouds of one label each it gives 0. Hint: nearest are the "
            "smallest distances."
        )
    if abs(found - 1) > 1e-6:
        raise Wrong(
            f"For two far clouds of one label each it gives {found:.3g}. Hint: "
            "a share, the mean over the points and their k neighbours."
        )
    features = torch.randn(40, 4)
    features *= torch.linspace(0.2, 3, 40)[:, None]  # lengths differ
    labels = torch.randint(3, (40,))
    k = 3
    found = number(answer(features, labels, k))
    distances = torch.cdist(features, features)
    order = distances.argsort(1)
    right = _share(labels, order[:, 1 : k + 1])
    if abs(found - right) < 1e-6:
        return "Nobody keeps himself company."
    if abs(found - _share(labels, order[:, :k])) < 1e-6:
        raise Wrong(
            "Here each point is its own nearest neighbour. Hint: its distance to "
            "itself is 0, and always the smallest."
        )
    if abs(found - _share(labels, order[:, 1:k])) < 1e-6:
        raise Wrong(
            f"These are {k - 1} neighbours, not {k}. Hint: the point itself took one "
            "of the places."
        )
    unit = features / features.norm(dim=1, keepdim=True)
    angles = torch.cdist(unit, unit).argsort(1)
    if abs(found - _share(labels, angles[:, 1 : k + 1])) < 1e-6:
        raise Wrong(
            "These neighbours are nearest by angle. Hint: Euclidean distance does not "
            "divide by the lengths."
        )
    raise Wrong(
        f"For 40 points of three labels and k = {k} it gives {found:.3f}, which is not "
        "the share. Hint: compare the labels of the k nearest with the point's own."
    )


def _share(labels: Tensor, nearest: Tensor) -> float:
    return (labels[nearest] == labels[:, None]).float().mean().item()


@exercise(
    hint="write the logit as a sum over the channels' means; by how much does it move "
    "when one position of one map moves?"
)
def class_activation(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """Return a sentence if `answer` is Grad-CAM of the last stage."""
    network = cifar_resnet(8, num_classes=5).eval()
    images = torch.randn(4, 3, 16, 24)
    targets = torch.tensor([4, 0, 2, 2])
    maps = feature_maps(network, images, "layer3")["layer3"]
    weight = network.fc.weight.detach()
    hint = "one map an image is left when the channels are added up."
    found = tensor(answer(maps, weight, targets), (4, *maps.shape[2:]), hint)
    right = grad_cam(network, images, "layer3", targets)
    if _close(found, right):
        return "The same as with gradients: here they are the classifier's weights."
    if found.min() < 0:
        raise Wrong(
            "Some values are negative. Hint: what speaks against the class is cut off."
        )
    positions = maps.shape[2] * maps.shape[3]
    for wrong, hint in (
        (right * positions, "how much does one position move a mean?"),
        (right * positions / maps.shape[2], "the mean goes over height and width."),
        (right * positions / maps.shape[3], "the mean goes over height and width."),
    ):
        if _close(found, wrong):
            raise Wrong(f"Right but for a constant factor. Hint: {hint}")
    positive = (weight.clamp(min=0)[targets][:, :, None, None] * maps).sum(1)
    if _close(found / found.max(), positive / positive.max()):
        raise Wrong(
            "Here only channels that speak for the class count. Hint: cut off after "
            "the sum, not before it."
        )
    raise Wrong(
        "The shape is right, the numbers are not. Hint: which row of the classifier's "
        "weights belongs to the class of the first image?"
    )


@exercise(hint="cover one square of a copy, look at the logit of the class, compare.")
def occlusion_map(answer: Callable[[nn.Module, Tensor, Tensor, int], Tensor]) -> str:
    """Return a sentence if `answer` is how far a logit falls without each square."""
    images = torch.randn(3, 3, 8, 12)
    targets = torch.tensor([1, 0, 3])
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 4)).eval()
    weights = network[1].weight.detach().view(4, 3, 8, 12)[targets]
    parts = (weights * images).sum(1)  # of a linear network, what each pixel adds
    right = parts.view(3, 2, 4, 3, 4).sum((2, 4))  # squares of 4 pixels
    hint = "images of 8×12 pixels have 2 rows and 3 columns of squares of 4."
    found = tensor(answer(network, images, targets, 4), (3, 2, 3), hint)
    own = network(images).detach().gather(1, targets[:, None])[:, :, None]
    if _close(found, right):
        bent = nn.Sequential(network, _Squared())
        found = tensor(answer(bent, images, targets, 4), (3, 2, 3), hint)
        if not _close(found, own**2 - (own - right) ** 2):
            raise Wrong(
                "Right for a linear network only. Hint: run the network on each "
                "covered image; no gradient tells what it would say."
            )
        return "What the network misses most, without a gradient."
    if _close(found, -right):
        raise Wrong("The sign is turned round. Hint: a fall is positive.")
    if _close(found, own - right):
        raise Wrong(
            "These are the logits that are left. Hint: by how much did they fall?"
        )
    if _is_of_softmax(found, network, images, targets):
        raise Wrong(
            "These look like probabilities. Hint: the logit of the class, without "
            "softmax."
        )
    best = network(images).argmax(1)
    weights = network[1].weight.detach().view(4, 3, 8, 12)[best]
    other = (weights * images).sum(1).view(3, 2, 4, 3, 4).sum((2, 4))
    if _close(found, other):
        raise Wrong(
            "These are the falls of the predicted class. Hint: targets says which "
            "class to look at."
        )
    raise Wrong(
        "The shape is right, the numbers are not. Hint: cover one square at a time, "
        "all three colours of it, and uncover it again."
    )


def _is_of_softmax(
    found: Tensor, network: nn.Module, images: Tensor, targets: Tensor
) -> bool:
    """Return whether the first square's fall is one of the probability."""
    covered = images.clone()
    covered[:, :, :4, :4] = 0
    with torch.no_grad():
        before, after = (
            network(batch).softmax(1).gather(1, targets[:, None])[:, 0]
            for batch in (images, covered)
        )
    return _close(found[:, 0, 0], before - after)


class _Squared(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits.square()


def _close(one: Tensor, other: Tensor) -> bool:
    return close(one, other, rtol=1e-3)
