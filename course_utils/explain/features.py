"""What a network looks at: feature maps, features and Grad-CAM of trained weights."""

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.models.feature_extraction import (
    create_feature_extractor,
    get_graph_node_names,
)

from course_utils.explain.observing import near_matches, observed
from course_utils.models.modes import device_of
from course_utils.training import validation
from course_utils.training.checkpoint import build_model


def feature_maps(
    model: nn.Module, images: Tensor, layers: Sequence[str] | str
) -> dict[str, Tensor]:
    """Return what the named layers put out for some images, in evaluation mode.

    Args:
        model: A network that `torch.fx` can trace; all of the course's are.
        images: float (B, C, H, W), normalised.
        layers: Names as in ``model.named_modules()``, for example ``"layer1.0.bn2"``;
            also those of operations, as torchvision calls them (``"layer1.0.add"``).
            A stage stands for its last operation, a ReLU called twice for its first
            call (the second is ``"layer1.0.relu_1"``).

    Returns:
        Each layer's output by name, without a gradient: float (B, C', H', W') for
        convolutional layers.

    Raises:
        ValueError: If there is no layer of that name (near matches are listed).

    Taught in: lesson 05, "Filters and feature maps".
    """
    layers = [layers] if isinstance(layers, str) else list(layers)
    with observed(model), torch.no_grad():
        return _extractor(model, layers)(images.to(device_of(model)))


def penultimate_features(model: nn.Module, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """Return the features that the classifier `fc` decides on, and the labels.

    The logits are ``model.fc(features)``. One batch of activations is held at a time.

    Args:
        model: A network of the course with its classifier.
        loader: Yields normalised images (B, C, H, W) and int64 labels (B,).

    Returns:
        float (N, C) and int64 (N,), both on the CPU.

    Raises:
        ValueError: If the loader is empty, or the network was built without a
            classifier.

    Taught in: lesson 05, "The space of features".
    """
    validation.check_not_empty(loader)
    _refuse_headless(model)
    features, labels = [], []
    with observed(model), torch.no_grad():
        extract = _extractor(model, ["flatten"])
        for images, batch_labels in loader:
            found = extract(images.to(device_of(model)))
            features.append(found["flatten"].cpu())
            labels.append(batch_labels.cpu())
    return torch.cat(features), torch.cat(labels)


def grad_cam(
    model: nn.Module,
    images: Tensor,
    layer: str,
    targets: Tensor | int | None = None,
) -> Tensor:
    """Return where a layer found what speaks for a class, one map an image.

    Each channel counts by how much, on average over the pixels, more of it would raise
    the class's logit; what speaks against the class is cut off.

    Args:
        model: A network with convolutions, images (B, C, H, W) to logits (B, classes).
        images: float (B, C, H, W), normalised.
        layer: A layer with output (B, C', h, w); usually the last stage. Names as in
            `feature_maps`.
        targets: The class to explain, int64 (B,) or one for all; default each image's
            predicted class.

    Returns:
        float (B, h, w), at least 0, not scaled. A map may be 0 everywhere: nothing
        there speaks for the class.

    Raises:
        ValueError: If the network was built without a classifier, there is no such
            layer or its output is not (B, C', h, w), or a target is no class.

    Source: Selvaraju et al. 2017 (arXiv 1610.02391), section 3.
    Taught in: lesson 05, "Grad-CAM".
    """
    _refuse_headless(model)
    with observed(model), torch.enable_grad():
        extract = _extractor(model, [layer, "fc"])
        # the images ask for a gradient, so that there is one where weights are frozen
        found = extract(images.to(device_of(model)).detach().requires_grad_())
        maps, logits = found[layer], found["fc"]
        if maps.ndim != 4:
            raise ValueError(
                f"The output of layer {layer!r} has shape {tuple(maps.shape)}, but "
                "Grad-CAM needs maps (B, C, h, w); choose a convolutional layer or a "
                "stage."
            )
        if targets is None:
            targets = logits.argmax(1)
        targets = torch.as_tensor(targets, device=logits.device).expand(len(logits))
        validation.check_labels(targets, logits)
        scores = logits.gather(1, targets[:, None])  # (B, 1)
        (slopes,) = torch.autograd.grad(scores.sum(), maps)  # (B, C', h, w)
    weights = slopes.mean((2, 3), keepdim=True)  # (B, C', 1, 1)
    return F.relu((weights * maps).sum(1)).detach()  # (B, h, w)


def randomised(
    model: nn.Module, seed: int = 0, parts: Sequence[str] | None = None
) -> nn.Module:
    """Return a copy of the model with weights as they were before any training.

    An explanation that looks the same for the copy does not explain what was learnt.

    Args:
        model: A network of the course; it stays as it is.
        seed: Seed of the new weights; the global random state is not touched.
        parts: Only these parts, for example ``["fc", "layer3"]``; default all.

    Returns:
        The copy, on the same device and in the same mode.

    Raises:
        ValueError: If the network is not the course's own.
        AttributeError: If it has no such part.

    Source: Adebayo et al. 2018 (arXiv 1810.03292), section 3.
    Taught in: lesson 05, "Grad-CAM".
    """
    architecture = getattr(model, "architecture", None)
    if architecture is None:
        raise ValueError(
            f"{type(model).__name__} does not say how it was built, so no untrained "
            "one can be made; expected a network of course_utils.models."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = build_model(architecture)
    twin = copy.deepcopy(model)
    for part in [""] if parts is None else parts:  # "" is the whole network
        weights = fresh.get_submodule(part).state_dict()
        twin.get_submodule(part).load_state_dict(weights)
    return twin


def _extractor(
    model: nn.Module, layers: Sequence[str]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function from images to the layers' outputs, by the names given."""
    nodes = get_graph_node_names(model, suppress_diff_warning=True)[1]
    last = {}  # the operation that ends a layer, a block or a stage
    for layer in layers:
        own = [n for n in nodes if n == layer or n.startswith(f"{layer}.")]
        if not own:
            modules = [name for name, _ in model.named_modules() if name]
            known = dict.fromkeys([*modules, *nodes])
            raise ValueError(
                f"There is no layer {layer!r} in this network; "
                f"{near_matches(layer, known)}"
            )
        last[layer] = own[-1]
    wanted = sorted(set(last.values()))
    extract = create_feature_extractor(model, wanted, suppress_diff_warning=True)

    def outputs(images: Tensor) -> dict[str, Tensor]:
        found = extract(images)
        return {layer: found[node] for layer, node in last.items()}

    return outputs


def _refuse_headless(model: nn.Module) -> None:
    if not isinstance(getattr(model, "fc", None), nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no classifier fc; give a network of the "
            "course, built with include_top=True."
        )
